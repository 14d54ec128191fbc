"""Groups of comparable runs -> rows of the leaderboard, with the paired difference of each run to the best baseline.

A baseline is a strategy that learned nothing (`base`, `sample`, `random`, `spread`, `fixed`, a plain harness run) or
learned one list or priority for every question (`top`, `cover`, `branch`). The best one of the same model at the same
k is what a run is compared with: Pass@k of the same questions, McNemar's exact test where every value is 0 or 1, else
the paired bootstrap; p values are corrected by Holm's method for all comparisons of a task and model.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sprint_lmeval.runs.comparable import ComparableRuns
from sprint_lmeval.runs.facts import MAX_NAME
from sprint_lmeval.runs.rates import (
    pass_error,
    pass_of_questions,
    pass_rate,
    seconds,
    tokens_per_answer,
    tokens_spent,
)
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.safe_text import csv_text, p_value
from sprint_lmeval.runs.scores import RunScores
from sprint_lmeval.runs.statistics import holm, paired_test

SHOWN = (1, 4, 8, 16)
QUESTION_BLIND = ("top", "cover", "branch")


def leaderboard(
    groups: Sequence[ComparableRuns], scores: dict[tuple[Path, str], RunScores] | None = None
) -> list[dict]:
    """Return one row for each run, best first within its group.

    Keys: group (number from 1), task, model, strategy, questions, n, pass (k -> Pass@k), stderr (k -> its
    standard error, None unknown), unbiased, mean, majority,
    no_answer, truncated, grader_failed, distinct_answers, tokens_per_answer, tokens_per_question, seconds, common_n,
    comparisons (list of `compare`), best_at (every k at which it is the best baseline), baseline (bool), methods,
    redundancy and scored_under (of a score file, or {}), run, path, look (number of the
    strategy's colour, line and marker in the whole report; 0 is `base`).
    """
    rows = []
    for number, group in enumerate(groups, 1):
        of_group = [_row(number, group, run, (scores or {}).get((run.path, run.task))) for run in group.runs]
        for row in of_group:
            row["comparisons"] = _comparisons(row, of_group)
        rows += sorted(of_group, key=lambda row: (-row["pass"].get(row["common_n"], 0), row["model"], row["strategy"]))
    _correct(rows)
    looks = dict.fromkeys(["base", *(row["strategy"] for row in rows)])
    numbers = {strategy: number for number, strategy in enumerate(looks)}
    return [row | {"look": numbers[row["strategy"]]} for row in rows]


def _row(number: int, group: ComparableRuns, run: Run, scores: RunScores | None) -> dict:
    shown = sorted({*SHOWN, group.common_n})
    rates = {k: pass_rate(run, k) for k in shown}
    spent = tokens_spent(run, run.n)
    return {
        "group": number,
        "task": run.task[:MAX_NAME],
        "model": run.model_label,
        "strategy": run.strategy_label,
        "questions": len(run.questions) or run.facts["questions"],
        "n": run.n,
        "pass": {k: value for k, value in rates.items() if value is not None},
        "stderr": {k: pass_error(run, k) for k in shown},
        "unbiased": run.exchangeable,
        "mean": run.metrics.get(f"mean@{run.n}"),
        "majority": run.metrics.get(f"maj@{run.n}"),
        **{name: run.metrics.get(name) for name in ("no_answer", "truncated", "grader_failed", "distinct_answers")},
        "tokens_per_answer": tokens_per_answer(run),
        "tokens_per_question": None if spent is None else float(spent[-1]),
        "seconds": seconds(run),
        "common_n": group.common_n,
        "baseline": is_baseline(run),
        "methods": scores.methods if scores else {},
        "redundancy": scores.redundancy if scores else {},
        "scored_under": scores.scored_under if scores else {},
        "comparisons": [],
        "best_at": [],
        "path": run.path,
        "run": run,
    }


def is_baseline(run: Run) -> bool:
    return not run.facts["learned"] or run.facts["method"] in QUESTION_BLIND


def _comparisons(row: dict, rows: list[dict]) -> list[dict]:
    """The row against the best baseline of its model, at every shown k up to the common N."""
    found = []
    for k in (k for k in sorted(row["pass"]) if k <= row["common_n"]):
        like = [other for other in rows if other["model"] == row["model"] and k in other["pass"]]
        rivals = [other for other in like if other["baseline"]]
        best = max(rivals, key=lambda other: _precedence(other, k), default=None)
        if best is row and len(like) > 1:
            row["best_at"].append(k)
        elif best is not None and best is not row:
            comparison = compare(row["run"], best["run"], k)
            found += [comparison | {"baseline": best["strategy"]}] if comparison else []
    return found


def _precedence(row: dict, k: int) -> tuple:
    """Among equals the simplest: the unpruned model, then what learned nothing."""
    return row["pass"][k], row["run"].flat, not row["run"].facts["learned"], row["strategy"]


def compare(run: Run, baseline: Run, k: int) -> dict | None:
    """Return Pass@k of one run minus that of another, paired by question; None without both runs' samples.

    Keys: k, difference, low, high (95 % interval), test (`mcnemar` or `bootstrap`), p, p_holm (of this one).
    """
    first, second = pass_of_questions(run, k), pass_of_questions(baseline, k)
    if first is None or second is None:
        return None
    paired, exact = paired_test(first, second)
    return {
        "k": k,
        "difference": paired.difference,
        "low": paired.low,
        "high": paired.high,
        "test": "mcnemar" if exact else "bootstrap",
        "p": paired.p,
        "p_holm": paired.p,
    }


def _correct(rows: list[dict]) -> None:
    families: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        families.setdefault((row["task"], row["model"]), []).extend(row["comparisons"])
    for comparisons in families.values():
        for comparison, p in zip(comparisons, holm([c["p"] for c in comparisons]), strict=True):
            comparison["p_holm"] = p


def headline(row: dict) -> dict | None:
    """Return the comparison at the common N, None where the row is the best baseline or has no samples."""
    return next((c for c in row["comparisons"] if c["k"] == row["common_n"]), None)


def both_p(comparison: dict) -> str:
    """Return p and the corrected p as text, once where they read the same."""
    texts = dict.fromkeys(p_value(comparison[name]) for name in ("p", "p_holm"))
    return " / ".join(texts)


def is_best_baseline(row: dict) -> bool:
    """Whether it is what the others of its group and model are compared with at the common N."""
    return row["common_n"] in row["best_at"]


def method_label(name: str) -> str:
    """Return how a method of choosing is called beside the harness's majority, which splits ties."""
    return "majority vote" if name == "majority" else name


def about_methods(rows: Sequence[dict]) -> str:
    """Return how the methods of score files are to be read; "" where there are none."""
    under: dict[str, list[str]] = {}
    for name, model in sorted({pair for row in rows for pair in row["scored_under"].items()}):
        under.setdefault(model, []).append(name)
    sentences = ["Majority vote: the same, the first of equals."]
    for model, names in under.items():
        sentences.append(f"All candidates scored under the unpruned {model}: {', '.join(names)}.")
    named = {name for row in rows for name in row["methods"]}
    return " ".join(sentences if "majority" in named else sentences[1:])


# ---- as CSV ----

COLUMNS = ("group", "task", "model", "strategy", "questions", "n", "unbiased", "mean", "majority", "no_answer",
           "truncated", "grader_failed", "distinct_answers", "tokens_per_answer", "tokens_per_question", "seconds",
           "common_n", "baseline")  # fmt: skip
COMPARED = ("baseline", "difference", "low", "high", "test", "p", "p_holm")


def leaderboard_csv(rows: Sequence[dict], folder: Path) -> str:
    """Return leaderboard.csv: rates as shares, empty where unknown; files as seen from `folder`."""
    levels = sorted({k for row in rows for k in row["pass"]})
    methods = sorted({name for row in rows for name in row["methods"]})
    head = [*COLUMNS[:6], *(f"pass@{k}" for k in levels), *COLUMNS[6:], *(f"compared_{name}" for name in COMPARED)]
    lines = [[*head, *(f"{m}_{part}" for m in methods for part in ("accuracy", "recovered")), "file"]]
    for row in rows:
        compared = headline(row) or {}
        cells = [row[name] for name in COLUMNS[:6]] + [row["pass"].get(k) for k in levels]
        cells += [row[name] for name in COLUMNS[6:]] + [compared.get(name) for name in COMPARED]
        for method in methods:
            cells += [row["methods"].get(method, {}).get(part) for part in ("accuracy", "recovered_of_pass_n")]
        lines.append([*cells, place_of(row["path"], folder)])
    return csv_text(lines)


def comparisons_csv(rows: Sequence[dict]) -> str:
    """Return comparisons.csv: every paired difference at every k."""
    lines = [["group", "task", "model", "strategy", "k", *COMPARED]]
    for row in rows:
        of_row = [row[name] for name in ("group", "task", "model", "strategy")]
        lines += [[*of_row, c["k"], *(c[name] for name in COMPARED)] for c in row["comparisons"]]
    return csv_text(lines)


def place_of(path: Path, folder: Path) -> str:
    """Return the file as seen from the report: the same wherever both lie."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
