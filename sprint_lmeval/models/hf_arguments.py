"""What a user may write behind `--model_args`: everything of the harness's `hf` model and ours, and nothing else.

The harness hands unknown arguments on to transformers, which takes some in silence; here they are refused.
"""

from __future__ import annotations

import difflib
import inspect
import logging

from sprint_lmeval.errors import InputError
from sprint_lmeval.names import MODEL_ARGUMENTS

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts
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


def check_arguments(given: dict) -> None:
    """Raise InputError for an argument that nobody reads, naming the one that was probably meant."""
    from lm_eval.models.huggingface import HFLM

    known = {*inspect.signature(HFLM.__init__).parameters, *OF_TRANSFORMERS} - {"self", "kwargs"}
    if given.get("tp_plan"):
        raise InputError("tp_plan given: heads of one layer lie on several devices there; use parallelize=True instead")
    _check_batch_size(given.get("batch_size", 1))
    for name in given:
        if name not in known and not name.startswith("bnb_4bit_"):
            likely = difflib.get_close_matches(name, [*MODEL_ARGUMENTS, *known], n=1)
            hint = (
                f"did you mean {likely[0]}?"
                if likely
                else f"allowed are {', '.join(MODEL_ARGUMENTS)} and hf's arguments"
            )
            raise InputError(f"unknown model argument {name}={given[name]}: {hint}")


def _check_batch_size(size: object) -> None:
    text = str(size)
    if not (text.split(":")[0] == "auto" or (text.isdecimal() and int(text) > 0)):
        raise InputError(f"batch_size={size} given, it must be a whole number above 0, auto, or auto:N")
