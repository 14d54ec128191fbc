"""Greedy cover: against a plain loop and against the best set, and what happens when everything is covered."""

from itertools import combinations

import numpy as np
import pytest

from sprint_lmeval.selection.methods.set_cover import greedy_cover, hits


def outcomes(questions: int, candidates: int, seed: int, share: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).random((questions, candidates)) < share


def plain_cover(correct: np.ndarray, n: int) -> list[int]:
    """Greedy cover with Python sets, as long as every choice adds something."""
    solves = [set(np.flatnonzero(column)) for column in correct.T]
    chosen: list[int] = []
    covered: set = set()
    while len(chosen) < n:
        left = [j for j in range(len(solves)) if j not in chosen]
        best = max(left, key=lambda j: (len(solves[j] - covered), len(solves[j]), -j))
        if not solves[best] - covered:
            return chosen
        chosen.append(best)
        covered |= solves[best]
    return chosen


@pytest.mark.parametrize("seed", range(8))
def test_it_is_greedy(seed):
    correct = outcomes(60, 9, seed)
    expected = plain_cover(correct, 9)
    order, gains = greedy_cover(correct, 9)
    assert order.shape == gains.shape == (1, 9) and sorted(order[0].tolist()) == list(range(9))
    assert order[0, : len(expected)].tolist() == expected
    assert gains[0].sum() == pytest.approx(correct.any(axis=1).mean(), abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_it_reaches_the_promised_part_of_the_best_set(seed):
    correct = outcomes(40, 8, seed, share=0.2)
    best = max(correct[:, list(chosen)].any(axis=1).mean() for chosen in combinations(range(8), 3))
    assert hits(greedy_cover(correct, 3)[0].repeat(40, axis=0), correct)[:, 2].mean() >= (1 - 1 / np.e) * best


def test_weights_make_an_order_for_each_case():
    correct = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
    weights = np.array([[1, 1, 1, 0], [0, 0, 5, 1], [0, 0, 0, 2]], float)
    order, gains = greedy_cover(correct, 2, weights)
    assert order[0].tolist() == [0, 1] and order[1].tolist() == [1, 2] and order[2, 0] == 2
    assert gains[0] == pytest.approx([2 / 3, 1 / 3]) and gains[1] == pytest.approx([5 / 6, 1 / 6])


def test_when_all_is_covered_the_questions_count_anew():
    correct = np.array([[1, 0, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
    order, gains = greedy_cover(correct, 4)
    assert order[0].tolist() == [0, 2, 1, 3]  # 0 covers all that can be; then 2 before 1, as if anew
    assert gains[0].tolist() == pytest.approx([0.75, 0, 0, 0])


def test_of_equals_the_first():
    order, _ = greedy_cover(np.ones((3, 5), bool), 5)
    assert order[0].tolist() == [0, 1, 2, 3, 4]


def test_no_weight_at_all_is_no_error():
    order, gains = greedy_cover(outcomes(5, 3, 0), 3, np.zeros((2, 5)))
    assert sorted(order[1].tolist()) == [0, 1, 2] and not gains.any()


def test_hits_count_the_first_n():
    correct = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    order = np.array([[0, 1, 2], [2, 1, 0], [0, 1, 2]])
    assert hits(order, correct).astype(int).tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
