"""Multinomial sampling with one seed per row: a row's text does not depend on its batch, its rank or its neighbours.

In: next-token scores. Out: scores in which only the drawn token is left, so that greedy selection takes it.
Temperature, top-k and top-p are transformers' own warpers, in transformers' own order.
"""

from __future__ import annotations

import random

import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper


class RowSampler(LogitsProcessor):
    """Draws each row's next token from its own stream of random numbers.

    Args:
        seeds: one per row; row i draws what a batch of row i alone would draw.
        temperature: above 0.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the most probable tokens up to this mass; 1.0 keeps all.
    """

    def __init__(self, seeds: list[int], temperature: float, top_k: int = 0, top_p: float = 1.0) -> None:
        self.streams = [random.Random(seed) for seed in seeds]
        self.warpers = [TemperatureLogitsWarper(float(temperature))]
        if top_k:
            self.warpers.append(TopKLogitsWarper(int(top_k)))
        if top_p < 1.0:
            self.warpers.append(TopPLogitsWarper(float(top_p)))

    def of_rows(self, places: list[int]) -> RowSampler:
        """Return a sampler of some of the rows, which go on drawing where they are."""
        copy = RowSampler([], 1.0)
        copy.warpers, copy.streams = self.warpers, [self.streams[place] for place in places]
        return copy

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        scores = scores.float()  # [rows, vocabulary]
        for warper in self.warpers:
            scores = warper(input_ids, scores)
        cumulative = scores.softmax(-1).to(_widest(scores.device)).cumsum(-1)
        uniform = torch.tensor([[s.random()] for s in self.streams], dtype=cumulative.dtype, device=cumulative.device)
        # Scaled by the last sum, which rounding keeps off 1; the draw is below it, so a token with mass is found.
        drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
        drawn = drawn.clamp(max=scores.shape[-1] - 1)  # [rows, 1]
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn, 0.0)


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
