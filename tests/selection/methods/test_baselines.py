"""Every method on questions whose best candidates are known, and what all of them promise."""

import numpy as np
import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.selection.methods.logistic import fit_logistic
from sprint_lmeval.selection.methods.method import Option, fold_indices, read_options, train
from sprint_lmeval.selection.methods.registry import METHODS, method_named
from tests.shared.selector_examples import RANKING, examples, options, outcomes, trained

READERS = [name for name, method in METHODS.items() if method.reads]


@pytest.fixture(scope="module", params=RANKING)
def found(request):
    return request.param, trained(request.param)


def test_every_candidate_once_and_best_first(found):
    name, result = found
    asked = examples(20)
    order, scores = METHODS[name].order(result.tensors, result.setting, asked, 6)
    assert order.shape == scores.shape == (20, 6) and order.dtype == np.int64
    assert (np.sort(order, axis=1) == np.arange(6)).all() and np.isfinite(scores).all()
    first, _ = METHODS[name].order(result.tensors, result.setting, asked, 2)
    assert (first == order[:, :2]).all()


def test_its_tensors_are_those_it_declares(found):
    name, result = found
    declared = METHODS[name].shapes(6, 4)
    assert result.tensors.keys() == declared.keys()
    sizes: dict = {}
    for key, (dtype, shape) in declared.items():
        array = result.tensors[key]
        assert array.dtype == dtype, key
        assert len(shape) == array.ndim
        for wanted, length in zip(shape, array.shape, strict=True):
            assert length == (wanted if isinstance(wanted, int) else sizes.setdefault(wanted, length)), key


def test_the_setting_that_was_chosen_is_one_of_its_options(found):
    name, result = found
    assert result.setting.keys() == METHODS[name].options.keys()
    assert max(score for _, score in result.tried) == pytest.approx(result.passed[:, :4].mean())
    for key, value in result.setting.items():
        METHODS[name].options[key].check(key, value)


@pytest.mark.parametrize("name", READERS)
def test_a_method_that_reads_the_question_finds_the_head_of_its_kind(name):
    result = trained(name)
    assert result.validation["pass@1"] == 1.0
    order, _ = METHODS[name].order(result.tensors, result.setting, examples(60), 1)
    assert outcomes(60)[np.arange(60), order[:, 0]].all()


def test_top_and_cover_know_no_question():
    top, cover = trained("top"), trained("cover")
    assert top.tensors["order"][:4].tolist() == [1, 2, 0, 3]
    assert cover.tensors["order"][:2].tolist() == [1, 3]
    assert top.validation["pass@1"] == top.validation["pass@2"] == cover.validation["pass@1"] == 0.6667
    assert cover.validation["pass@2"] == 1.0


@pytest.mark.parametrize("name", RANKING)
def test_the_same_seed_gives_the_same_tensors(name):
    one, other = trained(name), trained(name)
    assert all((one.tensors[key] == other.tensors[key]).all() for key in one.tensors)


def test_sprint_stops_at_the_number_of_epochs_that_the_validation_part_liked():
    result = trained("sprint")
    tried = [setting["epochs"] for setting, _ in result.tried]
    assert tried == list(range(10, 61, 10))
    assert result.setting["epochs"] in tried


@pytest.mark.parametrize(("epochs", "looked_at"), [("3", [3]), ("10", [10]), ("15", [10, 15])])
def test_sprint_never_trains_longer_than_told_and_looks_at_the_last_epoch(epochs, looked_at):
    result = train(METHODS["sprint"], examples(30), options("sprint", epochs=epochs), seed=0, folds=2, objective=4)
    assert [setting["epochs"] for setting, _ in result.tried] == looked_at


def test_logistic_regression_is_at_its_minimum():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(80, 5)).astype(np.float32), generator.random((80, 2)) < 0.4
    weight, bias = fit_logistic(x, y, 1e-2)
    error = 1 / (1 + np.exp(-(x @ weight.T + bias))) - y  # [80, 2]
    assert np.abs(error.T @ x / 80 + 2e-2 * weight).max() < 1e-3 and np.abs(error.mean(0)).max() < 1e-3
    stiff, _ = fit_logistic(x, y, 10.0)
    assert np.abs(stiff).max() < 0.05 < np.abs(weight).max()


def test_a_head_that_is_always_right_is_no_trouble_for_the_classifier():
    x = np.eye(4, dtype=np.float32)
    weight, bias = fit_logistic(x, np.array([[1, 0]] * 4, bool), 1e-3)
    assert np.isfinite(weight).all() and bias[0] > 2 and bias[1] < -2


@pytest.mark.parametrize(("questions", "folds"), [(10, 5), (11, 3), (3, 5)])
def test_folds_hold_every_question_once(questions, folds):
    parts = fold_indices(questions, folds, seed=1)
    assert len(parts) == min(folds, questions) and all(len(part) for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(questions))
    assert [p.tolist() for p in fold_indices(40, 4, 1)] != [p.tolist() for p in fold_indices(40, 4, 2)]


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("sprint", {"q": "3"}, "q=3 given: sprint has the options p, lambda"),
        ("sprint", {"p": "0"}, "p=0 given, it must be a whole number from 1"),
        ("sprint", {"p": "2.5"}, "p=2.5 given"),
        ("sprint", {"lambda": "nan"}, "lambda=nan given, it must be a number from 0"),
        ("sprint", {"rate": "1e9"}, "rate=1e9 given"),
        ("sprint", {"bound": "box"}, "bound=box given, allowed are ball, sphere, none"),
        ("sprint", {"bias": "perhaps"}, "bias=perhaps given, allowed are true and false"),
        ("nearest", {"k": "50:zero"}, "k=zero given"),
        ("top", {"k": "5"}, "k=5 given: top has the options none"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, given, said):
    with pytest.raises(InputError, match=said):
        read_options(METHODS[name], given)


def test_options_are_read():
    read = options("sprint", p="16", bound="sphere", bias="false", **{"lambda": "0.5"})
    assert (read["p"], read["bound"], read["bias"], read["lambda"]) == (16, "sphere", False, 0.5)
    assert options("nearest", k="5:9")["k"] == (5, 9)
    assert options("nearest", k="7")["k"] == (7,)


@pytest.mark.parametrize("value", [None, "3", True, 2.5, float("inf"), -1, [1]])
def test_values_from_a_file_are_checked_by_kind(value):
    with pytest.raises(InputError, match="k="):
        Option((1, 2), "", 1, 100).check("k", value)


@pytest.mark.parametrize("name", [None, "best", 3, "Sprint"])
def test_unknown_methods_are_refused(name):
    with pytest.raises(InputError, match="allowed are sprint, top"):
        method_named(name)
