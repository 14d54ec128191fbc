"""Rows of the leaderboard and outcome matrices -> what the page knows from its start, as plain JSON values.

Single responses are not in it: the page unpacks those by blocks (responses.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.report.curves import curve_of
from sprint_lmeval.report.heads import head_table, table_name
from sprint_lmeval.report.leaderboard import about_methods, headline, is_best_baseline, method_label
from sprint_lmeval.report.page import limits
from sprint_lmeval.report.page.limits import shorten
from sprint_lmeval.report.page.mathematics import Mathematics
from sprint_lmeval.report.page.summary import best_strategies
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.samples import Document

LETTERS = np.array(list("01234-"))  # verdict codes as one letter each; the last stands for -1, not run


def core_data(
    rows: Sequence[dict], matrices: Sequence[OutcomeMatrix], mathematics: Mathematics, texts: bool = True
) -> dict:
    """Return tasks with their problems, runs with curves and verdicts, the leaderboard and the matrices."""
    tasks = [_Task(name, of_group, mathematics, texts) for name, of_group in _by_group(rows).items()]
    return {
        "summary": _summary(rows),
        "best": best_strategies(rows, lambda row: _task_label(row, rows)),
        "leaderboard": leaderboard_data(rows),
        "tasks": [{"name": task.name, "questions": task.questions} for task in tasks],
        "runs": [run for index, task in enumerate(tasks) for run in task.runs(index)],
        "matrices": [data for matrix in matrices if (data := heads_data(matrix))],
    }


def _summary(rows: Sequence[dict]) -> str:
    if not rows:
        return ""
    models = len({row["model"] for row in rows})
    named = {row["task"] for row in rows}
    where = named.pop() if len(named) == 1 else _count(len(named), "task")
    questions = len({(row["task"], question.hash) for row in rows for question in row["run"].questions})
    return f"{_count(len(rows), 'run')} of {_count(models, 'model')} on {where}, {_count(questions, 'question')}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _by_group(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """Rows by task; where a task has several groups, they are numbered."""
    groups: dict[int, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    tasks = [of_group[0]["task"] for of_group in groups.values()]
    return {
        task if tasks.count(task) == 1 else f"{task} (group {number})": of_group
        for task, (number, of_group) in zip(tasks, groups.items(), strict=True)
    }


class _Task:
    """Runs that may be compared, and the questions of all of them."""

    def __init__(self, name: str, rows: list[dict], mathematics: Mathematics, texts: bool) -> None:
        self.name, self.rows = name, rows
        known = {}
        for question in (question for row in rows for question in row["run"].questions):
            if question.hash not in known or not known[question.hash].text:  # some files are published without texts
                known[question.hash] = question
        self._indices = {key: index for index, key in enumerate(known)}
        self.questions = [_question_data(question, mathematics, texts) for question in known.values()]

    def runs(self, index: int) -> list[dict]:
        models = list(dict.fromkeys(row["model"] for row in self.rows))
        n = max(row["n"] for row in self.rows)
        return [
            {
                "label": row["strategy"] if len(models) == 1 else f"{row['model']}: {row['strategy']}",
                "look": row["look"],
                "bold": not row["baseline"] or row["look"] == 0,
                "model": models.index(row["model"]),
                "task": index,
                **curve_data(row["run"], n),
                **self._outcomes(row["run"]),
            }
            for row in self.rows
        ]

    def _outcomes(self, run: Run) -> dict:
        """Which questions the run answered, and a string of N verdict letters for each."""
        if run.samples is None:
            return {"questions": None, "verdicts": None}
        return {
            "questions": [self._indices[question.hash] for question in run.questions],
            "verdicts": ["".join(letters) for letters in LETTERS[run.verdicts]],
        }


def _question_data(question: Document, mathematics: Mathematics, texts: bool) -> dict:
    text, gold = (question.text, question.gold) if texts else ("", "")
    return {
        "id": shorten(question.id, limits.NAME),
        "pieces": mathematics.of_text(shorten(text, limits.PROBLEM)),
        "subject": question.subject and shorten(question.subject, limits.NAME),
        "level": question.level or None,  # 0: the task has none
        "gold": mathematics.of_answer(shorten(gold, limits.ANSWER)) if gold else [],
    }


def curve_data(run: Run, n: int) -> dict:
    """Pass@1 ... Pass@N with 95 % intervals, and the mean tokens generated for them; None where not known."""
    one = curve_of(run, n)
    spent = run.flat or one.tokens is None
    return {
        "curve": _without_nan(one.passed),
        "low": None if one.low is None else _without_nan(one.low),
        "high": None if one.high is None else _without_nan(one.high),
        "tokens": None if spent else np.round(one.tokens, 1).tolist(),
    }


# ---- leaderboard ----


def _column(label: str, meaning: str = "", kind: str = "number", choose: bool = False, rare: bool = False) -> dict:
    return {"label": label, "meaning": meaning, "kind": kind, "filter": choose, "rare": rare}


def leaderboard_data(rows: Sequence[dict]) -> dict:
    """Return columns (label, meaning, kind, filter, rare: shown on demand) and one list of values for each run."""
    levels = sorted({k for row in rows for k in row["pass"]})
    methods = sorted({name for row in rows for name in row["methods"]})
    table: list[tuple[dict, list]] = [
        (_column("Model", kind="text", choose=True), [row["model"] for row in rows]),
        (_column("Strategy", "what decides the N answers", "text", choose=True), [row["strategy"] for row in rows]),
        (_column("Task", kind="text", choose=True), [_task_label(row, rows) for row in rows]),
    ]
    for k in levels:
        table.append((_percent(f"Pass@{k}", f"one of the first {k} is correct"), [row["pass"].get(k) for row in rows]))
    meaning = "points of Pass@N to the best baseline, 95 % interval, p"
    table.append((_column("Difference", meaning, "difference"), [_compared(row) for row in rows]))
    table += [(_percent(label, meaning, rare), [row[name] for row in rows]) for name, label, meaning, rare in RATES]
    for method in methods:
        found = [row["methods"].get(method, {}) for row in rows]
        label = method_label(method)
        table.append((_percent(label, "one answer chosen by this"), [one.get("accuracy") for one in found]))
        recovered = [one.get("recovered_of_pass_n") for one in found]
        table.append((_percent(f"{label} / Pass@N", "share of Pass@N that the choice recovers", True), recovered))
    table.append((_column("Tokens", "mean tokens of an answer"), [row["tokens_per_answer"] for row in rows]))
    for label, meaning in (("N", "answers per question"), ("Questions", ""), ("Seconds", "time of the run")):
        table.append((_column(label, meaning, rare=True), [row[label.lower()] for row in rows]))
    if len({row["group"] for row in rows}) == 1:  # the one task stands at the head of the page
        table = [(column, values) for column, values in table if column["label"] != "Task"]
    kept = [(column, values) for column, values in table if any(value is not None for value in values)]
    return {
        "columns": [column for column, _ in kept],
        "rows": [list(row) for row in zip(*(values for _, values in kept), strict=True)],
        "notes": _notes(rows),
    }


RATES = (
    ("majority", "Majority", "the most frequent answer is correct; ties split", False),
    ("mean", "Mean", "share of all answers that are correct", True),
    ("no_answer", "No answer", "share of responses without an answer", True),
    ("truncated", "Truncated", "share of responses that reached the limit of new tokens", True),
)
RATES_NOTE = (
    "Rates are per cent. Pass@N counts a question if any of its first N answers is correct, in the strategy's order."
)
DIFFERENCE_NOTE = (
    "Difference: points of Pass@N (at the N all runs of the task have) against the best baseline of the same model, "
    "paired by question, with its 95 % interval; p by McNemar's exact test (where values are not 0 or 1: bootstrap), "
    "and, behind the stroke, corrected by Holm's method for all comparisons of the task and model."
)


def _notes(rows: Sequence[dict]) -> list[str]:
    sampled = "Of independent samples Pass@N is the unbiased estimate over all orders of a question's answers."
    compared, unbiased = (any(row[name] for row in rows) for name in ("comparisons", "unbiased"))
    notes = [RATES_NOTE, compared and DIFFERENCE_NOTE, unbiased and sampled, _about_methods(rows)]
    return [note for note in notes if note]


def _about_methods(rows: Sequence[dict]) -> str:
    about = about_methods(rows)
    return f"Choosing one answer: Majority is the most frequent one, ties split. {about}" if about else ""


def _percent(label: str, meaning: str, rare: bool = False) -> dict:
    return _column(label, meaning, "percent", rare=rare)


def _task_label(row: dict, rows: Sequence[dict]) -> str:
    groups = {other["group"] for other in rows if other["task"] == row["task"]}
    return row["task"] if len(groups) == 1 else f"{row['task']} (group {row['group']})"


def _compared(row: dict) -> list | str | None:
    """Difference, low, high in points, p, p corrected, baseline, N; or that the row is the best baseline."""
    one = headline(row)
    if one is None:
        return "best baseline" if is_best_baseline(row) else None
    numbers = [round(100 * one[name], 2) for name in ("difference", "low", "high")]
    return [*numbers, one["p"], one["p_holm"], one["baseline"], one["k"]]


# ---- outcome matrices ----


def heads_data(matrix: OutcomeMatrix) -> dict | None:
    """Return Pass@1 of every single head, subject by layer by head; None where there is no table of them."""
    try:
        table = head_table(matrix, table_name(matrix))
    except InputError:  # no single heads, or too many: the report says so beside its own tables
        return None
    singles = sum(len(candidate.heads) <= 1 for candidate in matrix.candidates)
    return {
        "label": table.name,
        "subjects": tuple(shorten(subject, limits.NAME) for subject in table.subjects),
        "counts": table.counts,
        "layers": table.layers,
        "heads": table.heads,
        "rates": _without_nan(table.rates),
        "base": _without_nan(table.base),
        "gains": _without_nan(table.gains),
        "left_out": len(matrix.candidates) - singles,
    }


def _without_nan(values: np.ndarray) -> list:
    return np.where(np.isnan(values), None, np.round(values, 5)).tolist()
