"""The metrics that a gate compares, and the test of each: values per question, p of a drop, outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sprint_lmeval.answers.verdicts import VERDICTS, Verdict
from sprint_lmeval.errors import InputError
from sprint_lmeval.gate.rules import Rules
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.statistics import holm, mcnemar, paired_bootstrap

ROUNDING = 1e-9
RESAMPLES = 10_000
LOWER_IS_BETTER = ("no_answer", "truncated", "grader_failed")
NO_ANSWER = VERDICTS.index(Verdict.no_answer)
FAILED = (VERDICTS.index(Verdict.timeout), VERDICTS.index(Verdict.error))


@dataclass
class Test:
    """One metric of one pair of runs; rates are shares from 0 to 1, `change` is current minus baseline.

    `most_drop` and `least_p` are what a current run without any right answer would have.
    """

    metric: str
    baseline: float
    current: float
    change: float
    low: float
    high: float
    worse: list[str]
    better: list[str]
    method: str
    p: float
    tolerance: float | None
    most_drop: float
    least_p: float
    p_corrected: float = 1.0
    outcome: str = "passed"

    @property
    def drop(self) -> float:
        """By how much the metric got worse, below 0 where it got better."""
        return self.change if self.metric in LOWER_IS_BETTER else -self.change


@dataclass(frozen=True)
class Comparison:
    """A pair of runs on the same questions."""

    baseline: Run
    current: Run
    tests: list[Test]
    notes: list[str]


def default_metrics(before: Run, now: Run) -> tuple[str, ...]:
    """The first answer, what N answers reach, and their mean; one response that stands for all has the first only."""
    if before.flat and now.flat:
        return ("pass@1",)
    first = () if before.samples.exchangeable else ("pass@1",)  # the first of samples is no better than any
    return tuple(dict.fromkeys((*first, f"pass@{before.n}", f"mean@{before.n}")))


def metric_values(run: Run, metric: str) -> np.ndarray:
    """Return the metric of each question, [questions]; bool where it is pass@k or all@k.

    Raises:
        InputError: there is no such metric, or the run's files do not hold it.
    """
    correct, n = run.correct, run.n
    for name, joined in (("pass", np.any), ("all", np.all)):
        counts = {f"{name}@{k}": k for k in range(1, n + 1)}
        if metric in counts:
            return joined(correct[:, : counts[metric]], axis=1)
    if metric == f"mean@{n}":
        return correct.mean(1)
    if metric == f"maj@{n}":
        return _known(run.samples.majority, run, metric)
    if metric == "no_answer":
        return (run.verdicts == NO_ANSWER).mean(1)
    if metric == "grader_failed":
        return np.isin(run.verdicts, FAILED).mean(1)
    if metric == "truncated":
        return _known(np.where((run.truncated < 0).any(1), np.nan, run.truncated.mean(1)), run, metric)
    named = ", ".join((f"pass@1 to pass@{n}", f"all@1 to all@{n}", f"mean@{n}", f"maj@{n}", *LOWER_IS_BETTER))
    raise InputError(f"metric {metric!a} given, there are {named}")


def _known(values: np.ndarray, run: Run, metric: str) -> np.ndarray:
    if np.isnan(values).any():
        raise InputError(f"{run.path} does not tell {metric} of every question: leave it out of --metrics")
    return values


def test_metric(metric: str, before: Run, now: Run, order: np.ndarray, rules: Rules) -> Test:
    """Test a drop of one metric; `order` is each baseline question's index in the current run."""
    old, new = metric_values(before, metric), metric_values(now, metric)[order]
    good_old, good_new = (1 - old, 1 - new) if metric in LOWER_IS_BETTER else (old, new)  # higher is better
    found = paired_bootstrap(good_new, good_old, RESAMPLES, alternative="less")
    exact = old.dtype == bool
    p = mcnemar(new, old, alternative="less") if exact else found.p
    sign = -1 if metric in LOWER_IS_BETTER else 1
    low, high = sorted((sign * found.low, sign * found.high))
    ids = [question.id for question in before.questions]
    return Test(
        metric=metric,
        baseline=float(old.mean()),
        current=float(new.mean()),
        change=float(new.mean() - old.mean()),
        low=low + 0.0,  # not -0.0
        high=high + 0.0,
        worse=[ids[i] for i in np.flatnonzero(good_new < good_old - ROUNDING)],
        better=[ids[i] for i in np.flatnonzero(good_new > good_old + ROUNDING)],
        method="exact McNemar" if exact else "paired bootstrap",
        p=p,
        tolerance=rules.tolerance(metric),
        most_drop=float(good_old.mean()),
        least_p=max(0.5 ** int((good_old > ROUNDING).sum()), 0.0 if exact else 1 / (RESAMPLES + 1)),
    )


def why_blind(test: Test, rules: Rules, count: int, questions: int) -> str:
    """Return why one of `count` tests could not fail by itself; "" where a bad enough current run would."""
    if rules.alpha is not None and test.least_p * count >= rules.alpha:
        solved = f"{100 * test.baseline:.1f} % of {questions} questions"
        tests = f" among {count} tests" if count > 1 else ""
        return f"with a baseline of {solved} no drop of it alone is significant{tests}"
    if test.tolerance is not None and test.most_drop <= test.tolerance + ROUNDING:
        most, limit = 100 * test.most_drop, 100 * test.tolerance
        return f"it cannot drop by more than {most:.1f} points, and {limit:g} are within its tolerance"
    return ""


def decide(tests: Sequence[Test], rules: Rules) -> None:
    """Fill in corrected p values and outcomes."""
    for test, p in zip(tests, holm([test.p for test in tests]), strict=True):
        test.p_corrected = p
        test.outcome = _outcome(test, rules)


def _outcome(test: Test, rules: Rules) -> str:
    if test.drop <= ROUNDING:
        return "passed"
    if rules.alpha is None and test.tolerance is None:
        return "not limited"
    if test.drop <= (test.tolerance or 0.0) + ROUNDING:
        return "within tolerance"
    return "within chance" if rules.alpha is not None and test.p_corrected >= rules.alpha else "regressed"
