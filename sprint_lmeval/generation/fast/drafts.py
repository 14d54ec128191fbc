"""Guesses at what a row writes next, taken from what its siblings (same prompt, other candidates) have written.

Pruned variants of one model write nearly the same text, so the token that followed the same few tokens in a sibling's
answer is usually right; a forward pass verifies several such guesses at once (speculative decoding by n-gram lookup).
How many are worthwhile follows from how often guesses of each context length have been right so far and from what a
pass costs: with an overhead of 80 tokens a pass over 8 rows costs little more for 4 tokens each than for 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ORDERS = (12, 6, 4, 3, 2)  # context lengths, the longest known one is believed
LONGEST_DRAFT = 15
LEAST_CHANCE = 0.1  # of all tokens of a draft so far being right; behind it nothing is guessed
FORGET = 0.995  # per guess: the record of hits follows the text


class Siblings:
    """What has been written for one prompt: the token that last followed each context.

    Contexts are kept by their hash, which takes a tenth of the memory; a mistaken guess is found out like any other.
    """

    def __init__(self) -> None:
        self.next: dict[int, int] = {}

    def learn(self, tokens: Sequence[int], start: int) -> None:
        """Remember the tokens from place `start` on, each behind its contexts."""
        for place in range(max(start, ORDERS[-1]), len(tokens)):
            for order in ORDERS:
                if place >= order:
                    self.next[hash(tuple(tokens[place - order : place]))] = tokens[place]

    def guess(self, tokens: Sequence[int], limit: int, chances: dict[int, float]) -> tuple[list[int], list[int]]:
        """Return up to `limit` guessed tokens and the context length that each comes from."""
        written, orders, chance = list(tokens[-ORDERS[0] :]), [], 1.0
        while len(orders) < limit:
            known = ((o, self.next.get(hash(tuple(written[-o:])))) for o in ORDERS if o <= len(written))
            order, token = next(((o, token) for o, token in known if token is not None), (0, None))
            if token is None:
                break
            chance *= chances[order]
            if chance < LEAST_CHANCE:
                break
            written.append(token)
            orders.append(order)
        return written[len(written) - len(orders) :], orders


@dataclass
class Record:
    """How often guesses of each context length were right, recent ones counting more."""

    hits: dict[int, float] = field(default_factory=lambda: {12: 9.0, 6: 8.0, 4: 7.0, 3: 6.0, 2: 5.0})
    tries: dict[int, float] = field(default_factory=lambda: dict.fromkeys(ORDERS, 10.0))

    def note(self, orders: Sequence[int], accepted: int) -> None:
        """Count a verified draft: its first `accepted` guesses were right, the next one, if any, wrong."""
        for place, order in enumerate(orders[: accepted + 1]):
            self.tries[order] = self.tries[order] * FORGET + 1
            self.hits[order] = self.hits[order] * FORGET + (place < accepted)

    def chances(self) -> dict[int, float]:
        return {order: self.hits[order] / self.tries[order] for order in ORDERS}


@dataclass
class Agreement:
    """How likely a follower writes the next token of the leading answer, recent ones counting more."""

    agreed: float = 31.0
    read: float = 32.0

    def note(self, agreed: int, differed: bool) -> None:
        """Count a row that wrote `agreed` tokens of the leading answer, and then possibly another one."""
        self.agreed = self.agreed * FORGET + agreed
        self.read = self.read * FORGET + agreed + differed

    @property
    def chance(self) -> float:
        return self.agreed / self.read


def most_worthwhile(rows: int, chance: float, overhead: float, most: int) -> int:
    """Return how many guesses, each right with the same chance, are worthwhile in a pass over `rows` rows."""
    count, expected, cost = 0, float(rows), overhead + rows
    while count < most and chance ** (count + 1) > expected / cost:
        count += 1
        expected, cost = expected + rows * chance**count, cost + rows
    return count


def worthwhile(drafts: Sequence[Sequence[int]], chances: dict[int, float], overhead: float) -> int:
    """Return how many guesses per row a pass should verify: the most expected tokens for its cost.

    Args:
        drafts: for each row of the pass, the context lengths of its guesses.
        overhead: a pass over t tokens costs as much as overhead + t units (see `DeviceRules`).
    """
    rows, gained = len(drafts), [0.0] * LONGEST_DRAFT
    for orders in drafts:
        chance = 1.0
        for place, order in enumerate(orders):
            chance *= chances[order]
            gained[place] += chance
    best, expected, cost = 0, float(rows), overhead + rows
    best_rate = expected / cost
    for count, gain in enumerate(gained, start=1):
        expected += gain
        rate = expected / (cost + rows * count)
        if rate > best_rate:
            best, best_rate = count, rate
    return best
