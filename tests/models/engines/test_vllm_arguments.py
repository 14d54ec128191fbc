"""Arguments of the models on vLLM, and what is said where vLLM is not there (tests on vLLM itself: tests_vllm/)."""

import sys
import types

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines.vllm_arguments import (
    KNOWN_OTHERWISE,
    OF_SPEED,
    OwnTemplate,
    check_arguments,
    harness_class,
    hub_arguments,
    telling,
    template_arguments,
)
from sprint_lmeval.runs.facts import run_facts
from sprint_lmeval.store.keys import altered_facts


def test_without_vllm_it_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(
        InputError, match=r"vllm-pruned-bon needs vLLM, which cannot be imported here .* pip install"
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
    assert (
        telling({"served_model_name": "m", "shutdown_timeout": 5, "nnodes": 2, "load_format": "runai_streamer"}) == {}
    )
    assert telling({"load_format": "dummy"}) == {"load_format": "dummy"}, "other weights than those of the files"


def test_a_token_is_used_and_not_recorded():
    given = {"hf_token": "hf_secret", "revision": "v2", "trust_remote_code": False}
    assert telling(given) == {}
    assert hub_arguments(given) == {"trust_remote_code": False, "revision": "v2", "token": "hf_secret"}
    assert altered_facts("model", {**telling(given), **hub_arguments(given)}) == {}
    results = {"config": {"model_args": {"pretrained": "model", **given}}, "configs": {"task": {}}}
    assert "hf_secret" not in str(run_facts(results, "task"))


class Harness:
    def __init__(self, truncation_side="left", max_length=None) -> None:
        """Takes what the harness's `vllm` model would."""


@pytest.fixture
def engine_arguments(monkeypatch):
    """vLLM's, where it may not be there."""
    import dataclasses

    names = ("generation_config", "override_generation_config", "max_num_seqs")
    vllm = types.ModuleType("vllm")
    vllm.EngineArgs = dataclasses.make_dataclass("EngineArgs", [(name, object, None) for name in names])
    monkeypatch.setitem(sys.modules, "vllm", vllm)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"truncation_side": "right"}, "truncation_side=right given: prompts without room lose their left end"),
        ({"truncation_side": "middle"}, "truncation_side=middle given"),
        ({"generation_config": "vllm"}, "generation_config=vllm given: the checkpoint's counts"),
        ({"override_generation_config": {"top_k": 1}}, "given: give generation settings with --gen_kwargs"),
    ],
)
def test_what_would_be_read_by_nobody_is_refused(engine_arguments, given, said):
    with pytest.raises(InputError, match=said):
        check_arguments(given, Harness)
    check_arguments({"truncation_side": "left", "generation_config": "auto", "max_num_seqs": 3}, Harness)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({}, {}),
        ({"chat_template_args": {"enable_thinking": False, "x": 1}}, {"enable_thinking": False, "x": 1}),
        ({"enable_thinking": False, "chat_template_args": {"x": 1}}, {"enable_thinking": False, "x": 1}),
        ({"enable_thinking": None, "chat_template_args": None}, {}),
    ],
)
def test_the_chat_template_gets_what_was_given_and_nothing_else(given, passed):
    class Model(OwnTemplate):
        chat_template_args = template_arguments(given)

        class tokenizer:
            def apply_chat_template(turns, **options):
                assert options.pop("tokenize") is False
                assert (options.pop("add_generation_prompt"), options.pop("continue_final_message")) == (True, False)
                seen.append((turns, options))

    seen, turns = [], [{"role": "user", "content": "x"}]
    before = dict(given.get("chat_template_args") or {})
    Model().apply_chat_template(turns)
    assert seen == [(turns, passed)] and (given.get("chat_template_args") or {}) == before
