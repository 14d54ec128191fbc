"""What a pass may be and what it costs follow from the device, the type and the model's size."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from benchmarks.tiny_architectures import tiny_model
from sprint_lmeval.generation.fast.device_limits import LAYER_CALL, MEGABYTE, limits_of, slow_dtype


@pytest.mark.parametrize(
    ("dtype", "amx", "tokens"), [(torch.float32, True, 24), (torch.bfloat16, True, 110), (torch.bfloat16, False, 10)]
)
def test_a_pass_costs_more_beside_its_tokens_where_layers_are_small(dtype, amx, tokens, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": amx})
    model = tiny_model("Llama").to(dtype)
    limits, weights = limits_of(model), sum(p.numel() for p in model.parameters())
    assert limits.halved().free_tokens == limits.free_tokens == tokens + LAYER_CALL * 3 // weights > tokens


def test_half_the_memory():
    limits = limits_of(tiny_model("Llama"))
    half = limits.halved()
    assert (half.pass_tokens, half.logits_bytes) == (limits.pass_tokens // 2, limits.logits_bytes // 2)
    assert (half.cache_bytes, half.trees_bytes) == (limits.cache_bytes // 2, limits.trees_bytes // 2)


def test_a_small_model_has_room_all_the_same():
    limits = limits_of(tiny_model("Llama"))
    assert limits.cache_bytes >= 32 * MEGABYTE and limits.pass_tokens == 4096


def test_rows_that_were_asked_for_may_fill_a_quarter_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4000 * MEGABYTE))
    model = tiny_model("Llama")
    assert limits_of(model, roomy=True).cache_bytes == 1000 * MEGABYTE > limits_of(model).cache_bytes
    assert limits_of(model, roomy=True).trees_bytes == limits_of(model).trees_bytes


def test_wide_layers_read_fewer_tokens_at_a_time():
    wide = tiny_model("Llama")
    wide.config.intermediate_size = 1 << 16
    assert limits_of(wide).pass_tokens == 256


@pytest.mark.parametrize(
    ("dtype", "known", "slow"),
    [
        (torch.bfloat16, {"architecture": "x86_64", "avx512_f": False}, True),
        (torch.float16, {"architecture": "x86_64", "avx512_f": False}, True),
        (torch.bfloat16, {"architecture": "x86_64", "avx512_f": True}, False),
        (torch.bfloat16, {"architecture": "aarch64"}, False),
        (torch.float32, {"architecture": "x86_64", "avx512_f": False}, False),
    ],
)
def test_a_processor_without_16_bit_arithmetic_is_named(dtype, known, slow, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    said = slow_dtype(tiny_model("Llama").to(dtype))
    assert (said is not None) == slow
    assert not slow or (str(dtype).removeprefix("torch.") in said and "dtype=float32" in said)
