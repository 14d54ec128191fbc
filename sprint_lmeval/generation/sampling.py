"""Sampling with one seed per row: a row's text does not depend on its batch, its rank or its neighbours.

In: next-token scores, and one number in [0, 1) for each row. Out: the token at which the running sum of the filtered
distribution passes the number. For transformers' `generate`, all other tokens are masked, so that its greedy choice is
this token. Temperature, top-k and top-p are transformers' own warpers, in transformers' order.

An ordinary sample takes each number from the row's random stream. An arithmetic sample (arXiv 2210.15458) has a code in
[0, 1). Its first number is the code. Each further number is the relative position of the last number within the
interval of its token. Evenly spread codes give varied texts, and a uniformly drawn code gives an ordinary sample.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

BLOCK = 1024  # tokens
BELOW_ONE = 1 - 2**-53
CPU_BYTES = 1 << 20  # of distributions computed at a time on a CPU: larger ones ask for new memory each time
# A code is used until its text is less probable than this: by then hardly any two codes of a question share their text.
# Behind it numbers come from the row's stream. Given the text so far, the rest of a code is evenly distributed, as the
# numbers are: the distribution stays. Rounding errors of logits are divided by the text's probability: a code that were
# used for longer would make the text depend on what else is in the batch.
LEAST_PROBABILITY = 2.0**-8


class Code(NamedTuple):
    """What is left of a code: the next number, and the probability of the text that it has chosen."""

    number: float
    probability: float = 1.0

    def behind(self, before: float, mass: float) -> Code | None:
        """Return the code behind a token whose interval begins at `before` and is `mass` wide; None: it is used up."""
        probability = self.probability * mass
        if probability < LEAST_PROBABILITY:
            return None
        return Code(min(max(0.0, (self.number - before) / mass), BELOW_ONE), probability)


class Multinomial:
    """Distributions after temperature, top-k and top-p.

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

    def of(self, scores: torch.Tensor) -> RunningSums:
        """Return the running sums of the distributions that `scores` [lines, vocabulary] give."""
        scores = scores.float()
        for warper in self.warpers:
            scores = warper(None, scores)
        return RunningSums(scores.softmax(-1))


class RunningSums:
    """Running sums of distributions [lines, vocabulary], in float64.

    The block of tokens is found first, then the token inside it: running sums over a whole vocabulary cost as much as a
    small model's forward pass.
    """

    def __init__(self, probabilities: torch.Tensor) -> None:
        self.wide = torch.float32 if probabilities.device.type == "mps" else torch.float64
        padding = (0, -probabilities.shape[-1] % BLOCK)
        self.blocks = torch.nn.functional.pad(probabilities, padding).unflatten(-1, (-1, BLOCK))
        self.masses = self.blocks.sum(-1, dtype=self.wide)  # [lines, blocks]
        self.passed = self.masses.cumsum(-1)

    def tokens(self, numbers: Sequence[float]) -> torch.Tensor:
        """Return the tokens [lines] at which the sums pass the numbers, one a line."""
        return self._found(slice(None), numbers)[0]

    def intervals(self, lines: Sequence[int], numbers: Sequence[float]) -> list[tuple[int, float, float]]:
        """Return for some lines the token, where its interval begins, and how wide that is."""
        token, before, mass = self._found(list(lines), numbers)
        return list(zip(token.tolist(), before.tolist(), mass.tolist(), strict=True))

    def _found(self, lines: slice | list[int], numbers: Sequence[float]) -> tuple[torch.Tensor, ...]:
        passed, masses = self.passed[lines], self.masses[lines]
        total = passed[:, -1:]
        target = torch.tensor(numbers, dtype=self.wide, device=passed.device)[:, None] * total
        block = _first_above(passed, target, masses)
        inside = self.blocks[lines].gather(1, block[:, :, None].expand(-1, -1, BLOCK))[:, 0].to(self.wide)
        before = passed.gather(1, block) - masses.gather(1, block)
        sums = inside.cumsum(-1)  # [lines, BLOCK]
        index = _first_above(sums, target - before, inside)
        mass = inside.gather(1, index)
        start = before + sums.gather(1, index) - mass
        return (block * BLOCK + index)[:, 0], (start / total)[:, 0], (mass / total)[:, 0]


class RowSampler(LogitsProcessor):
    """Draws each row's next token from its own code or stream of random numbers.

    Args:
        seeds: one per row.
        temperature, top_k, top_p: of `Multinomial`.
        codes: one per row; None: an ordinary sample.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        temperature: float,
        top_k: int = 0,
        top_p: float = 1.0,
        codes: Sequence[float | None] | None = None,
    ) -> None:
        self.streams = [random.Random(seed) for seed in seeds]
        self.codes = [None if code is None else Code(code) for code in codes or [None] * len(self.streams)]
        self.multinomial = Multinomial(temperature, top_k, top_p)

    def of_rows(self, slots: list[int]) -> RowSampler:
        """Return a sampler of some of the rows, which continues their streams and codes."""
        copy = RowSampler([], 1.0)
        copy.multinomial = self.multinomial
        copy.streams, copy.codes = ([given[slot] for slot in slots] for given in (self.streams, self.codes))
        return copy

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        drawn = [stream.random() for stream in self.streams]
        numbers = [code.number if code else number for code, number in zip(self.codes, drawn, strict=True)]
        found = self.multinomial.of(scores).intervals(range(len(numbers)), numbers)  # scores: [rows, vocabulary]
        self.codes = [code and code.behind(*interval) for code, (_, *interval) in zip(self.codes, found, strict=True)]
        tokens = torch.tensor([[token] for token, _, _ in found], device=scores.device)
        return torch.full_like(scores.float(), -torch.inf).scatter(-1, tokens, 0.0)


def rows_at_once(logits: torch.Tensor) -> int:
    """Return for how many rows of `logits` [count, vocabulary] distributions are computed at a time."""
    return max(1, CPU_BYTES // (logits.numel() * 4)) if logits.device.type == "cpu" else sys.maxsize


def _first_above(passed: torch.Tensor, target: torch.Tensor, masses: torch.Tensor) -> torch.Tensor:
    """Return the first index whose sum is above the target; where rounding leaves none, the last one with mass."""
    found = torch.searchsorted(passed, target, right=True)
    indices = torch.arange(masses.shape[-1], device=masses.device)
    last = torch.where(masses > 0, indices, 0).amax(-1, keepdim=True)
    return torch.minimum(found, last)
