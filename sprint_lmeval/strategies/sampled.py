"""`strategy=sample`: N samples of the unpruned model, of which the first may be the greedy response instead.

Arithmetic codes (arXiv 2210.15458): sample i of a prompt is decoded from the code (van der Corput(i) + shift) mod 1.
Each sample has the distribution of an ordinary one, and any first k of the N are spread evenly over the likely texts.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from sprint_lmeval.strategies.strategy import Unpruned, seed_from

FIRSTS, CODES = ("greedy",), ("arithmetic",)
DEPENDENT = {  # argument -> why its samples are not exchangeable, so that no unbiased pass@k can be had from them
    "first": "the first response is the greedy one",
    "codes": "the codes of a question are spread evenly, so its responses are not independent",
}


class Draw(NamedTuple):
    """How one response is drawn: the seed of its random numbers (None: greedy), its arithmetic code (None: none)."""

    seed: int | None = None
    code: float | None = None


class Sampled(Unpruned):
    """N multinomial samples of the unpruned model, each with its own seed; independent without `first` and `codes`.

    Args:
        seed: of all draws.
        first: `greedy`: the first response is the greedy one.
        codes: `arithmetic`: samples are decoded from evenly spread codes.
    """

    name = "sample"
    draws = True

    def __init__(self, seed: int, first: str | None = None, codes: str | None = None) -> None:
        self.seed, self.first, self.codes = seed, first, codes
        self.exchangeable = not (first or codes)

    def described(self) -> dict:
        given = {name: value for name in DEPENDENT if (value := getattr(self, name))}
        why = {"no_unbiased_pass@k": "; ".join(DEPENDENT[name] for name in given)} if given else {}
        return {**super().described(), "strategy_seed": self.seed, **given, **why}

    def draw(self, prompt: str, index: int) -> Draw:
        """Return how response `index` of a prompt is drawn: the same on any machine, in any batch, on any rank."""
        if self.first and index == 0:
            return Draw()
        seed = seed_from(f"{self.seed}:{index}:{prompt}")
        if not self.codes:
            return Draw(seed)
        shift = random.Random(seed_from(f"{self.seed}:codes:{prompt}")).random()
        return Draw(seed, (van_der_corput(index - bool(self.first)) + shift) % 1.0)


def van_der_corput(index: int) -> float:
    """Return 0, 1/2, 1/4, 3/4, 1/8, ...: the bits of the index mirrored behind the point."""
    bits = f"{index:b}"
    return int(bits[::-1], 2) / (1 << len(bits))
