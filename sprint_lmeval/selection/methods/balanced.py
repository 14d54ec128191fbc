"""The method `balanced`: a contrastive router with optimal transport against collapse, the sibling of equation 1.

After APTP (Adaptive Prompt-Tailored Pruning, arXiv 2406.12042), which routes prompts to pruned image models: a linear
map of the prompt's embedding and a code for each sub-model lie on one sphere; Sinkhorn's algorithm spreads the prompts
over the codes, so that not all go to one; and prompts that are alike for the encoder are to be alike for the router.
SPRINT's equation 1 is content with any head that is right. Here each question is shared among the heads that solve it,
such that all heads get as equal a load as the outcomes allow, and these shares are its target.
"""

from __future__ import annotations

import torch
from torch.nn.functional import log_softmax, normalize, softmax

from sprint_lmeval.selection.methods.sprint_loss import Part, SprintVectors, Watch, fit_vectors


def fit_balanced(
    embeddings: torch.Tensor,
    outcomes: torch.Tensor,
    options: dict,
    epochs: int,
    seed: int,
    watch: Watch | None = None,
) -> SprintVectors:
    """Fit as `fit_sprint` does, with head vectors of length 1 and a loss with `temperature`, `rounds`, `contrast`."""
    known = normalize(embeddings)
    wanted = softmax(_without_self(known @ known.T) / options["temperature"], 1)  # [n, n]

    def loss(q: torch.Tensor, heads: torch.Tensor, part: Part) -> torch.Tensor:
        q = normalize(q)
        logits = q @ heads.T / options["temperature"]
        solved = outcomes[part].any(1)
        target = balanced_targets(logits.detach()[solved], outcomes[part][solved], options["rounds"])
        loss = -(target * log_softmax(logits[solved], 1)).sum() / max(int(solved.sum()), 1)
        if options["contrast"]:
            routed = log_softmax(_without_self(q @ q.T) / options["temperature"], 1)
            loss = loss - options["contrast"] * (wanted * routed).sum(1).mean()
        return loss

    fixed = {"batch": 0, "bound": "sphere", "radius": 1.0, "bias": False}
    return fit_vectors(embeddings, outcomes.shape[1], loss, {**options, **fixed}, epochs, seed, watch)


def balanced_targets(logits: torch.Tensor, outcomes: torch.Tensor, rounds: int) -> torch.Tensor:
    """Share each question among the candidates that solve it, with as equal a load of all candidates as that allows.

    Args:
        logits: [n, m], how near each question is to each candidate.
        outcomes: [n, m], bool; every question is solved by one at least.
        rounds: of Sinkhorn's algorithm; 0: shares by nearness alone.

    Returns:
        [n, m], 0 where not solved; the rows sum to 1.
    """
    shares = (logits - logits.amax(1, keepdim=True)).exp().clamp_min(1e-20) * outcomes
    load = outcomes.shape[0] / outcomes.shape[1]
    for _ in range(rounds):
        shares = shares / shares.sum(1, keepdim=True)
        shares = shares * (load / shares.sum(0).clamp_min(1e-20))
    return shares / shares.sum(1, keepdim=True)


def _without_self(likeness: torch.Tensor) -> torch.Tensor:
    return likeness.masked_fill(torch.eye(len(likeness), dtype=torch.bool), -10.0)
