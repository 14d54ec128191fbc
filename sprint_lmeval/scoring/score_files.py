"""The file of scores beside the samples: which response each method chose, whether it is right, and how alike they are.

    samples_<task>_<date>.jsonl -> scores_<task>_<date>.json
    {"version": 1, "samples": {"name", "sha256"}, "methods": {name: {"accuracy", "recovered_of_pass_n", "chosen",
     "correct", "settings", ...}}, "redundancy": {...}}

Another method is added to a file of the same samples; the scores of other samples are replaced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.report.baseline import write_whole
from sprint_lmeval.report.runs import Run
from sprint_lmeval.report.scores import MAX_SCORES, VERSION, scores_path
from sprint_lmeval.report.statistics import mcnemar, paired_bootstrap


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
