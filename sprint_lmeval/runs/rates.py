"""Rates of one run: Pass@k of each question and on average, lengths of answers, what single values are known."""

from __future__ import annotations

import numpy as np

from sprint_lmeval.answers.verdicts import UNKNOWN, VERDICTS
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.samples import chances

NO_ANSWER = [verdict.value for verdict in VERDICTS].index("no_answer")


def pass_rate(run: Run, k: int) -> float | None:
    """Return Pass@k; of independent samples the unbiased estimate; None where the run has fewer responses."""
    k = min(k, run.n) if run.flat else k
    if k > run.n:
        return None
    name = f"unbiased_pass@{k}" if run.exchangeable else f"pass@{k}"
    return run.metrics.get(name)


def pass_error(run: Run, k: int) -> float | None:
    """Return the standard error that the harness wrote for Pass@k."""
    k = min(k, run.n) if run.flat else k
    return run.metrics.get(f"{'unbiased_' if run.exchangeable else ''}pass@{k}_stderr")


def pass_of_questions(run: Run, k: int) -> np.ndarray | None:
    """Return Pass@k of each question, [questions]: 0 or 1, of independent samples the chance; None if not known."""
    k = min(k, run.n) if run.flat else k
    if run.samples is None or k > run.n:
        return None
    if run.exchangeable:
        return chances(run.n, run.correct.sum(1), k)
    return run.correct[:, :k].any(1).astype(float)


def curve(run: Run, n: int) -> np.ndarray:
    """Return Pass@1 ... Pass@n of each question, [questions, up to n]; of a flat run all n columns."""
    last = n if run.flat else min(n, run.n)
    return np.stack([pass_of_questions(run, k) for k in range(1, last + 1)], axis=1)


def tokens_spent(run: Run, n: int) -> np.ndarray | None:
    """Return the mean tokens generated for the first 1 ... n answers of a question; None where lengths are unknown."""
    if run.samples is None or (run.new_tokens == UNKNOWN).any():
        return None
    lengths = run.new_tokens.mean(0)
    if run.flat:
        return np.full(n, lengths[0])  # one answer stands for all
    if run.exchangeable:
        return lengths.mean() * np.arange(1, min(n, run.n) + 1)
    return lengths[:n].cumsum()


def tokens_per_answer(run: Run) -> float | None:
    known = run.new_tokens[run.new_tokens != UNKNOWN]
    return float(known.mean()) if len(known) and (run.new_tokens != UNKNOWN).all() else None


def seconds(run: Run) -> float | None:
    """Return the time of the run; None where other tasks were run with it, or answers came from a store."""
    measured = run.facts["seconds"]
    return None if measured is None or run.facts["tasks_together"] > 1 or run.facts["reused"] else measured
