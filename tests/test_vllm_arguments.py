"""Arguments of the models on vLLM, and what is said where vLLM is not there (tests on vLLM itself: tests_vllm/)."""

import sys

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.vllm_arguments import KNOWN_OTHERWISE, OF_SPEED, harness_class, telling


def test_without_vllm_it_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(
        InputError, match=r"vllm-pruned-bon needs vLLM, which cannot be imported here .* install it"
    ) as no:
        harness_class()
    assert "\n" not in str(no.value)


def test_a_vllm_that_is_broken_is_told_apart(monkeypatch, tmp_path):
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    with pytest.raises(InputError, match=r"OSError: libcudart.so.12: cannot open"):
        harness_class()


def test_what_tells_models_apart():
    given = {"tensor_parallel_size": 8, "gpu_memory_utilization": 0.9, "dtype": "bfloat16", "revision": "main"}
    assert telling(given) == {}
    altered = {"quantization": "fp8", "hf_overrides": {"rope_theta": 1}, "kv_cache_dtype": "fp8"}
    assert telling({**given, **altered, "tokenizer_mode": None}) == altered
    assert not OF_SPEED & KNOWN_OTHERWISE
