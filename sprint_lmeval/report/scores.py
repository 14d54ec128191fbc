"""What `sprint-lmeval score` left beside the samples: which answer each method chose, and how alike the answers are.

In: the scores_*.json beside a run's samples_*.jsonl. Out: shares by method. A file of other samples is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

from sprint_lmeval.errors import InputError
from sprint_lmeval.report.facts import MAX_NAME
from sprint_lmeval.report.runs import Run

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
