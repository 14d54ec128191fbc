"""What `sprint-lmeval heads MODEL` prints: a model folder or hub id in, its layers and heads out.

Only the model's configuration is read: the model is built on the meta device, without weights.
"""

from itertools import groupby

from sprint_lmeval.errors import InputError
from sprint_lmeval.tiny import MODEL_FOLDER


def head_listing(model: str, trust_remote_code: bool = False) -> str:
    """Return a text that lists the heads of `model` (`tiny`, a folder or a hub id).

    Raises:
        InputError: the model cannot be found, or its heads cannot be pruned.
    """
    from sprint_lmeval.pruning import head_layout

    try:
        layout = head_layout(empty_model(model, trust_remote_code))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None
    return "\n".join(f"{name:<13} {value}" for name, value in listed(model, layout))


def empty_model(model: str, trust_remote_code: bool):
    """Build `model` from its configuration alone, every weight on the meta device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    source = str(MODEL_FOLDER) if model == "tiny" else model
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no model configuration at {model} ({one_line(error)}); give a model folder, a hub id that can be "
            "fetched, or tiny"
        ) from None
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{model} ({config.model_type}) is not a decoder-only language model that can be built here "
            f"({one_line(error)}); sprint-lmeval prunes heads of decoders such as Qwen2 or Llama"
        ) from None


def one_line(error: Exception) -> str:
    """Return the first sentence of an error's text, without its line breaks."""
    return " ".join(str(error).split()).partition(". ")[0].rstrip(".")


def listed(model: str, layout) -> list[tuple[str, str]]:
    """Return (name, value) lines; consecutive layers of equal shape share one."""
    from sprint_lmeval.strategies import spread_candidates

    heads = [layer.heads for layer in layout.layers]
    spread = spread_candidates(heads)
    spread_layers = sorted({layer for candidate in spread for layer, _ in candidate.heads})
    last = len(heads) - 1
    return [
        ("model", model),
        ("architecture", layout.architecture),
        ("layers", f"{len(heads)}: L0 … L{last}"),
        *[("heads", line) for line in layer_lines(layout.layers)],
        ("single heads", f"{sum(heads)}: L0H0 … L{last}H{heads[last] - 1}"),
        ("spread", f"{len(spread)} heads of layers {', '.join(map(str, spread_layers))}"),
    ]


def layer_lines(layers) -> list[str]:
    """Return one line per run of layers with the same number and width of heads."""
    lines = []
    for (heads, head_dim), run in groupby(enumerate(layers), key=lambda item: (item[1].heads, item[1].head_dim)):
        numbers = [number for number, _ in run]
        where = f"L{numbers[0]}" + (f" … L{numbers[-1]}" if len(numbers) > 1 else "")
        lines.append(f"{where}: {heads} each, H0 … H{heads - 1}, head_dim {head_dim}")
    return lines
