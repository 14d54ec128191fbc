"""Paired comparisons of two runs on the same questions: exact McNemar, paired bootstrap, Holm's correction.

In: one value per question for each of two runs, in the same order of questions. Out: differences, intervals, p values.
The question is the unit of chance: the candidates of one question are never counted as independent. Sources: McNemar
1947 in its exact (binomial) form; Efron and Tibshirani 1993, chapters 13 and 16; Holm 1979. numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ALTERNATIVES = ("two-sided", "less")
CHUNK = 1 << 22  # counts that are held at once
SURE = 0.05  # p below which a 95 % interval excludes 0


class Difference(NamedTuple):
    """Mean of the paired differences a - b, its 95 % interval, and p of no difference."""

    difference: float
    low: float
    high: float
    p: float


def mcnemar(a: np.ndarray, b: np.ndarray, alternative: str = "two-sided") -> float:
    """Return the exact p of McNemar's test that both runs are right equally often.

    Only questions that exactly one run solved count: under the null each of them is a fair coin. Without any, p is 1.

    Args:
        a: bool [questions], whether the first run is right.
        b: bool [questions], likewise for the second.
        alternative: "two-sided", or "less": a is right less often than b.
    """
    from scipy.stats import binomtest

    a, b = _pair(a, b, alternative, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if not only_a + only_b:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, alternative=alternative).pvalue)


def mcnemar_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a - b that agrees with `mcnemar`: it excludes 0 where p is below 0.05.

    Clopper and Pearson's interval (1934) of the share that the first run has of the questions that one run alone
    solved, times the share of such questions.

    Args:
        a: bool [questions], whether the first run is right.
        b: bool [questions], likewise for the second.
    """
    from scipy.special import betaincinv

    a, b = _pair(a, b, "two-sided", bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    low = float(betaincinv(only_a, only_b + 1, 0.025)) if only_a else 0.0
    high = float(betaincinv(only_a + 1, only_b, 0.975)) if only_b else 1.0
    share = (only_a + only_b) / len(a)
    return (2 * low - 1) * share, (2 * high - 1) * share


def paired_test(a: np.ndarray, b: np.ndarray) -> tuple[Difference, bool]:
    """Return the difference of two runs by the test that fits their values, and whether that is McNemar's.

    p is McNemar's where all values are 0 or 1, else the paired bootstrap's. The interval is the bootstrap's; where it
    contradicts p, that of McNemar's test, or one that reaches 0.

    Args:
        a: [questions], numbers or truth values of the first run.
        b: [questions], likewise for the second.
    """
    a, b = _pair(np.asarray(a), np.asarray(b), "two-sided", float)
    found = paired_bootstrap(a, b)
    exact = bool(np.isin(np.concatenate([a, b]), (0, 1)).all())
    p = mcnemar(a == 1, b == 1) if exact else found.p
    low, high = found.low, found.high
    if (low > 0 or high < 0) != (p < SURE):
        low, high = mcnemar_interval(a == 1, b == 1) if exact else (min(low, 0.0), max(high, 0.0))
    return Difference(found.difference, low, high, p), exact


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, resamples: int = 10_000, seed: int = 0, alternative: str = "two-sided"
) -> Difference:
    """Return the mean of a - b, its 95 % interval over resampled questions, and p of a mean of 0.

    The p is the share of resamples that, moved to a mean of 0, lie as far out as the difference found. With few
    questions a bootstrap is too sure of itself, so p is never below that of k fair coins falling alike, where k is the
    number of questions that differ. The same values in another order of questions give the same result.

    Args:
        a: float [questions], for example the share of right answers of the first run.
        b: float [questions], likewise for the second.
        resamples: number of draws of as many questions, with replacement.
        seed: of the draws.
        alternative: "two-sided", or "less": the mean of a is below that of b.
    """
    a, b = _pair(a, b, alternative, float)
    gains = a - b
    found = float(gains.mean())
    means = _resampled_means(gains, resamples, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    moved = means - found
    slack = 1e-12 * max(1.0, abs(found))  # sums of the same values in another order
    if alternative == "less":
        extreme, sides = int((moved <= found + slack).sum()), 1
    else:
        extreme, sides = int((np.abs(moved) >= abs(found) - slack).sum()), 2
    p = (extreme + 1) / (resamples + 1)
    least = sides * 0.5 ** int((gains != 0).sum())
    return Difference(found, float(low), float(high), min(1.0, max(p, least)))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values corrected by Holm's method for their number, in the given order."""
    values = np.asarray(ps, float)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p values from 0 to 1 are needed")
    order = np.argsort(values, kind="stable")
    corrected = np.maximum.accumulate((len(values) - np.arange(len(values))) * values[order])
    result = np.empty(len(values))
    result[order] = np.minimum(1.0, corrected)
    return result.tolist()


def _pair(a: np.ndarray, b: np.ndarray, alternative: str, kind: type) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative {alternative!r} given, there are {' and '.join(ALTERNATIVES)}")
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise ValueError(f"shapes {a.shape} and {b.shape} given, needed is one value per question in both")
    if kind is bool and not (a.dtype == b.dtype == np.dtype(bool)):
        raise ValueError(f"values of type {a.dtype} and {b.dtype} given, McNemar's test needs bool")
    a, b = a.astype(kind), b.astype(kind)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a value is missing or infinite: compare only questions that both runs have")
    return a, b


def _resampled_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of `resamples` draws with replacement. Equal values are drawn together: exact, and fast for few of them."""
    if resamples < 1:
        raise ValueError(f"resamples = {resamples} given, at least 1 is needed")
    distinct, counts = np.unique(values, return_counts=True)
    draw = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, CHUNK // len(distinct))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        weights = draw.multinomial(len(values), counts / len(values), size=size)  # [resamples, distinct]
        means[start : start + size] = weights @ distinct / len(values)
    return means
