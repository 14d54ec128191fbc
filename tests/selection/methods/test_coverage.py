"""Our method in parts: features of questions, the forest as likeness, mixtures of rows, the greedy choice."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from sprint_lmeval.errors import InputError
from sprint_lmeval.selection import folder as selector_folder
from sprint_lmeval.selection.methods import forest
from sprint_lmeval.selection.methods.coverage import mixtures
from sprint_lmeval.selection.methods.question_features import FIGURES, FIRST_NUMBERS, features, frequent_words
from sprint_lmeval.selection.methods.registry import METHODS
from sprint_lmeval.selection.methods.set_cover import soft_cover
from tests.shared.selector_examples import examples, make_selector, matrix, outcomes, questions, trained

# ---- features ----


def test_wording_is_seen_without_its_numbers():
    words = frequent_words(questions(30))
    one, same, other = features(["Tom has 3 pens", "tom has 4.75 PENS!", "A train goes 3 km per hour"], words)
    assert (one[:-FIGURES] == same[:-FIGURES]).all() and one[:-FIGURES].any()
    assert (one[:-FIGURES] != other[:-FIGURES]).any()


def test_numbers_in_order_then_how_many_the_largest_and_the_words():
    (found,) = features(["Of 12 and 3.5 take 7"], np.array([], np.int64))
    assert found.tolist() == [12, 3.5, 7, -1, -1, -1, 3, 12, 6]
    (none,) = features(["How many?"], np.array([], np.int64))
    assert none.tolist() == [-1] * FIRST_NUMBERS + [0, -1, 2]


def test_words_that_are_rare_are_not_kept():
    assert len(frequent_words(["one two", "one two", "one"])) == 1
    assert len(frequent_words([])) == 0
    many = [f"word{i % 7}a common" for i in range(600)]
    assert len(frequent_words(many)) < 30


@pytest.mark.parametrize("question", ["", "9" * 400, "1.2.3.4 " * 9_000, "\0\ud800", "x" * 100_000])
def test_any_text_has_finite_features(question):
    assert np.isfinite(features([question], frequent_words(questions(9)))).all()


# ---- forest ----


def grown(count: int = 80) -> tuple[dict, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)
    targets = np.stack([x[:, 0] > 0, x[:, 1] > 0.5], axis=1)
    return forest.grow(x, targets, trees=7, leaf=4, share=0.6, seed=3), x


def test_the_arrays_walk_as_the_library_does():
    tensors, x = grown()
    targets = np.stack([x[:, 0] > 0, x[:, 1] > 0.5], axis=1).astype(np.float32)
    model = RandomForestRegressor(7, min_samples_leaf=4, max_features=0.6, random_state=3).fit(x, targets)
    new = np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32)
    assert (forest.leaves(tensors, new) - tensors["tree_start"] == model.apply(new)).all()
    assert {name: str(array.dtype) for name, array in tensors.items()} == {k: v[0] for k, v in forest.shapes().items()}
    forest.check(tensors, 5)


def test_likeness_is_a_share_of_leaves():
    tensors, x = grown()
    new = x[:3] + 0.01
    weights = forest.likeness(tensors, new)
    expected = np.zeros((3, len(x)))
    for tree in range(7):
        for row, leaf in enumerate(forest.leaves(tensors, new)[:, tree]):
            inside = tensors["example_leaf"][:, tree] == leaf
            expected[row, inside] += 1 / 7 / inside.sum()
    assert np.allclose(weights, expected, atol=1e-6) and np.allclose(weights.sum(1), 1)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("node_left", 0, 0),  # a walk that never ends
        ("node_right", 0, 10**6),
        ("node_left", 0, -1),  # one side only
        ("node_left", 0, -7),
        ("node_feature", 0, 5),
        ("node_feature", 0, -1),
        ("tree_start", 1, 10**6),
        ("tree_start", 0, -1),
        ("example_leaf", (0, 0), 10**6),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name, place, value):
    tensors, _ = grown()
    tensors[name] = tensors[name].copy()
    tensors[name][place] = value
    with pytest.raises(InputError, match="do not make trees"):
        forest.check(tensors, 5)


def test_a_selector_with_such_arrays_is_neither_written_nor_read(tmp_path, monkeypatch):
    selector = make_selector("coverage")
    selector.tensors["node_left"] = np.zeros_like(selector.tensors["node_left"])
    with pytest.raises(InputError, match="do not make trees"):
        selector.save_pretrained(tmp_path / "s")
    assert not (tmp_path / "s").exists()
    monkeypatch.setattr(selector_folder, "_refuse_unreadable", lambda *paths: None)
    selector.save_pretrained(tmp_path / "s")
    with pytest.raises(InputError, match=r"selector .*do not make trees"):
        type(selector).from_pretrained(tmp_path / "s")


# ---- mixtures and choice ----


def test_mixtures_find_the_kinds_of_rows():
    rates, members = mixtures(outcomes(120)[:, 1:4], classes=2, seed=0)
    assert rates.shape == (8, 3) and members.shape == (120, 8)
    assert np.allclose(members.astype(float).sum(1), 1, atol=1e-2)
    expected = members.astype(np.float32) @ rates
    assert np.abs(expected - outcomes(120)[:, 1:4]).max() < 0.1


def test_one_class_is_the_overall_rates():
    rates, _ = mixtures(outcomes(60), classes=1, seed=0)
    assert np.allclose(rates, np.clip(outcomes(60).mean(0), 1e-3, 1), atol=1e-3)


def chance(rows: np.ndarray, weights: np.ndarray, chosen: tuple) -> float:
    return float(weights @ (1 - np.prod(1 - rows[:, list(chosen)], axis=1)))


@pytest.mark.parametrize("seed", range(5))
def test_gains_are_chances_and_the_choice_is_greedy(seed):
    generator = np.random.default_rng(seed)
    rows, weights = generator.random((6, 5)).astype(np.float32), generator.dirichlet(np.ones(6), 2).astype(np.float32)
    order, gains = soft_cover(rows, weights, 5)
    for case in range(2):
        for n in range(1, 6):
            chosen = tuple(order[case, :n])
            assert gains[case, :n].sum() == pytest.approx(chance(rows, weights[case], chosen), abs=1e-5)
            others = [chance(rows, weights[case], (*chosen[:-1], j)) for j in range(5) if j not in chosen[:-1]]
            assert chance(rows, weights[case], chosen) == pytest.approx(max(others), abs=1e-6)
        best = max(chance(rows, weights[case], pair) for pair in combinations(range(5), 2))
        assert gains[case, :2].sum() >= (1 - 1 / np.e) * best


def test_without_locality_every_question_has_one_order():
    method, result = METHODS["coverage"], trained("coverage")
    order, _ = method.order(result.tensors, {**result.setting, "local": 0.0}, examples(20), 6)
    assert (order == order[0]).all()
    order, scores = method.order(result.tensors, {**result.setting, "local": 1.0}, examples(20), 6)
    assert (order != order[0]).any() and (scores >= 0).all() and (scores.sum(1) <= 1.0001).all()


def test_its_choice_does_not_hang_on_the_encoder(monkeypatch):
    selector = make_selector("coverage")
    assert selector.config["encoder"] is None
    monkeypatch.setattr("sprint_lmeval.selection.encoder.Encoder.find", lambda name=None: pytest.fail("not needed"))
    assert len(selector.rank(questions(3, first=500), 2)) == 3


def test_the_texts_are_needed_to_learn():
    from sprint_lmeval.selection.training import Choices, selector_of

    with pytest.raises(InputError, match="have no text"):
        selector_of(METHODS["coverage"], matrix().without_texts(), None, Choices(folds=3))
