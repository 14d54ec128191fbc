"""Generation settings of a task or of `--gen_kwargs` -> how rows are decoded, or why they cannot be.

Greedy strategies take no sampling settings and `sample` needs a temperature: contradictions are refused, not dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from lm_eval.models.utils import normalize_gen_kwargs

from sprint_lmeval.errors import InputError
from sprint_lmeval.strategies import Sampled, Strategy


@dataclass(frozen=True)
class TaskSettings:
    """What a task asks for, in the words of generation.py; temperature 0 is greedy."""

    max_new_tokens: int
    until: list[str]
    temperature: float
    top_k: int
    top_p: float
    generate_arguments: dict


def read_settings(gen_kwargs: dict, strategy: Strategy, default_max_new_tokens: int) -> TaskSettings:
    """Return the settings of one task.

    Raises:
        InputError: on several beams or sequences, sampling with a greedy strategy, or `sample` without temperature.
    """
    sampling = isinstance(strategy, Sampled)
    given = dict(gen_kwargs)
    temperature, top_k, top_p = (given.pop(key, None) for key in ("temperature", "top_k", "top_p"))
    _refuse_several(given)
    _refuse_contradiction(sampling, temperature, given.pop("do_sample", None), strategy.name)
    given = normalize_gen_kwargs(given, default_max_new_tokens)
    for key in ("do_sample", "temperature", "num_beams", "num_return_sequences"):
        given.pop(key, None)
    return TaskSettings(
        max_new_tokens=given.pop("max_gen_toks"),
        until=given.pop("until", []),
        temperature=float(temperature) if sampling else 0.0,
        top_k=int(top_k or 0),
        top_p=1.0 if top_p is None else float(top_p),
        generate_arguments=given,
    )


def recorded(settings: TaskSettings) -> dict:
    """Return what the results record."""
    record = {"max_new_tokens": settings.max_new_tokens, "until": settings.until, **settings.generate_arguments}
    if settings.temperature == 0:
        return {"greedy": True, **record}
    sampling = {key: getattr(settings, key) for key in ("temperature", "top_k", "top_p")}
    return {"greedy": False, **sampling, **record}


def _refuse_several(given: dict) -> None:
    for key in ("num_beams", "num_return_sequences"):
        if int(given.get(key) or 1) > 1:
            raise InputError(f"{key}={given[key]} given: a candidate has one response from one beam; leave it out")


def _refuse_contradiction(sampling: bool, temperature: object, do_sample: object, strategy: str) -> None:
    if sampling and not (isinstance(temperature, (int, float)) and temperature > 0):
        raise InputError(
            f"strategy=sample with temperature {temperature or 0} given, it must be above 0: "
            "add --gen_kwargs temperature=0.6,do_sample=true"
        )
    if not sampling and (do_sample or (temperature or 0) > 0):
        raise InputError(
            f"sampling was asked for (do_sample, temperature) with strategy={strategy}, whose candidates answer "
            "greedily: leave it out or use strategy=sample"
        )
