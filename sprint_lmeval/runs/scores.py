"""The scores_*.json beside a run's samples: which answer each method chose, and how alike the answers are.

`sprint-lmeval score` writes it: choices in, their accuracy and paired differences out. A report reads it: shares by
method. Scores of other samples are refused where they are read, and replaced where they are written.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprint_lmeval.answers.verdicts import UNKNOWN
from sprint_lmeval.errors import InputError
from sprint_lmeval.files import open_regular, read_json, write_whole
from sprint_lmeval.runs.facts import MAX_NAME
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.statistics import paired_test

MAX_SCORES = 64 << 20
MAX_METHODS = 1000
VERSION = 1
VOTE = "majority"  # the method that is the vote of all N


@dataclass(frozen=True)
class RunScores:
    """Of one run: method -> accuracy and its share of Pass@N, redundancy by name, method -> the unpruned model under
    which it scored all candidates, for the methods that look at probabilities."""

    methods: dict[str, dict[str, float | None]]
    redundancy: dict[str, float]
    scored_under: dict[str, str]


def scores_path(samples: Path) -> Path:
    """Return where the scores of a samples file are."""
    return samples.with_name("scores" + samples.name.removeprefix("samples")).with_suffix(".json")


def read_scores(run: Run) -> RunScores | None:
    """Return the scores beside a run's samples, None where there are none.

    Raises:
        InputError: the file is not whole, or is of other samples.
    """
    path = scores_path(run.samples_path) if run.samples_path else None
    if path is None or not path.exists():
        return None
    found = read_json(path, MAX_SCORES, "scores")
    if not _is_scores(found):
        raise InputError(f"{path} has no scores of version {VERSION}: make it anew with sprint-lmeval score")
    if not _is_of(found, samples_digest(run.samples_path)):
        raise InputError(f"{path} is not of the samples beside it: make it anew with sprint-lmeval score")
    methods = _methods(found["methods"], path)
    return RunScores(methods, _numbers(found.get("redundancy") or {}), _scored_under(found["methods"]))


def _is_scores(found: object) -> bool:
    return isinstance(found, dict) and found.get("version") == VERSION and isinstance(found.get("methods"), dict)


def _is_of(found: dict, digest: str) -> bool:
    return isinstance(found.get("samples"), dict) and found["samples"].get("sha256") == digest


def samples_digest(samples: Path) -> str:
    """Return the sha256 of a samples file."""
    with open_regular(samples) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _methods(methods: dict, path: Path) -> dict[str, dict[str, float | None]]:
    if len(methods) > MAX_METHODS:
        raise InputError(f"{path} has {len(methods)} methods, at most {MAX_METHODS} are read")
    kept = {}
    for name, of_method in methods.items():
        numbers = _numbers(of_method)
        if not 0 <= numbers.get("accuracy", -1) <= 1:
            raise InputError(f"{path}: method {name!a:.60} has no accuracy from 0 to 1")
        kept[str(name)[:60]] = {"recovered_of_pass_n": None, **numbers}
    return kept


def _scored_under(methods: dict) -> dict[str, str]:
    settings = {str(name)[:60]: of_method.get("settings") for name, of_method in methods.items()}
    named = {name: s.get("scored_under") for name, s in settings.items() if isinstance(s, dict)}
    return {name: model[:MAX_NAME] for name, model in named.items() if isinstance(model, str)}


def _numbers(values: object) -> dict[str, float]:
    pairs = values.items() if isinstance(values, dict) else ()
    return {str(k)[:60]: float(v) for k, v in pairs if type(v) in (int, float) and math.isfinite(v)}


# ---- writing ----


@dataclass(frozen=True)
class MethodChoice:
    """What one method chose of one run.

    Attributes:
        method: its name.
        chosen: [questions], the index of a response in the strategy's order, None without any answer.
        settings: texts by name.
        used: [questions], how many responses it asked for; None: it is not compared by cost.
        tokens: [questions], what it spent, where that is not the tokens of the first `used` responses.
        verdicts: [questions], 1 for a right answer, of a method that writes texts of its own; None: those of the chosen
            responses count.
    """

    method: str
    chosen: list[int | None]
    settings: dict
    used: list[int] | None = None
    tokens: list[int] | None = None
    verdicts: list[int] | None = None


def write_scores(run: Run, choices: Sequence[MethodChoice], redundancy: dict[str, float]) -> tuple[Path, dict]:
    """Write the file, with the methods that it had before; returns its path and content.

    Raises:
        InputError: something else is there, or it cannot be written.
    """
    path, digest = scores_path(run.samples_path), samples_digest(run.samples_path)
    by_name = {choice.method: choice for choice in (*_earlier(path, digest, run), *choices)}
    content = {
        "version": VERSION,
        "samples": {"name": run.samples_path.name, "sha256": digest},
        "task": run.task,
        "n": run.n,
        "questions": [question.id for question in run.questions],
        "methods": {name: _entry(run, choice, by_name.get(VOTE)) for name, choice in by_name.items()},
        "redundancy": redundancy,
    }
    write_whole(path, _compact(content))
    return path, content


def _entry(run: Run, choice: MethodChoice, vote: MethodChoice | None) -> dict:
    """What the file keeps of one method; with `vote`, the vote of all N, also what a method that stops early saves."""
    correct, solvable = _correct(run, choice), run.correct.any(1)
    entry = {
        "accuracy": float(correct.mean()),
        "pass_n": float(solvable.mean()),
        "recovered_of_pass_n": float(correct.sum() / solvable.sum()) if solvable.any() else None,
        **_gain("over_first", correct, run.correct[:, 0]),
    }
    lists = {"settings": choice.settings, "chosen": choice.chosen, "correct": correct.astype(int).tolist()}
    lists |= {"verdicts": choice.verdicts} if choice.verdicts else {}
    if choice.used is not None:
        entry |= _cost(run, choice)
        entry |= _gain("over_vote", correct, _correct(run, vote)) if vote else {}
        lists["used"] = choice.used
        lists |= {"tokens": choice.tokens} if choice.tokens else {}
    return entry | lists


def _correct(run: Run, choice: MethodChoice) -> np.ndarray:
    """bool [questions]: whether the chosen response, or the method's own text, is right."""
    if choice.verdicts is not None:
        return np.array(choice.verdicts, bool)
    return np.array([index is not None and bool(run.correct[q, index]) for q, index in enumerate(choice.chosen)])


def _gain(name: str, correct: np.ndarray, other: np.ndarray) -> dict[str, float]:
    gain, _ = paired_test(correct, other)
    return {name: gain.difference, f"{name}_low": gain.low, f"{name}_high": gain.high, f"{name}_p": gain.p}


def _cost(run: Run, choice: MethodChoice) -> dict[str, float]:
    """Means over questions of what was asked for; tokens also of all N, as far as the run knows lengths."""
    found = {"answers_used": float(np.mean(choice.used))}
    if (run.new_tokens != UNKNOWN).all():
        spent = choice.tokens or run.new_tokens.cumsum(1)[np.arange(len(choice.used)), np.array(choice.used) - 1]
        found |= {"tokens_used": float(np.mean(spent)), "tokens_of_all": float(run.new_tokens.sum(1).mean())}
    return found


def _earlier(path: Path, digest: str, run: Run) -> list[MethodChoice]:
    """What is in the file already, where it is of the same samples."""
    if not path.exists():
        return []
    try:
        found = read_json(path, MAX_SCORES, "scores")
    except InputError:
        found = None
    if not _is_scores(found):
        raise InputError(f"{path} is there and is no file of scores: move it away")
    return [_kept(path, run, *pair) for pair in found["methods"].items()] if _is_of(found, digest) else []


def _kept(path: Path, run: Run, method: str, entry: object) -> MethodChoice:
    """What was chosen earlier; everything else is computed anew from it."""
    entry = entry if isinstance(entry, dict) else {}
    kept = ("chosen", "settings", "used", "tokens", "verdicts")
    chosen, settings, used, tokens, verdicts = (entry.get(name) for name in kept)
    fits = isinstance(settings, dict) and len(method) <= 60
    fits = fits and _indices(chosen, run, lambda i: i is None or (type(i) is int and 0 <= i < run.n))
    fits = fits and (used is None or _indices(used, run, lambda i: type(i) is int and 0 < i <= run.n))
    fits = fits and (verdicts is None or _indices(verdicts, run, lambda i: type(i) is int and i in (0, 1)))
    if not fits or not (tokens is None or _indices(tokens, run, lambda i: type(i) is int and i >= 0)):
        raise InputError(f"{path}: method {method!a:.60} is not as sprint-lmeval score writes it, move the file away")
    return MethodChoice(method, chosen, {str(k): str(v) for k, v in settings.items()}, used, tokens, verdicts)


def _indices(values: object, run: Run, fits: Callable[[object], bool]) -> bool:
    return isinstance(values, list) and len(values) == len(run.questions) and all(map(fits, values))


def _compact(content: dict) -> str:
    """JSON with one line a list, so that a file of a thousand questions stays readable."""
    lines = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for name in ("methods", "redundancy", "questions", "chosen", "correct", "used", "tokens", "verdicts", "settings"):
        lines = lines.replace(f'"{name}":', f'\n"{name}":')
    return lines + "\n"
