"""The paper's Tables 1-4: an outcome matrix -> Pass@1 of every single pruned head, layer by head, for each subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sprint_lmeval.candidates import BASE
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.report.chance import BestHead, best_heads
from sprint_lmeval.runs.safe_text import csv_text, percent, plain, table_text
from sprint_lmeval.runs.statistics import paired_bootstrap

ALL = "all"
MAX_CELLS = 20_000
MAX_SUBJECTS = 30
RESAMPLES = 2_000


@dataclass(frozen=True, eq=False)
class HeadTable:
    """Pass@1 of single heads.

    Attributes:
        name: of model, task and split.
        subjects: `all` first, then those of the questions, sorted.
        counts: questions of each subject.
        layers, heads: numbers, sorted.
        rates: float [subjects, layers, heads], nan where a head was not run.
        gains: float [subjects, layers, heads], Pass@1 minus that of the unpruned model, of questions both answered.
        base: float [subjects], Pass@1 of the unpruned model, nan where it was not run.
        intervals: float [layers, heads, 2], 95 % bootstrap interval of the gain on all questions, paired.
        best: the best head of each subject beside chance; empty where the unpruned model was not run.
    """

    name: str
    subjects: tuple[str, ...]
    counts: tuple[int, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    rates: np.ndarray
    gains: np.ndarray
    base: np.ndarray
    intervals: np.ndarray
    best: tuple[BestHead, ...] = ()


def head_table(matrix: OutcomeMatrix, name: str) -> HeadTable:
    """Return the table of a matrix; candidates of several heads are left out.

    Raises:
        InputError: it has no single heads, or they are spread too wide for a table.
    """
    columns = {c.heads[0]: column for column, c in enumerate(matrix.candidates) if len(c.heads) == 1}
    layers, heads = (sorted({head[part] for head in columns}) for part in (0, 1))
    if not columns:
        raise InputError(f"{name} has no candidate that is one single head: nothing to put into a table of heads")
    if len(layers) * len(heads) > MAX_CELLS:
        raise InputError(f"{name} has heads of {len(layers)} layers and {len(heads)} numbers, which no table holds")
    subjects = _subjects(matrix)
    rates, gains = np.full((2, len(subjects), len(layers), len(heads)), np.nan)
    intervals = np.full((len(layers), len(heads), 2), np.nan)
    base = matrix.candidates.index(BASE) if BASE in matrix.candidates else None
    for (layer, head), column in columns.items():
        cell = (layers.index(layer), heads.index(head))
        rates[:, *cell] = [_rate(matrix, column, rows) for rows in subjects.values()]
        gains[:, *cell] = [_gain(matrix, column, base, rows) for rows in subjects.values()]
        intervals[cell] = _interval(matrix, column, base)
    return HeadTable(
        name=name,
        subjects=tuple(subjects),
        counts=tuple(int(rows.sum()) for rows in subjects.values()),
        layers=tuple(layers),
        heads=tuple(heads),
        rates=rates,
        gains=gains,
        base=np.array([np.nan if base is None else _rate(matrix, base, rows) for rows in subjects.values()]),
        intervals=intervals,
        best=()
        if base is None
        else _beside_chance(matrix, {base: -1, **{c: h[0] for h, c in columns.items()}}, subjects),
    )


def _beside_chance(matrix: OutcomeMatrix, layers: dict[int, int], subjects: dict[str, np.ndarray]) -> tuple:
    """Best heads on the questions that all heads answered; `layers`: column -> layer, the unpruned model first."""
    columns = list(layers)
    answered = matrix.ran[:, columns].all(axis=1)
    of_subject = {name: rows[answered] for name, rows in subjects.items()}
    return best_heads(matrix.correct[answered][:, columns], list(layers.values())[1:], of_subject)


def _subjects(matrix: OutcomeMatrix) -> dict[str, np.ndarray]:
    """`all` and every named subject (the largest, where there are very many) with its questions, bool [questions]."""
    of_question = np.array([question.subject for question in matrix.questions])
    named, counts = np.unique(of_question[of_question != ""], return_counts=True)
    largest = sorted(named[np.argsort(-counts, kind="stable")][:MAX_SUBJECTS].tolist())
    rows = {ALL: np.ones(len(of_question), bool)}
    return rows | {subject: of_question == subject for subject in largest if len(largest) > 1 and subject != ALL}


def _rate(matrix: OutcomeMatrix, column: int, rows: np.ndarray) -> float:
    ran = matrix.ran[:, column] & rows
    return float(matrix.correct[ran, column].mean()) if ran.any() else float("nan")


def _gain(matrix: OutcomeMatrix, column: int, base: int | None, rows: np.ndarray) -> float:
    both = _both(matrix, column, base) & rows
    if not both.any():
        return float("nan")
    return float(matrix.correct[both, column].mean() - matrix.correct[both, base].mean())


def _both(matrix: OutcomeMatrix, column: int, base: int | None) -> np.ndarray:
    """Questions that a head and the unpruned model both answered, bool [questions]."""
    ran = matrix.ran[:, column]
    return ran & matrix.ran[:, base] if base is not None else np.zeros_like(ran)


def _interval(matrix: OutcomeMatrix, column: int, base: int | None) -> tuple[float, float]:
    """95 % interval of the gain."""
    both = _both(matrix, column, base)
    if not both.any():
        return float("nan"), float("nan")
    paired = paired_bootstrap(*matrix.correct[both][:, [column, base]].T, RESAMPLES)
    return paired.low, paired.high


def best_head_gains(table: HeadTable) -> dict[str, list[float]]:
    """Return, for each subject, the gain of every layer's best head over the unpruned model (the paper's Figure 2)."""
    best = np.full(table.gains.shape[:2], np.nan)
    known = ~np.isnan(table.gains).all(axis=2)
    best[known] = np.nanmax(table.gains[known], axis=1)
    gains = {subject: row[~np.isnan(row)].tolist() for subject, row in zip(table.subjects, best, strict=True)}
    return {subject: values for subject, values in gains.items() if values}


def table_name(matrix: OutcomeMatrix) -> str:
    """Return model, task and split of a matrix, as far as it knows them."""
    facts = matrix.facts
    parts = [facts.get("model") or "unknown model", facts.get("task") or "unknown task", matrix.split]
    return ", ".join(str(part)[:80] for part in parts if part)


# ---- as text ----


def heads_markdown(table: HeadTable) -> str:
    """Return the table in the paper's form: a line for each head, a column for each subject and layer, in percent."""
    pairs = [(s, layer) for s in range(len(table.subjects)) for layer in range(len(table.layers))]
    titles = [f"{plain(table.subjects[s])} ({table.counts[s]}), L{table.layers[layer]}" for s, layer in pairs]
    lines = [["pruned head", *titles]]
    for number, head in enumerate(table.heads):
        cells = [_cell(table, s, layer, number) for s, layer in pairs]
        lines.append([f"H{head}", *cells])
    lines.append(["none", *(percent(table.base[s]) for s, _ in pairs)])
    return table_text(lines)


def _cell(table: HeadTable, subject: int, layer: int, head: int) -> str:
    """In bold where it is above the unpruned model."""
    text = percent(table.rates[subject, layer, head])
    return f"**{text}**" if table.gains[subject, layer, head] > 0 else text


def heads_csv(tables: list[HeadTable]) -> str:
    """Return heads.csv: matrix, subject, questions, layer, head, Pass@1, of the unpruned model, gain."""
    lines: list[list] = [["matrix", "subject", "questions", "layer", "head", "pass@1", "unpruned", "gain"]]
    for table in tables:
        for s, layer, head in np.argwhere(~np.isnan(table.rates)).tolist():
            numbers = (table.rates[s, layer, head], table.base[s], table.gains[s, layer, head])
            named = (table.layers[layer], table.heads[head])
            lines.append([table.name, table.subjects[s], table.counts[s], *named, *map(float, numbers)])
    return csv_text(lines)
