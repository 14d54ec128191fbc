"""The routers: chance minus price within a budget, and targets that Sinkhorn's algorithm spreads."""

import numpy as np
import pytest
import torch

from sprint_lmeval.errors import InputError
from sprint_lmeval.selection.methods.balanced import balanced_targets
from sprint_lmeval.selection.methods.registry import METHODS
from sprint_lmeval.selection.methods.route import affordable, fit_ridge
from sprint_lmeval.selection.training import Choices, selector_of
from tests.shared.selector_examples import KindEncoder, examples, matrix, outcomes, tokens, trained

ROUTE = METHODS["route"]


@pytest.fixture(scope="module")
def learned():
    return trained("route")


def test_lengths_are_those_of_the_candidate_and_the_kind():
    seen = examples(60)
    weight, bias = fit_ridge(seen.embeddings, seen.tokens, 1e-5)
    assert np.abs(seen.embeddings @ weight.T + bias - tokens(60)).max() < 0.5
    stiff, mean = fit_ridge(seen.embeddings, seen.tokens, 1e6)
    assert np.abs(stiff).max() < 1e-3 and np.allclose(mean, seen.tokens.mean(0), atol=1e-2)


def test_without_a_price_it_is_logistic_and_with_one_the_shorter_comes_first(learned):
    tensors, setting = learned.tensors, learned.setting
    free, _ = ROUTE.order(tensors, {**setting, "price": 0.0}, examples(30), 6)
    logistic, _ = METHODS["logistic"].order(tensors, setting, examples(30), 6)
    assert (free == logistic).all()
    dear, scores = ROUTE.order(tensors, {**setting, "price": 100.0}, examples(30), 6)
    assert (dear == np.arange(6)).all()  # by tokens
    assert (np.diff(scores, axis=1) < 0).all()


def test_what_fits_the_budget_comes_first(learned):
    tensors, setting = learned.tensors, learned.setting
    order, _ = ROUTE.order(tensors, {**setting, "price": 0.0, "budget": 60.0}, examples(30), 6)
    free, _ = ROUTE.order(tensors, {**setting, "price": 0.0}, examples(30), 6)
    lengths = examples(30).embeddings @ tensors["length_weight"].T + tensors["length_bias"]
    for row, wanted, costs in zip(order, free, lengths, strict=True):
        left, bought = 60.0, []
        for candidate in wanted:
            if costs[candidate] <= left:
                left -= costs[candidate]
                bought.append(candidate)
        assert row.tolist() == [*bought, *[c for c in wanted if c not in bought]]
    assert affordable(np.array([[3.0, 9.0, 2.0]]), 5).tolist() == [[True, False, True]]


def test_a_matrix_without_tokens_is_refused():
    known = matrix()
    known.new_tokens[3, 1] = -1
    with pytest.raises(InputError, match="does not have the tokens of every answer"):
        selector_of(ROUTE, known, KindEncoder(), Choices(folds=3))


def test_rounds_even_the_load_and_none_leave_all_to_the_nearest():
    solved = torch.from_numpy(outcomes(60)[:, 1:4])  # columns 0 and 1 solve the same 40, column 2 the other 20
    logits = torch.tensor([5.0, 0.0, 0.0]).expand(60, 3)
    for rounds in (0, 1, 50):
        shares = balanced_targets(logits, solved, rounds)
        assert torch.allclose(shares.sum(1), torch.ones(60)) and (shares[~solved] == 0).all()
        loads = shares.sum(0)
        assert loads[2] == pytest.approx(20)
        assert loads[0].item() == pytest.approx(40 / (1 + np.exp(-5.0)) if rounds == 0 else 20, abs=1e-3)
