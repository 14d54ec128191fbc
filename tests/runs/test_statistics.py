"""Paired statistics against scipy's own, closed forms and published examples."""

import numpy as np
import pytest
from scipy import stats

from sprint_lmeval.runs.statistics import holm, mcnemar, paired_bootstrap, paired_test


def pair(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (1, 5), (5, 5), (10, 3), (0, 20), (120, 86), (2000, 2100)])
def test_mcnemar_is_the_binomial_test_of_the_discordant(only_a, only_b):
    a, b = pair(7, only_a, only_b, 4)
    expected = stats.binomtest(only_a, only_a + only_b, 0.5)
    assert mcnemar(a, b) == pytest.approx(expected.pvalue, rel=1e-9)
    assert mcnemar(b, a) == pytest.approx(expected.pvalue, rel=1e-9)
    less = stats.binomtest(only_a, only_a + only_b, 0.5, alternative="less")
    assert mcnemar(a, b, "less") == pytest.approx(less.pvalue, rel=1e-9)


def test_mcnemar_by_hand():
    assert mcnemar(*pair(10, 0, 5, 3)) == 2 / 2**5
    assert mcnemar(*pair(10, 0, 5, 3), "less") == 1 / 2**5
    assert mcnemar(*pair(10, 0, 0, 3)) == 1.0  # nothing differs, so nothing is shown
    assert mcnemar(*pair(10, 0, 0, 3), "less") == 1.0
    assert mcnemar(*pair(21, 9, 2, 12)) == pytest.approx(134 / 2**11)  # 0.06543, as mcnemar.exact of R's exact2x2


def test_mcnemar_ignores_what_both_solve_and_the_order():
    few, many = pair(0, 3, 9, 0), pair(5_000, 3, 9, 5_000)
    assert mcnemar(*few) == mcnemar(*many)
    shuffled = np.random.default_rng(1).permutation(12)
    assert mcnemar(few[0][shuffled], few[1][shuffled]) == mcnemar(*few)


def test_the_bootstrap_interval_is_that_of_the_normal_for_many_questions():
    draw = np.random.default_rng(3)
    b = draw.random(3_000)
    a = b + draw.normal(0.02, 0.3, 3_000)
    found = paired_bootstrap(a, b, resamples=4_000)
    error = (a - b).std() / np.sqrt(3_000)
    assert found.difference == pytest.approx((a - b).mean())
    assert found.low == pytest.approx(found.difference - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.difference + 1.96 * error, abs=0.1 * error)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.difference) / error), abs=0.02)


@pytest.mark.parametrize("alternative", ["two-sided", "less"])
def test_the_bootstrap_p_agrees_with_scipys_own(alternative):
    draw = np.random.default_rng(5)
    a, b = draw.integers(0, 17, (2, 120)) / 16
    a = np.minimum(a, b + 0.3)
    found = paired_bootstrap(a, b, alternative=alternative)
    gains = a - b
    resampled = stats.bootstrap((gains,), np.mean, n_resamples=10_000, method="percentile", rng=1)
    moved = resampled.bootstrap_distribution - gains.mean()
    expected = np.mean(moved <= gains.mean() if alternative == "less" else abs(moved) >= abs(gains.mean()))
    assert found.p == pytest.approx(expected, abs=0.01)
    assert found.low == pytest.approx(resampled.confidence_interval.low, abs=0.01)
    assert found.high == pytest.approx(resampled.confidence_interval.high, abs=0.01)


def test_the_bootstrap_agrees_with_mcnemar_on_verdicts():
    a, b = pair(200, 40, 70, 190)
    assert paired_bootstrap(a, b).p == pytest.approx(mcnemar(a, b), abs=0.005)


def test_the_bootstrap_keeps_its_level():
    """Of many comparisons without a difference, about one in twenty has p below 0.05."""
    draw = np.random.default_rng(11)
    ps = [paired_bootstrap(*draw.integers(0, 5, (2, 80)), resamples=400).p for _ in range(600)]
    assert 0.03 < np.mean(np.array(ps) < 0.05) < 0.075


def test_few_questions_are_never_sure():
    drop = np.zeros(3), np.full(3, 0.5)
    assert paired_bootstrap(*drop).p == 2 / 2**3
    assert paired_bootstrap(*drop, alternative="less").p == 1 / 2**3
    same = paired_bootstrap(np.ones(4), np.ones(4))
    assert tuple(same) == (0.0, 0.0, 0.0, 1.0)


def test_the_bootstrap_is_the_same_for_a_seed_and_any_order_of_questions():
    draw = np.random.default_rng(2)
    a, b = draw.integers(0, 5, (2, 100)).astype(float)
    order = draw.permutation(100)
    assert paired_bootstrap(a, b, 500) == paired_bootstrap(a[order], b[order], 500)
    assert paired_bootstrap(a, b, 500).low != paired_bootstrap(a, b, 500, seed=1).low


def test_more_draws_than_are_held_at_once(monkeypatch):
    monkeypatch.setattr("sprint_lmeval.runs.statistics.CHUNK", 50)
    a = np.random.default_rng(0).normal(0.1, 1, 40)
    found = paired_bootstrap(a, np.zeros(40), resamples=999)
    assert found.low < found.difference < found.high


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # R: p.adjust(p, "holm")
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2] and holm([]) == []


@pytest.mark.parametrize(
    ("a", "b", "problem"),
    [
        ([True], [True, False], "shapes"),
        ([], [], "shapes"),
        ([[True]], [[True]], "shapes"),
        ([0.5], [1.0], "McNemar"),
        ([1], [0], "McNemar"),
    ],
)
def test_mcnemar_refuses_what_is_not_paired_or_not_bool(a, b, problem):
    with pytest.raises(ValueError, match=problem):
        mcnemar(a, b)


def test_other_mistakes_are_told():
    with pytest.raises(ValueError, match="missing or infinite"):
        paired_bootstrap([0.1, np.nan], [0.2, 0.3])
    with pytest.raises(ValueError, match="alternative 'more'"):
        paired_bootstrap([0.1], [0.2], alternative="more")
    with pytest.raises(ValueError, match="resamples = 0"):
        paired_bootstrap([0.1], [0.2], resamples=0)
    for wrong in ([1.2], [-0.1], [float("nan")], [[0.1]]):
        with pytest.raises(ValueError, match="from 0 to 1"):
            holm(wrong)


def test_the_test_that_fits_and_no_interval_that_contradicts_its_p():
    draw = np.random.default_rng(0)
    contradicted = 0
    for _ in range(60):
        a, b = draw.random((2, 40)) < draw.random((2, 1))
        found, exact = paired_test(a, b)
        drawn = paired_bootstrap(a.astype(float), b.astype(float))
        assert exact and found.p == mcnemar(a, b) and found.difference == drawn.difference
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05)
        contradicted += (found.low, found.high) != drawn[1:3]
    assert contradicted
    found, exact = paired_test(np.array([0.5, 1.0, 0.25]), np.array([0.25, 0.5, 0.0]))
    assert not exact and found.low == 0 < found.difference and found.p >= 0.05
