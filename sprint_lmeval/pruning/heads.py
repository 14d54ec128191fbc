"""Where the attention heads of a decoder are.

In: a Hugging Face decoder-only model, also wrapped by PEFT, quantised, or spread over devices.
Out: `HeadLayout`: for each layer the output projection of its attention, whose input [rows, time, heads * head_dim] is
the heads' outputs side by side: one slice of it is one head. Projections are found by structure (the list of layers,
the attention inside a layer, its output projection by name), not by a table of classes; `self_test` checks on the model
at hand that a slice is a head.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

SUPPORTED = (
    "supported are decoder-only models whose every layer has separate heads before one output projection, such as "
    "Qwen2, Qwen3, Llama, Mistral, Mixtral, Gemma 2 and 3, Phi-3, GPT-2, GPT-NeoX, OPT, OLMo 2, StarCoder 2, Falcon, "
    "BLOOM and Granite"
)
# An attention module has a child of each of the two kinds; a feed-forward or state-space block has not.
OUTPUT_NAMES = ("o_proj", "out_proj", "c_proj", "dense", "Wo", "wo")
QUERY_NAMES = ("q_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv", "q_a_proj", "q_b_proj", "Wq", "wq", "qkv")
HEAD_COUNT_NAMES = ("num_heads", "num_attention_heads", "n_heads", "n_head")
# Models whose shapes fit although one slice of the projection's input is not one head.
NOT_PER_HEAD = {
    "DiffLlamaForCausalLM": "it subtracts one half of its heads from the other before the output projection",
    "BltForCausalLM": "it is several transformers in a row",
}


class LayerHeads(NamedTuple):
    """One layer: the projection that follows its heads (a module), how many heads, and the width of each."""

    projection: nn.Module
    heads: int
    head_dim: int


@dataclass(frozen=True)
class HeadLayout:
    """A model's heads: `layers[l]` belongs to layer l, `names[l]` is the projection's path inside the model."""

    architecture: str
    layers: tuple[LayerHeads, ...]
    names: tuple[str, ...]


def head_layout(model: nn.Module) -> HeadLayout:
    """Find the heads of `model`.

    Raises:
        ValueError: a model whose heads cannot be pruned; the text names its architecture and the reason.
    """
    inner = _unwrapped(model)
    architecture = type(inner).__name__
    config = getattr(inner, "config", None)
    reason = _unsuitable(inner, config, architecture)
    if reason:
        raise ValueError(f"heads of {architecture} cannot be pruned: {reason}; {SUPPORTED}")
    try:
        layers = tuple(
            _layer_heads(attention, config, number) for number, attention in enumerate(_attentions(inner, config))
        )
        if len({id(layer.projection) for layer in layers}) < len(layers):
            raise ValueError("several of its layers share one attention")
    except ValueError as error:
        raise ValueError(f"heads of {architecture} cannot be pruned: {error}; {SUPPORTED}") from None
    paths = {id(module): name for name, module in inner.named_modules()}
    return HeadLayout(architecture, layers, tuple(paths[id(layer.projection)] for layer in layers))


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the modules of the decoder's layers, first to last; ValueError where they are not found."""
    inner = _unwrapped(model)
    return _decoder_layers(inner, getattr(inner, "config", None))


def _unwrapped(model: nn.Module) -> nn.Module:
    """The transformers model inside torch.compile and PEFT wrappers (its projections stay wrapped)."""
    model = getattr(model, "_orig_mod", model)
    if hasattr(model, "get_base_model") and hasattr(model, "peft_config"):
        return model.get_base_model()
    return model


def _unsuitable(model: nn.Module, config: object, architecture: str) -> str | None:
    if config is None:
        return "it is not a Hugging Face model with a config"
    if getattr(config, "is_encoder_decoder", False):
        return "it is an encoder-decoder model"
    if not (hasattr(model, "can_generate") and model.can_generate()):
        return "it does not generate text (load it with AutoModelForCausalLM, unless it is an encoder)"
    return NOT_PER_HEAD.get(architecture)


def text_config(config: object) -> object:
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def _attentions(model: nn.Module, config: object) -> list[nn.Module]:
    """The attention module of each decoder layer, in order; ValueError where a layer does not have exactly one."""
    found = [list(_attention_modules(layer)) for layer in _decoder_layers(model, config)]
    without = [number for number, modules in enumerate(found) if not modules]
    if len(without) == len(found):
        raise ValueError("it has no attention followed by an output projection (a state-space model or an encoder?)")
    if without:
        raise ValueError(f"{len(without)} of its {len(found)} layers, layer {without[0]} first, have no such heads")
    several = [number for number, modules in enumerate(found) if len(modules) > 1]
    if several:
        raise ValueError(f"layer {several[0]} has {len(found[several[0]])} attentions")
    return [modules[0] for modules in found]


def _decoder_layers(model: nn.Module, config: object) -> nn.ModuleList:
    """The outermost list of as many modules as the text config has layers; an image tower is not looked at."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    root = decoder if isinstance(decoder, nn.Module) else model
    count = getattr(text_config(config), "num_hidden_layers", None)
    for module in root.modules():
        if isinstance(module, nn.ModuleList) and len(module) > 0 and count in (None, len(module)):
            return module
    raise ValueError("its list of layers was not found")


def _attention_modules(layer: nn.Module) -> Iterator[nn.Module]:
    for module in layer.modules():
        if _output_projection(module) is not None and _child(module, QUERY_NAMES) is not None:
            yield module


def _output_projection(attention: nn.Module) -> nn.Module | None:
    return _child(attention, OUTPUT_NAMES)


def _child(module: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    children = dict(module.named_children())
    return next((children[name] for name in names if name in children), None)


def _layer_heads(attention: nn.Module, config: object, number: int) -> LayerHeads:
    projection = _output_projection(attention)
    width = _input_width(projection)
    heads = _head_count(attention, text_config(config), number)
    dims = [getattr(attention, name, None) for name in ("head_dim", "v_head_dim")]
    known = [dim for dim in dims if isinstance(dim, int)]
    if _normalises_all_heads(attention, width):
        raise ValueError(f"layer {number} normalises all heads together before its output projection")
    if not width or not heads or width % heads or (known and width // heads not in known):
        raise ValueError(f"layer {number}'s output projection takes {width} values, not {heads} heads of equal width")
    return LayerHeads(projection, heads, width // heads)


def _normalises_all_heads(attention: nn.Module, width: int | None) -> bool:
    """Whether a norm over the heads side by side stands before the projection (norms of queries and keys do not)."""
    return any(
        "norm" in type(module).__name__.lower()
        and not name.startswith(("q", "k"))
        and tuple(getattr(module, "weight", torch.empty(0)).shape) == (width,)
        for name, module in attention.named_children()
    )


def _input_width(projection: nn.Module) -> int | None:
    """Inputs of a projection: nn.Linear and quantised kinds say `in_features` or `infeatures`, GPT-2's Conv1D `nx`."""
    for name in ("in_features", "infeatures", "nx"):
        if isinstance(getattr(projection, name, None), int):
            return getattr(projection, name)
    weight = getattr(projection, "weight", None)
    return weight.shape[-1] if weight is not None and weight.ndim == 2 else None


def _head_count(attention: nn.Module, config: object, number: int) -> int | None:
    for holder in (attention, getattr(attention, "config", None), config):
        for name in HEAD_COUNT_NAMES:
            count = getattr(holder, name, None)
            if isinstance(count, list | tuple) and number < len(count):
                count = count[number]
            if isinstance(count, int) and count > 0:
                return count
    return None
