"""Generation settings of a task or of `--gen_kwargs` -> how rows are decoded, or why they cannot be.

Greedy strategies take no sampling settings and `sample` needs a temperature: contradictions are refused, not dropped.
"""

from __future__ import annotations

import math

from lm_eval.models.utils import normalize_gen_kwargs

from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Settings
from sprint_lmeval.strategies.strategy import Strategy

# Arguments of transformers' `generate` that mean the same for a row in a batch as for the row alone.
ALLOWED = ("repetition_penalty", "no_repeat_ngram_size", "min_new_tokens", "bad_words_ids", "suppress_tokens")

TOKEN_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the harness's names for one


def read_settings(gen_kwargs: dict, strategy: Strategy, default_max_new_tokens: int) -> Settings:
    """Return the settings of one task, its stop strings as a list; what the model decides is left at its default.

    Raises:
        InputError: on several beams or sequences, sampling with a greedy strategy, `sample` without temperature, values
            out of range, and arguments of `generate` that would not mean here what they mean there.
    """
    sampling = strategy.draws
    given = {key: value for key, value in gen_kwargs.items() if value is not None}
    _refuse_several(given)
    temperature = _number(given, "temperature", 0.0, low=0.0)
    _refuse_contradiction(sampling, temperature, given.pop("do_sample", None), strategy.name)
    top_k, top_p = _number(given, "top_k", 0, low=0, whole=True), _number(given, "top_p", 1.0, low=0.0, high=1.0)
    if not sampling and (top_k or top_p < 1.0):
        raise InputError(f"top_k or top_p given with strategy={strategy.name}, which answers greedily: leave it out")
    if top_p == 0.0:
        raise InputError("top_p=0 given, it must be above 0 and at most 1")
    limits = {key: _number(given, key, 0, low=1, whole=True) for key in TOKEN_LIMITS if key in given}
    given = normalize_gen_kwargs(given | limits, default_max_new_tokens)
    max_new_tokens = given.pop("max_gen_toks")
    until = given.pop("until", None) or []
    for key in ("do_sample", "temperature"):
        given.pop(key, None)  # what normalising added
    _refuse_unknown(given)
    return Settings(
        max_new_tokens,
        until=_texts(until),
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        generate_arguments=given,
    )


def recorded(settings: Settings) -> dict:
    """Return what the results record."""
    record = {"max_new_tokens": settings.max_new_tokens, "until": list(settings.until), **settings.generate_arguments}
    if settings.temperature == 0:
        return {"greedy": True, **record}
    sampling = {key: getattr(settings, key) for key in ("temperature", "top_k", "top_p")}
    return {"greedy": False, **sampling, **record}


def altered_decoding(generation_config: dict) -> dict:
    """Return what a checkpoint's generation_config changes in greedy decoding (sampling settings do not)."""
    greedy = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": None}
    greedy |= dict.fromkeys(("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "forced_eos_token_id"))
    greedy |= dict.fromkeys(("encoder_repetition_penalty", "guidance_scale", "exponential_decay_length_penalty"))
    return {k: v for k, v in generation_config.items() if k in greedy and v not in (None, greedy[k])}


def _refuse_several(given: dict) -> None:
    for key in ("num_beams", "num_return_sequences"):
        value = given.pop(key, 1)
        if value != 1:
            raise InputError(f"{key}={value} given: a candidate has one response from one beam; leave it out")


def _refuse_contradiction(sampling: bool, temperature: float, do_sample: object, strategy: str) -> None:
    if sampling and temperature == 0:
        raise InputError(
            f"strategy={strategy} draws samples, and temperature 0 is given, it must be above 0: "
            "add --gen_kwargs temperature=0.6,do_sample=true"
        )
    if not sampling and (do_sample or temperature > 0):
        raise InputError(
            f"sampling was asked for (do_sample, temperature) with strategy={strategy}, whose candidates answer "
            "greedily: leave it out or use strategy=sample"
        )


def _refuse_unknown(given: dict) -> None:
    for key, value in given.items():
        if key not in ALLOWED:
            allowed = ", ".join(("until", "max_gen_toks", "temperature", "top_k", "top_p", "do_sample", *ALLOWED))
            raise InputError(f"generation argument {key}={value} given, allowed are {allowed}")


def _number(given: dict, key: str, default: float, low: float, high: float = math.inf, whole: bool = False) -> float:
    """Take a number out of the settings. Raises InputError where it is none, or out of range."""
    value = given.pop(key, default)
    kind = "a whole number" if whole else "a number"
    wrong = isinstance(value, bool) or not isinstance(value, int if whole else (int, float))
    if wrong or not low <= value <= high:
        limits = f"from {low}" + (f" to {high}" if high < math.inf else " up")
        raise InputError(f"{key}={value} given, it must be {kind} {limits}")
    return value


def _texts(until: object) -> list[str]:
    if not isinstance(until, list) or not all(isinstance(stop, str) for stop in until):
        raise InputError(f"until={until} given, it must be a text or a list of texts")
    return until
