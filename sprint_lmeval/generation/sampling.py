"""Multinomial sampling with one seed per row: a row's text does not depend on its batch, its rank or its neighbours.

In: next-token scores, and one random number of the row's own stream. Out: the drawn token; for transformers'
`generate`, scores that leave only the drawn token, so that greedy selection takes it. Temperature, top-k and top-p are
transformers' own warpers, in transformers' order.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

BLOCK = 1024  # tokens


class Multinomial:
    """Draws tokens after temperature, top-k and top-p.

    Args:
        temperature: above 0.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the most probable tokens up to this mass; 1.0 keeps all.
    """

    def __init__(self, temperature: float, top_k: int = 0, top_p: float = 1.0) -> None:
        self.warpers = [TemperatureLogitsWarper(float(temperature))]
        if top_k:
            self.warpers.append(TopKLogitsWarper(int(top_k)))
        if top_p < 1.0:
            self.warpers.append(TopPLogitsWarper(float(top_p)))

    def draw(self, scores: torch.Tensor, uniform: Sequence[float]) -> torch.Tensor:
        """Return tokens [rows, 1] drawn from `scores` [rows, vocabulary] by one number in [0, 1) for each row."""
        scores = scores.float()
        for warper in self.warpers:
            scores = warper(None, scores)
        return _drawn(scores.softmax(-1), torch.tensor(uniform, dtype=torch.float64)[:, None])


class RowSampler(LogitsProcessor):
    """Draws each row's next token from its own stream of random numbers.

    Args:
        seeds: one per row.
        temperature, top_k, top_p: of `Multinomial`.
    """

    def __init__(self, seeds: list[int], temperature: float, top_k: int = 0, top_p: float = 1.0) -> None:
        self.streams = [random.Random(seed) for seed in seeds]
        self.multinomial = Multinomial(temperature, top_k, top_p)

    def of_rows(self, slots: list[int]) -> RowSampler:
        """Return a sampler of some of the rows, which continues their streams."""
        copy = RowSampler([], 1.0)
        copy.multinomial, copy.streams = self.multinomial, [self.streams[slot] for slot in slots]
        return copy

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        drawn = self.multinomial.draw(scores, [s.random() for s in self.streams])  # scores: [rows, vocabulary]
        return torch.full_like(scores.float(), -torch.inf).scatter(-1, drawn, 0.0)


def _drawn(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Return the token [rows, 1] at which each row's running sum [rows, vocabulary] passes its number in [0, 1).

    The block of tokens is found first, then the token inside it: running sums over a whole vocabulary cost as much as
    a small model's forward pass.
    """
    wide = torch.float32 if probabilities.device.type == "mps" else torch.float64
    blocks = torch.nn.functional.pad(probabilities, (0, -probabilities.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
    masses = blocks.sum(-1, dtype=wide)  # [rows, blocks]
    passed = masses.cumsum(-1)
    target = uniform.to(passed.device, wide) * passed[:, -1:]
    block = _first_above(passed, target, masses)
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, BLOCK))[:, 0].to(wide)  # [rows, BLOCK]
    before = passed.gather(1, block) - masses.gather(1, block)
    return block * BLOCK + _first_above(inside.cumsum(-1), target - before, inside)


def _first_above(passed: torch.Tensor, target: torch.Tensor, masses: torch.Tensor) -> torch.Tensor:
    """Return the first index whose sum is above the target; where rounding leaves none, the last one with mass."""
    found = torch.searchsorted(passed, target, right=True)
    indices = torch.arange(masses.shape[-1], device=masses.device)
    last = torch.where(masses > 0, indices, 0).amax(-1, keepdim=True)
    return torch.minimum(found, last)
