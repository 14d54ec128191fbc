"""What `sprint-lmeval score` left beside the samples: which answer each method chose, and how alike the answers are.

In: the scores_*.json beside a run's samples_*.jsonl. Out: shares by method. A file of other samples is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.files import write_whole
from sprint_lmeval.runs.facts import MAX_NAME
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.statistics import mcnemar, paired_bootstrap

MAX_SCORES = 64 << 20
MAX_METHODS = 100
VERSION = 1


@dataclass(frozen=True)
class RunScores:
    """Of one run: method -> accuracy and its share of Pass@N; redundancy figures by name; and, of the methods that
    look at probabilities, the unpruned model under which all candidates were scored."""

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
    if path is None or not path.is_file():
        return None
    if path.stat().st_size > MAX_SCORES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes, scores of at most {MAX_SCORES:,} are read")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not JSON: it is damaged, or was not written to its end") from None
    if not isinstance(found, dict) or found.get("version") != VERSION or not isinstance(found.get("methods"), dict):
        raise InputError(f"{path} has no scores of version {VERSION}: make it anew with sprint-lmeval score")
    _check_samples(path, found, run)
    methods = _methods(found["methods"], path)
    return RunScores(methods, _numbers(found.get("redundancy") or {}), _scored_under(found["methods"]))


def _check_samples(path: Path, found: dict, run: Run) -> None:
    of = found.get("samples")
    expected = of.get("sha256") if isinstance(of, dict) else None
    with run.samples_path.open("rb") as stream:
        if expected != hashlib.file_digest(stream, "sha256").hexdigest():
            raise InputError(f"{path} is not of the samples beside it: make it anew with sprint-lmeval score")


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


@dataclass(frozen=True)
class Choice:
    """What one method chose of one run: places of responses in the strategy's order, None without any answer."""

    method: str
    chosen: list[int | None]
    settings: dict


def method_entry(run: Run, choice: Choice) -> dict:
    """Return what the file keeps of one method."""
    correct = np.array([p is not None and bool(run.correct[q, p]) for q, p in enumerate(choice.chosen)])
    first, solvable = run.correct[:, 0], run.correct.any(1)
    gain = paired_bootstrap(correct, first)
    return {
        "accuracy": float(correct.mean()),
        "pass_n": float(solvable.mean()),
        "recovered_of_pass_n": float(correct.sum() / solvable.sum()) if solvable.any() else None,
        "over_first": gain.difference,
        "over_first_low": gain.low,
        "over_first_high": gain.high,
        "over_first_p": mcnemar(correct, first),
        "settings": choice.settings,
        "chosen": choice.chosen,
        "correct": correct.astype(int).tolist(),
    }


def write_scores(run: Run, choices: Sequence[Choice], redundancy: dict[str, float]) -> tuple[Path, dict]:
    """Write the file, with the methods that it had before; returns its path and content.

    Raises:
        InputError: something else is there, or it cannot be written.
    """
    path = scores_path(run.samples_path)
    with run.samples_path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    by_name = {choice.method: choice for choice in (*_earlier(path, digest, run), *choices)}
    content = {
        "version": VERSION,
        "samples": {"name": run.samples_path.name, "sha256": digest},
        "task": run.task,
        "n": run.n,
        "questions": [question.id for question in run.questions],
        "methods": {name: method_entry(run, choice) for name, choice in by_name.items()},
        "redundancy": redundancy,
    }
    write_whole(path, _compact(content))
    return path, content


def _earlier(path: Path, digest: str, run: Run) -> list[Choice]:
    """What is in the file already, where it is of the same samples."""
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_bytes()) if path.stat().st_size <= MAX_SCORES else None
    except (ValueError, RecursionError, OSError):  # OSError: such as a folder
        raise InputError(f"{path} is there and is no file of scores: move it away") from None
    if not isinstance(found, dict) or found.get("version") != VERSION or not isinstance(found.get("methods"), dict):
        raise InputError(f"{path} is there and is no file of scores: move it away")
    same = isinstance(found.get("samples"), dict) and found["samples"].get("sha256") == digest
    return [_kept(path, run, *pair) for pair in found["methods"].items()] if same else []


def _kept(path: Path, run: Run, method: str, entry: object) -> Choice:
    """What was chosen earlier; everything else is computed anew from it."""
    entry = entry if isinstance(entry, dict) else {}
    chosen, settings = entry.get("chosen"), entry.get("settings")
    fits = isinstance(chosen, list) and len(chosen) == len(run.questions) and isinstance(settings, dict)
    if not fits or not all(p is None or (type(p) is int and 0 <= p < run.n) for p in chosen) or len(method) > 60:
        raise InputError(f"{path}: method {method!a:.60} is not as sprint-lmeval score writes it, move the file away")
    return Choice(method, chosen, {str(k): str(v) for k, v in settings.items()})


def _compact(content: dict) -> str:
    """JSON with one line a list, so that a file of a thousand questions stays readable."""
    lines = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for name in ("methods", "redundancy", "questions", "chosen", "correct", "settings"):
        lines = lines.replace(f'"{name}":', f'\n"{name}":')
    return lines + "\n"
