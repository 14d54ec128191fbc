"""Equation 1 against a plain loop, and fitting it."""

import math

import pytest
import torch

from sprint_lmeval.selection.methods.sprint_loss import BOUNDS, agreement, bound_, fit_sprint, sprint_loss

OPTIONS = {
    "p": 8,
    "lambda": 1e-3,
    "rate": 0.02,
    "weight_decay": 0.0,
    "batch": 0,
    "bound": "ball",
    "radius": 2.0,
    "bias": True,
    "every": 10,
}


def plain_loss(q: list, v: list, z: list, lam: float) -> float:
    """Equation 1, letter by letter; questions without a solving head are left out of the first term."""

    def distance(a: list, b: list) -> float:
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    terms = []
    for i in range(len(q)):
        positive = [j for j in range(len(v)) if z[i][j]]
        if positive:
            above = sum(math.exp(-distance(q[i], v[j])) for j in positive)
            terms.append(-math.log(above / sum(math.exp(-distance(q[i], v[j])) for j in range(len(v)))))
    second = 0.0
    for j in range(len(v)):
        for k in range(j + 1, len(v)):
            s = sum(z[i][j] == z[i][k] for i in range(len(z))) / len(z)
            second += s * distance(v[j], v[k])
    return (sum(terms) / len(terms) if terms else 0.0) - lam * second


def random_case(n: int, m: int, p: int, seed: int, share: float = 0.4) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(n, p, generator=generator, dtype=torch.float64)
    v = torch.randn(m, p, generator=generator, dtype=torch.float64)
    return q, v, torch.rand(n, m, generator=generator) < share


def numeric_gradient(function, tensor: torch.Tensor, step: float = 1e-6) -> torch.Tensor:
    gradient = torch.zeros_like(tensor)
    for place in range(tensor.numel()):
        moved = [tensor.clone(), tensor.clone()]
        moved[0].view(-1)[place] += step
        moved[1].view(-1)[place] -= step
        gradient.view(-1)[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.5])
@pytest.mark.parametrize(("n", "m", "p", "share"), [(7, 5, 3, 0.4), (1, 2, 1, 0.5), (6, 4, 2, 0.15), (4, 3, 2, 1.0)])
def test_the_loss_and_its_gradients_are_those_of_a_plain_loop(n, m, p, share, lam):
    q, v, z = random_case(n, m, p, seed=n, share=share)
    q.requires_grad_()
    v.requires_grad_()
    loss = sprint_loss(q, v, z, lam)
    assert loss.item() == pytest.approx(plain_loss(q.tolist(), v.tolist(), z.tolist(), lam), rel=1e-12, abs=1e-12)
    loss.backward()
    by_q = numeric_gradient(lambda t: plain_loss(t.tolist(), v.tolist(), z.tolist(), lam), q.detach())
    by_v = numeric_gradient(lambda t: plain_loss(q.tolist(), t.tolist(), z.tolist(), lam), v.detach())
    assert torch.allclose(q.grad, by_q, atol=1e-7) and torch.allclose(v.grad, by_v, atol=1e-7)


def test_the_loss_takes_zeros_and_ones_as_well_as_truth_values():
    q, v, z = random_case(5, 4, 3, seed=1)
    assert sprint_loss(q, v, z, 0.1) == sprint_loss(q, v, z.double(), 0.1)


def test_a_question_that_no_head_solves_changes_only_the_agreements():
    q, v, z = random_case(6, 4, 3, seed=2)
    z[0] = False
    assert sprint_loss(q, v, z, 0.0) == pytest.approx(sprint_loss(q[1:], v, z[1:], 0.0).item())
    nobody = torch.zeros_like(z)
    q.requires_grad_()
    loss = sprint_loss(q, v, nobody, 0.0)
    loss.backward()
    assert loss.item() == 0 and not q.grad.any()


def test_far_away_vectors_do_not_overflow():
    q, v, z = random_case(5, 4, 3, seed=3)
    z[:, 0] = True
    assert torch.isfinite(sprint_loss(q * 1e3, v * 1e3, z, 0.0))


def test_agreement_is_the_share_of_equal_outcomes():
    z = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]]).bool()
    assert agreement(z).tolist() == [[1, 0.75, 0.5], [0.75, 1, 0.25], [0.5, 0.25, 1]]


def separable(n: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Questions of two kinds; heads 0 and 1 solve the first kind, head 2 the second, head 3 nothing."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(n) % 2
    embeddings = torch.nn.functional.one_hot(kind, 6).float() + 0.05 * torch.randn(n, 6, generator=generator)
    outcomes = torch.stack([kind == 0, kind == 0, kind == 1, torch.zeros(n).bool()], dim=1)
    return embeddings, outcomes


@pytest.mark.parametrize("batch", [0, 32])
@pytest.mark.parametrize("bound", ["ball", "sphere"])
def test_fitting_finds_which_head_solves_which_kind(batch, bound):
    embeddings, outcomes = separable()
    found = fit_sprint(embeddings, outcomes, OPTIONS | {"batch": batch, "bound": bound}, epochs=150, seed=0)
    nearest = found.distances(embeddings).argmin(dim=1)
    assert outcomes[torch.arange(len(outcomes)), nearest].all()
    assert (found.heads.norm(dim=1) <= OPTIONS["radius"] * 1.0001).all()


def test_without_a_bound_the_second_term_runs_away():
    embeddings, outcomes = separable()
    norms = {
        bound: fit_sprint(embeddings, outcomes, OPTIONS | {"lambda": 0.5, "bound": bound}, 300, 0)
        .heads.norm(dim=1)
        .max()
        for bound in ("none", "ball")
    }
    assert norms["none"] > 2 * OPTIONS["radius"] >= norms["ball"] * 0.9999


def test_the_same_seed_gives_the_same_vectors_and_another_one_others():
    embeddings, outcomes = separable()
    options = OPTIONS | {"batch": 50}
    one, same, other = (fit_sprint(embeddings, outcomes, options, 5, seed).heads for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_watching_sees_every_tenth_epoch_and_the_last_and_changes_nothing():
    embeddings, outcomes = separable()
    seen = []
    watched = fit_sprint(embeddings, outcomes, OPTIONS, 25, 0, watch=lambda epoch, vectors: seen.append(epoch))
    assert seen == [10, 20, 25]
    assert torch.equal(watched.heads, fit_sprint(embeddings, outcomes, OPTIONS, 25, 0).heads)


def test_without_bias_theta_is_a_plain_linear_map():
    embeddings, outcomes = separable()
    assert not fit_sprint(embeddings, outcomes, OPTIONS | {"bias": False}, 5, 0).bias.any()
    assert fit_sprint(embeddings, outcomes, OPTIONS, 5, 0).bias.any()


@pytest.mark.parametrize(("bound", "expected"), [*zip(BOUNDS, ([0.5, 1.0], [1.0, 1.0], [0.5, 4.0]), strict=True)])
def test_bounds(bound, expected):
    heads = torch.tensor([[0.5, 0.0], [0.0, 4.0]])
    bound_(heads, bound, 1.0)
    assert heads.norm(dim=1).tolist() == expected
