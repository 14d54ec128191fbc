"""The best of many heads beside chance: on heads that do nothing, and on one that does."""

import numpy as np
import pytest

from sprint_lmeval.report.chance import best_heads, chance_markdown, split_half

LAYERS = [0] * 10 + [1] * 10


def noise(questions: int = 300, seed: int = 0) -> np.ndarray:
    """Verdicts of 20 heads and the unpruned model that differ by luck only; questions are easy and hard."""
    draw = np.random.default_rng(seed)
    return draw.random((questions, 21)) < draw.random((questions, 1))


def everything(correct: np.ndarray) -> dict[str, np.ndarray]:
    return {"all": np.ones(len(correct), bool)}


def test_a_gain_of_noise_is_what_chance_gives():
    found = [best_heads(correct, LAYERS, everything(correct))[0] for correct in map(noise, [300] * 12, range(12))]
    assert np.mean([one.gain for one in found]) > 0.02  # as a head that helped would look
    assert np.mean([one.gain for one in found]) == pytest.approx(np.mean([one.expected for one in found]), abs=0.015)
    assert np.mean([one.layer_gain - one.layer_expected for one in found]) == pytest.approx(0, abs=0.015)
    assert np.mean([one.split_half for one in found]) == pytest.approx(0, abs=0.02)
    assert sum(one.p < 0.05 for one in found) <= 2 and np.mean([one.above for one in found]) < 0.2


def test_a_head_that_helps_is_seen():
    correct = noise()
    correct[:, 7] |= np.random.default_rng(1).random(300) < 0.5
    (one,) = best_heads(correct, LAYERS, everything(correct))
    assert one.p < 0.01 and one.gain > 2 * one.expected and one.above == pytest.approx(1 / 20)
    assert one.split_half == pytest.approx(one.gain, abs=0.03)


def test_subjects_are_by_themselves_and_those_without_questions_left_out():
    correct = noise()
    of_first = np.arange(300) < 100
    alone = best_heads(correct[of_first], LAYERS, everything(correct[of_first]))[0]
    both = best_heads(correct, LAYERS, {"first": of_first, "none": np.zeros(300, bool)})
    assert [one.subject for one in both] == ["first"]
    assert (both[0].gain, both[0].questions, both[0].split_half) == (alone.gain, 100, alone.split_half)
    assert both[0].expected == pytest.approx(alone.expected, abs=0.01)


def test_where_no_verdict_differs_nothing_is_gained():
    same = np.repeat(np.arange(40)[:, None] % 2 == 0, 21, axis=1)
    (one,) = best_heads(same, LAYERS, everything(same))
    assert (one.gain, one.expected, one.above, one.p, one.split_half) == (0, 0, 0, 1, 0)
    assert np.isnan(split_half(same[:1])) and best_heads(same[:0], LAYERS, everything(same[:0])) == ()


def test_the_table_says_what_its_columns_are():
    correct = noise(60)
    text = chance_markdown(best_heads(correct, LAYERS, everything(correct)))
    assert text.startswith("Gain of the best head") and "| all | 60 | +" in text
    assert chance_markdown(()) == ""
