"""vLLM's engine, started when the first response is missing: a run whose responses are all in its store needs none.

Until then a stand-in is where the harness's `vllm` model has its `vllm.LLM`; it has the model's configuration, as vLLM
reads it, which is all that prompts, stored responses and results need.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from types import SimpleNamespace

from sprint_lmeval.errors import InputError, cause

SHARED = ("dtype", "max_model_len")  # what is reported of the model before the engine is there


class EngineLater:
    """What the harness asks of `vllm.LLM` before its first request; `start` returns the real one."""

    def __init__(self, **arguments: object) -> None:
        self._arguments = arguments

    @cached_property
    def llm_engine(self) -> SimpleNamespace:
        from vllm import EngineArgs

        return SimpleNamespace(model_config=EngineArgs(**self._arguments).create_model_config())

    def start(self):
        """Return the engine. Raises InputError where it differs from what was reported."""
        from vllm import LLM

        engine = LLM(**self._arguments)
        given, found = self.llm_engine.model_config, engine.llm_engine.model_config
        for name in SHARED:
            if getattr(given, name) != getattr(found, name):
                raise InputError(
                    f"vLLM runs with {name}={getattr(found, name)} where {getattr(given, name)} was expected, so its "
                    f"responses cannot be told apart in a store: give {name}= in the model arguments"
                )
        return engine


@contextmanager
def starting_later() -> Iterator[None]:
    """Let the harness's `vllm` model be made without an engine."""
    from lm_eval.models import vllm_causallms

    real = vllm_causallms.LLM
    vllm_causallms.LLM = EngineLater
    try:
        yield
    finally:
        vllm_causallms.LLM = real


@contextmanager
def failures() -> Iterator[None]:
    """Say in one sentence that vLLM does not start."""
    try:
        yield
    except (AssertionError, OSError, RuntimeError, ValueError, ModuleNotFoundError) as error:
        if isinstance(error, InputError):
            raise
        said = cause(error, 300)
        raise InputError(f"vLLM could not be started ({said}): what it says above this line tells more") from error
