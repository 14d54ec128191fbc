"""Equation 1 of the paper, and fitting it: embeddings and outcomes in, the linear map theta and head vectors V out.

    L = (1/n) sum_i -log( sum_{j in M_i+} exp(-|q_i - v_j|^2) / sum_j exp(-|q_i - v_j|^2) )
        - lambda * sum_{j<k} s_jk |v_j - v_k|^2

What the paper leaves open, and what is done here:
- A question that no head solves has no M_i+ (log of zero): it is left out of the first term, whose mean is over the
  others, and counted. It stays in s_jk, the share of questions on which heads j and k agree.
- The second term has no floor: after every step the head vectors are put back into a bounded set (`BOUNDS`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

BOUNDS = ("ball", "sphere", "none")
Watch = Callable[[int, "SprintVectors"], None]
Part = torch.Tensor | slice  # of the questions: a minibatch
Loss = Callable[[torch.Tensor, torch.Tensor, Part], torch.Tensor]


@dataclass(frozen=True)
class SprintVectors:
    """theta and V: `weight` [p, dim], `bias` [p] (zeros where theta has none), `heads` [m, p]."""

    weight: torch.Tensor
    bias: torch.Tensor
    heads: torch.Tensor

    def distances(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return |q - v|^2 of every question and head: [n, dim] -> [n, m]."""
        return squared_distances(embeddings @ self.weight.T + self.bias, self.heads)


def sprint_loss(
    questions: torch.Tensor,
    heads: torch.Tensor,
    outcomes: torch.Tensor,
    lam: float,
    agreements: torch.Tensor | None = None,
) -> torch.Tensor:
    """Equation 1 of the paper (SPRINT, arXiv 2506.03978, section 4); differentiable in questions and heads.

    Args:
        questions: q, [n, p].
        heads: v, [m, p].
        outcomes: Z, [n, m], true where question i is solved with head j pruned.
        lam: weight of the second term.
        agreements: s, [m, m]; by default those of `outcomes`. Minibatches are given those of the whole matrix.

    Returns:
        A scalar; the first term is a mean over the questions that any head solves, and 0 where there is none.
    """
    outcomes = outcomes.bool()
    solved = outcomes.any(dim=1)
    logits = -squared_distances(questions[solved], heads)  # [solved, m]
    of_all = torch.logsumexp(logits, dim=1)
    of_positive = torch.logsumexp(logits.masked_fill(~outcomes[solved], -torch.inf), dim=1)
    loss = (of_all - of_positive).sum() / max(int(solved.sum()), 1)
    if lam:
        shared = agreement(outcomes, heads.dtype) if agreements is None else agreements
        loss = loss - lam * (shared * squared_distances(heads, heads)).triu(diagonal=1).sum()
    return loss


def agreement(outcomes: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return s_jk, the share of questions on which heads j and k are both right or both wrong: [n, m] -> [m, m]."""
    signs = outcomes.to(dtype) * 2 - 1
    return (1 + signs.T @ signs / len(outcomes)) / 2


def squared_distances(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return |l - r|^2 of every pair: [n, p], [m, p] -> [n, m]."""
    return left.square().sum(1, keepdim=True) + right.square().sum(1) - 2 * left @ right.T


def fit_sprint(
    embeddings: torch.Tensor,
    outcomes: torch.Tensor,
    options: dict,
    epochs: int,
    seed: int,
    watch: Watch | None = None,
) -> SprintVectors:
    """Minimise equation 1 with AdamW and return the vectors after the last epoch.

    Args:
        embeddings: phi(x), [n, dim], frozen.
        outcomes: Z, [n, m], bool.
        options: p, lambda, rate, weight_decay, batch (0: all questions at once), bound, radius, bias.
        epochs: passes over the questions.
        seed: of the random start and of the order of minibatches.
        watch: called with (epoch, vectors) after every `options["every"]` epochs, and after the last one.
    """
    agreements = agreement(outcomes, embeddings.dtype)

    def loss(q: torch.Tensor, heads: torch.Tensor, part: Part) -> torch.Tensor:
        return sprint_loss(q, heads, outcomes[part], options["lambda"], agreements)

    return fit_vectors(embeddings, outcomes.shape[1], loss, options, epochs, seed, watch)


def fit_vectors(
    embeddings: torch.Tensor, m: int, loss: Loss, options: dict, epochs: int, seed: int, watch: Watch | None = None
) -> SprintVectors:
    """Minimise a loss over theta and the m head vectors as `fit_sprint` does.

    `loss` is called with q [batch, p], the head vectors [m, p] and which questions the batch holds.
    """
    generator = torch.Generator().manual_seed(seed)
    theta, bias, heads = _random_start(embeddings.shape[1], m, options, generator)
    learned = [theta, heads, *([bias] if options["bias"] else [])]
    optimizer = torch.optim.AdamW(learned, lr=options["rate"], weight_decay=options["weight_decay"])
    for epoch in range(1, epochs + 1):
        for part in _parts(len(embeddings), options["batch"], generator):
            optimizer.zero_grad()
            loss(embeddings[part] @ theta.T + bias, heads, part).backward()
            optimizer.step()
            bound_(heads, options["bound"], options["radius"])
        if watch is not None and (epoch % options["every"] == 0 or epoch == epochs):
            watch(epoch, _detached(theta, bias, heads))
    return _detached(theta, bias, heads)


def bound_(heads: torch.Tensor, bound: str, radius: float) -> None:
    """Put head vectors back, in place: into the ball of `radius`, onto its sphere, or (`none`) leave them."""
    with torch.no_grad():
        norms = heads.norm(dim=1, keepdim=True).clamp_min(1e-12)
        if bound == "ball":
            heads.mul_((radius / norms).clamp_max(1.0))
        elif bound == "sphere":
            heads.mul_(radius / norms)


def _random_start(dim: int, m: int, options: dict, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Head vectors of about half the radius in random directions; theta such that |q| of a unit vector is about 1."""
    p = options["p"]
    theta = torch.randn(p, dim, generator=generator) / p**0.5
    heads = torch.randn(m, p, generator=generator) * (0.5 * options["radius"] / p**0.5)
    bound_(heads, options["bound"], options["radius"])
    bias = torch.zeros(p, requires_grad=bool(options["bias"]))
    return theta.requires_grad_(), bias, heads.requires_grad_()


def _parts(n: int, batch: int, generator: torch.Generator) -> list[Part]:
    return list(torch.randperm(n, generator=generator).split(batch)) if 0 < batch < n else [slice(None)]


def _detached(*tensors: torch.Tensor) -> SprintVectors:
    return SprintVectors(*(tensor.detach().clone() for tensor in tensors))
