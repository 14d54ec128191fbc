"""Draws of questions: nested, deterministic by seed; diverse ones spread over the clusters and within them."""

import numpy as np
import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.selection import draw
from sprint_lmeval.selection.draw import diverse_order, drawn_questions, greedy_map
from sprint_lmeval.selection.encoder import Encoder
from tests.shared.selector_examples import KindEncoder, questions


@pytest.mark.parametrize("how", draw.DRAWS)
def test_a_larger_draw_holds_a_smaller_one(how, monkeypatch):
    monkeypatch.setattr(draw, "CLUSTER", 10)
    texts = questions(50)
    few, more = (drawn_questions(texts, count, 1, how, KindEncoder()) for count in (10, 30))
    assert set(few) < set(more) and few == sorted(few) and len(set(more)) == 30
    assert few == drawn_questions(texts, 10, 1, how, KindEncoder())
    assert drawn_questions(texts, None, 1, how) == drawn_questions(texts, 50, 2, how, KindEncoder()) == list(range(50))


def test_another_seed_draws_others():
    assert drawn_questions(questions(50), 10, 1) != drawn_questions(questions(50), 10, 2)


def test_equal_questions_are_drawn_once():
    assert drawn_questions(["a", "b", "a ", "c", " b"], None, seed=0) == [0, 1, 3]
    with pytest.raises(InputError, match="--questions 4 given, there are 3 different ones"):
        drawn_questions(["a", "b", "a ", "c"], 4, seed=0)


def test_greedy_map_takes_what_enlarges_the_determinant_most():
    vectors = np.random.default_rng(0).normal(size=(12, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = vectors @ vectors.T + draw.RIDGE * np.eye(12)
    order = greedy_map(vectors)
    assert sorted(order) == list(range(12))
    for step in range(1, 6):
        left = [i for i in range(12) if i not in order[:step]]
        best = max(left, key=lambda i: np.linalg.det(kernel[np.ix_([*order[:step], i], [*order[:step], i])]))
        assert order[step] == best


def test_a_diverse_draw_takes_from_every_cluster_in_proportion_and_no_near_copies_first(monkeypatch):
    monkeypatch.setattr(draw, "CLUSTER", 30)
    centres = np.eye(8)[[0] * 40 + [1] * 20]
    vectors = centres + np.random.default_rng(1).normal(scale=0.1, size=centres.shape)
    vectors[1:20] = vectors[0]  # copies of one question
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first = np.array(diverse_order(vectors, seed=3)[:15])
    assert (first < 40).sum() == 10
    assert (first < 20).sum() <= 1


def test_without_an_encoder_a_diverse_draw_is_one_sentence(monkeypatch):
    def missing(name=None):
        raise InputError("the sentence encoder is not here")

    monkeypatch.setattr(Encoder, "find", missing)
    with pytest.raises(InputError, match="encoder is not here"):
        drawn_questions(questions(5), 3, 0, "diverse")
