"""How large one forward pass and one cache may be on a device: documented rules, not measurements, so a run repeats.

In: the model on its device. Out: `DeviceLimits`, which decide speed and memory, never a text.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass

import psutil
import torch
from transformers import PreTrainedModel

from sprint_lmeval.pruning.heads import text_config

# PyTorch and oneDNN cache up to 1,024 kernels each, one a shape: with passes of all sizes, hundreds of megabytes. A
# kernel is made in a millisecond.
os.environ.setdefault("LRU_CACHE_CAPACITY", "8")
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "24")

MEGABYTE = 1 << 20
LEAST_CACHE = 50 * MEGABYTE
SHARE_OF_WEIGHTS = 0.31  # on a CPU: of what the weights take
TREES_SHARE_OF_WEIGHTS = 2  # the same for trees, whose rows' keys and values stay until the last row of a tree ends
SHARE_OF_GPU = 0.3  # of what is free beside the weights; preempted rows and prefill may double it
SHARE_OF_MEMORY = 0.25  # of what is free on a CPU
WIDEST_VALUES = 10 * MEGABYTE  # of a prefill pass on a CPU, inside a feed-forward block
SIXTEEN_BITS = (torch.bfloat16, torch.float16)
LAYER_CALL = 50_000_000  # multiplications that a CPU does in the time of calling a layer's small operations


@dataclass(frozen=True)
class DeviceLimits:
    """Limits of one pass and of the keys and values in flight.

    Attributes:
        free_tokens: f, where a pass over t tokens costs about f + t units: below f it mostly waits for the weights.
        pass_tokens: most tokens in one prefill pass, which bounds its intermediate values.
        logits_bytes: most logits at a time.
        cache_bytes: most keys and values of the rows in flight.
        trees_bytes: the same of trees in flight, which keep those of finished rows.
    """

    free_tokens: int
    pass_tokens: int
    logits_bytes: int
    cache_bytes: int
    trees_bytes: int

    def halved(self) -> DeviceLimits:
        """Return the limits for half the memory."""
        memory = (self.pass_tokens, self.logits_bytes, self.cache_bytes, self.trees_bytes)
        return DeviceLimits(self.free_tokens, *(most // 2 for most in memory))


def limits_of(model: PreTrainedModel, roomy: bool = False) -> DeviceLimits:
    """Return the limits of the model's device; `roomy`: rows in flight may take a quarter of a CPU's free memory.

    GPUs: 16-bit arithmetic outruns memory by several hundred operations a byte. CPUs: `free_tokens` is fitted to the
    times of passes of Qwen2.5-Coder-0.5B on two cores: in bfloat16 with AMX 16 x 1, 64 x 1, 64 x 4, 64 x 8 and 128 x 2
    rows x tokens took 115, 198, 367, 597 and 380 ms; without AMX 1, 8, 64 and 128 rows of one token took 79, 123, 468
    and 862 ms, in float32 84, 200, 508 and 578 ms. It is higher in small models, whose layers take longer to call than
    to compute. Passes of more than about a thousand tokens save nothing on a CPU.
    """
    if model.device.type == "cpu":
        free = _cpu_reading(model.dtype) + LAYER_CALL * text_config(model.config).num_hidden_layers // _weights(model)
        limits = (_cpu_pass_tokens(model), 96 * MEGABYTE, *_cpu_cache_bytes(model, roomy))
    else:
        free, rows = 256, _gpu_cache_bytes(model)
        limits = (8192, 512 * MEGABYTE, rows, 2 * rows)
    return DeviceLimits(free, *limits)


def _cpu_reading(dtype: torch.dtype) -> int:
    """Return for how many tokens a CPU computes in the time in which it reads the weights."""
    if dtype not in SIXTEEN_BITS:
        return 24
    return 110 if torch.cpu.get_capabilities().get("amx_bf16") else 10


def slow_dtype(model: PreTrainedModel) -> str | None:
    """Return a sentence for the user where the model's 16-bit numbers are slow on its processor, else None.

    oneDNN computes with them from AVX-512 on. Measured without it: docs/decoding.md.
    """
    known = torch.cpu.get_capabilities()
    slow = model.device.type == "cpu" and model.dtype in SIXTEEN_BITS and known.get("architecture") == "x86_64"
    if not slow or known.get("avx512_f"):
        return None
    kind = str(model.dtype).removeprefix("torch.")
    return f"dtype={kind} is slow on this processor, which has no AVX-512: with dtype=float32 batches are faster"


def _cpu_pass_tokens(model: PreTrainedModel) -> int:
    config = text_config(model.config)
    width = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return min(4096, max(256, WIDEST_VALUES // (width * model.dtype.itemsize)))


def _cpu_cache_bytes(model: PreTrainedModel, roomy: bool) -> tuple[int, int]:
    """Return the most keys and values of rows and of trees."""
    most, weights = int(psutil.virtual_memory().available * SHARE_OF_MEMORY), _weight_bytes(model)
    rows = max(LEAST_CACHE, most if roomy else int(weights * SHARE_OF_WEIGHTS))
    return min(rows, most), min(max(2 * LEAST_CACHE, weights * TREES_SHARE_OF_WEIGHTS), most)


def _gpu_cache_bytes(model: PreTrainedModel) -> int:
    devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    if not devices:  # another kind of accelerator: no common way to ask for free memory
        return max(LEAST_CACHE, _weight_bytes(model))
    return int(SHARE_OF_GPU * sum(torch.cuda.mem_get_info(device)[0] for device in devices))


def _weights(model: PreTrainedModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _weight_bytes(model: PreTrainedModel) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


def release_free_memory() -> None:
    """Return unused memory of the heap to the system, where the C library is GNU's; elsewhere do nothing.

    Passes of all sizes leave holes that the next pass does not fit into: several hundred megabytes of them.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
