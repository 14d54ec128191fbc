"""The stand-in for vLLM's engine, with a `vllm` that tells what a test wants (on vLLM itself: tests_vllm/)."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines.vllm_lazy import EngineLater


@pytest.fixture
def started(monkeypatch) -> list:
    """A vllm whose engine has half of the length that was asked for as 512, and the arguments it was started with."""
    seen = []

    def config(arguments: dict, halved: int) -> SimpleNamespace:
        length = arguments["max_model_len"]
        return SimpleNamespace(dtype="float32", max_model_len=length // 2 if length == halved else length)

    class EngineArgs(SimpleNamespace):
        def create_model_config(self) -> SimpleNamespace:
            return config(vars(self), 0)

    class LLM:
        def __init__(self, **arguments) -> None:
            seen.append(arguments)
            self.llm_engine = SimpleNamespace(model_config=config(arguments, 512))

    vllm = ModuleType("vllm")
    vllm.EngineArgs, vllm.LLM = EngineArgs, LLM
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    return seen


def test_the_configuration_is_known_before_the_engine_is_there(started):
    later = EngineLater(model="m", max_model_len=256)
    assert later.llm_engine.model_config.max_model_len == 256 and not started
    assert later.start().llm_engine.model_config.max_model_len == 256
    assert started == [{"model": "m", "max_model_len": 256}]


def test_an_engine_that_is_another_one_than_was_told(started):
    with pytest.raises(InputError, match="vLLM runs with max_model_len=256 where 512 was expected"):
        EngineLater(model="m", max_model_len=512).start()
