"""Votes, probabilities of paths and redundancy, by hand and against scipy."""

import numpy as np
import pytest
from scipy.stats import weibull_min

from sprint_lmeval.scoring.rpc import (
    _density,
    different,
    high_chance,
    path_probabilities,
    pruned,
    shares,
    without_improbable,
)
from sprint_lmeval.scoring.votes import best, class_totals, redundancy, score_weights, vote


@pytest.mark.parametrize(
    ("groups", "weights", "chosen"),
    [
        ([0, 1, 1, 0, 1], None, 1),  # the class of most answers, its first response
        ([0, 1, 1, 0], None, 0),  # a tie: what comes first in the order
        ([None, None, 2], None, 2),  # no answer, no vote
        ([None, None], None, None),
        ([0, 1, 1], [5.0, 1.0, 1.0], 0),  # weights outvote numbers
        ([0, 1, 1], [1.0, 0.5, 0.5], 0),
        ([0, 1], [np.nan, 0.1], 1),
        ([None, 1], [9.0, 0.0], 1),
    ],
)
def test_votes(groups, weights, chosen):
    assert vote(groups, weights) == chosen


def test_totals_of_classes():
    assert class_totals([3, None, 3, 1], [0.5, 9, 0.25, 1]) == {3: 0.75, 1: 1.0}


@pytest.mark.parametrize(
    ("groups", "values", "chosen"),
    [
        ([0, 1, 1], [-3.0, -1.0, -2.0], 1),
        ([0, None, 1], [-3.0, 9.0, -3.0], 0),  # without an answer nothing is chosen; of equals the first
        ([0, 1], [np.nan, -5.0], 1),
        ([None], [1.0], None),
        ([0], [np.nan], None),
    ],
)
def test_best_of_n(groups, values, chosen):
    assert best(groups, values) == chosen


def test_scores_become_weights():
    chances = np.array([[0.7, 0.2], [0.0, 0.0]])
    weights, how = score_weights(chances)
    assert how == "the score" and weights.tolist() == [[0.7, 0.2], [1.0, 1.0]]
    distances = np.array([[-1.0, -2.0], [-1000.0, -1001.0]], np.float32)
    weights, how = score_weights(distances)
    assert how.startswith("softmax") and np.allclose(weights, [[0.7311, 0.2689]] * 2, atol=1e-4)


# ---- probabilities of paths ----


def test_equal_texts_count_once():
    weights = different(np.array([0.5, 0.4, 0.5, 0.1]), ["a", "b", "a", "a"])
    assert weights.tolist() == [0.5, 0.4, 0.0, 0.0]


def test_whole_paths_are_compared_without_underflow():
    assert shares([-2000.0, -2001.0, np.nan]).tolist() == pytest.approx([1.0, np.exp(-1), 0.0])
    assert shares([np.nan]).tolist() == [0.0]
    assert path_probabilities([-1.0, np.nan, -np.inf, 0.5]).tolist() == pytest.approx([np.exp(-1), 0, 0, 1])


@pytest.mark.parametrize(("shape", "scale"), [(0.7, 0.2), (1.5, 2.0), (30.0, 0.9)])
def test_the_density_is_weibulls(shape, scale):
    values = np.linspace(0.01, 1, 50)
    assert np.allclose(_density(values, shape, scale), weibull_min.pdf(values, shape, scale=scale))


def test_two_heaps_are_told_apart():
    draw = np.random.default_rng(0)
    low, high = draw.normal(0.15, 0.03, 12), draw.normal(0.85, 0.03, 20)
    chance = high_chance(np.concatenate([low, high]))
    assert (chance[:12] < 0.5).all() and (chance[12:] > 0.5).all()
    values = np.concatenate([high, low])
    assert pruned(values, values > 0).tolist() == [False] * 20 + [True] * 12
    assert (without_improbable(values)[20:] == 0).all() and (without_improbable(values)[:20] == high).all()


def test_nothing_above_the_mean_is_pruned():
    values = np.array([0.2, 0.5, 0.55, 0.6, 0.9])
    assert not pruned(values, values > 0)[values >= values.mean()].any()


@pytest.mark.parametrize("values", [[0.4], [0.4] * 16, [0.4, 0.4 + 1e-15], [], [0.0, 0.3]])
def test_too_little_to_fit_prunes_nothing(values):
    values = np.array(values)
    assert not pruned(values, values > 0).any()


@pytest.mark.parametrize("values", [[1e-300, 1.0] * 8, [1e-9, 2e-9, 1.0], [1.0, 1.0, 0.999999]])
def test_extreme_values_are_survived(values):
    values = np.array(values)
    assert np.isfinite(high_chance(values)).all()
    assert not pruned(values, values > 0)[values >= values.mean()].any()


# ---- redundancy ----


def test_redundancy_by_hand():
    groups = [[0, 0, 1, None], [0, 0, 0, 0]]
    texts = [["a b", "a b", "a c", "x"], ["same"] * 4]
    found = redundancy(groups, texts)
    assert found["distinct_answers"] == 1.5
    assert found["pairs_with_equal_answers"] == pytest.approx((1 / 3 + 1) / 2)
    assert found["distinct_texts"] == 2.0
    assert found["pairs_with_equal_texts"] == pytest.approx((1 / 6 + 1) / 2)
    # pairs of the first question: {a b}{a b} 1, {a b}{a c} 1/3 twice, three with {x} 0
    assert found["shared_words_of_pairs"] == pytest.approx(((1 + 2 / 3) / 6 + 1) / 2)


def test_redundancy_without_texts_and_without_pairs():
    assert redundancy([[0, None], [None, None]], None) == {"distinct_answers": 0.5}
    assert redundancy([[0]], [["a"]]) == {"distinct_answers": 1.0, "distinct_texts": 1.0}


def test_many_and_long_texts_are_bounded():
    """A thousand different texts of a question would be half a million pairs."""
    texts = [[f"{number} " + "word " * 50_000 for number in range(300)]]
    assert 0 < redundancy([[0] * 300], texts)["shared_words_of_pairs"] <= 1
