"""Refuses arguments, models and strategies that cannot work, where possible before weights are loaded."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from functools import partial

from torch import nn

from sprint_lmeval.checkpoints.fingerprint import model_fingerprint
from sprint_lmeval.checkpoints.pretrained import config_heads
from sprint_lmeval.errors import InputError
from sprint_lmeval.names import MODEL_ARGUMENTS
from sprint_lmeval.pruning.heads import HeadLayout
from sprint_lmeval.pruning.hooks import check_heads
from sprint_lmeval.store.keys import altered_facts
from sprint_lmeval.strategies.selected import SelectorChoice
from sprint_lmeval.strategies.strategy import Strategy

# Arguments of transformers' from_pretrained and of the quantisation configs that the harness passes through.
OF_TRANSFORMERS = frozenset(
    """
    attn_implementation cache_dir code_revision config_file device_map experts_implementation
    force_download ignore_mismatched_sizes key_mapping llm_int8_enable_fp32_cpu_offload
    llm_int8_skip_modules llm_int8_threshold load_in_4bit load_in_8bit local_files_only
    low_cpu_mem_usage max_memory offload_buffers offload_state_dict proxies quantization_config
    rope_scaling rope_theta sliding_window state_dict token torch_dtype use_cache use_flash_attn
    use_safetensors variant
    """.split()
)


def check_hf_arguments(given: dict) -> None:
    """Refuse arguments that the harness's `hf` model passes on to transformers, which takes some in silence.

    Raises:
        InputError: an argument that nobody reads, or a value that does not fit.
    """
    from lm_eval.models.huggingface import HFLM

    if given.get("tp_plan"):
        raise InputError("tp_plan given: heads of one layer lie on several devices there; use parallelize=True instead")
    size = "auto" if given.get("batch_size") is None else str(given["batch_size"])
    if not (size.split(":")[0] == "auto" or (size.isdecimal() and int(size) > 0)):
        raise InputError(f"batch_size={size} given, it must be a whole number above 0, auto, or auto:N")
    known = {*inspect.signature(HFLM.__init__).parameters, *OF_TRANSFORMERS} - {"self", "kwargs"}
    quantisation = [name for name in given if name.startswith("bnb_4bit_")]
    refuse_unknown(given, {*known, *quantisation}, MODEL_ARGUMENTS, "hf's arguments")


def refuse_unknown(given: dict, known: Iterable[str], ours: Iterable[str], theirs: str) -> None:
    """Raise InputError for an argument that is not `known`, naming the one that was probably meant.

    Args:
        given: arguments with their values.
        known: names of the arguments that somebody reads.
        ours: names to be listed, and suggested.
        theirs: what else is allowed, in words.
    """
    for name, value in given.items():
        if name not in known:
            likely = difflib.get_close_matches(name, [*ours, *known], n=1)
            hint = f"did you mean {likely[0]}?" if likely else f"allowed are {', '.join(ours)} and {theirs}"
            raise InputError(f"unknown model argument {name}={value}: {hint}")


def check_before_loading(name: str, build, kwargs: dict) -> None:
    """Check the strategy that `build` makes against the model's configuration."""
    if kwargs.get("gguf_file") or kwargs.get("backend") == "seq2seq":
        if kwargs.get("backend") == "seq2seq":
            raise InputError("backend=seq2seq given: only decoder-only models have heads to prune here")
        return  # the configuration lies inside the weights: checked once they are loaded
    layout = config_heads(name, **kwargs)
    if isinstance(build, SelectorChoice):
        check_selector(build, name, kwargs, layout)
    check_strategy(layout, build([layer.heads for layer in layout.layers]))


def check_strategy(layout: HeadLayout, strategy: Strategy) -> None:
    """Raise InputError where a strategy has heads that the model has not."""
    try:
        check_heads(layout, strategy.possible())
    except ValueError as error:
        raise InputError(str(error)) from None


def check_selector(chosen: SelectorChoice, pretrained: str | nn.Module, kwargs: dict, layout: HeadLayout) -> None:
    """Raise InputError where a selector was trained on another model."""
    fingerprint = partial(model_fingerprint, pretrained, **kwargs) if isinstance(pretrained, str) else None
    chosen.check_model(layout, fingerprint, altered_facts(pretrained, kwargs))
