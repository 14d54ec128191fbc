"""Drafts: tokens that a row may write next, taken from the other answers to its prompt.

Pruned variants of one model write nearly the same text. So the token that followed the same few tokens in another
answer is usually right, and one forward pass verifies several of them (speculative decoding by n-gram lookup). How many
pay follows from how often n-grams of each length have been right and from what a pass costs: with an overhead of 80
tokens, a pass over 8 rows costs little more for 4 tokens each than for 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

NGRAM_LENGTHS = (12, 6, 4, 3, 2)  # of the context; the longest known one decides
LONGEST_DRAFT = 15
LEAST_ACCEPTANCE = 0.1  # a draft ends where all of it is accepted less often than this
FORGET = 0.995  # per verified token: recent ones count more


class NgramIndex:
    """The token that last followed each n-gram in one prompt and its answers.

    N-grams are kept by their hash, which takes a tenth of the memory; verification rejects what a collision drafts.
    """

    def __init__(self) -> None:
        self.next: dict[int, int] = {}

    def learn(self, tokens: Sequence[int], start: int) -> None:
        """Remember the tokens from index `start` on, each with the n-grams before it."""
        for index in range(max(start, NGRAM_LENGTHS[-1]), len(tokens)):
            for length in NGRAM_LENGTHS:
                if index >= length:
                    self.next[hash(tuple(tokens[index - length : index]))] = tokens[index]

    def draft(self, tokens: Sequence[int], limit: int, acceptance: dict[int, float]) -> tuple[list[int], list[int]]:
        """Return up to `limit` tokens to follow `tokens`, and the n-gram length that each comes from."""
        written, ngram_lengths, chance = list(tokens[-NGRAM_LENGTHS[0] :]), [], 1.0
        while len(ngram_lengths) < limit:
            known = ((n, self.next.get(hash(tuple(written[-n:])))) for n in NGRAM_LENGTHS if n <= len(written))
            length, token = next(((n, token) for n, token in known if token is not None), (0, None))
            if token is None:
                break
            chance *= acceptance[length]
            if chance < LEAST_ACCEPTANCE:
                break
            written.append(token)
            ngram_lengths.append(length)
        return written[len(written) - len(ngram_lengths) :], ngram_lengths


@dataclass
class DraftRecord:
    """How often tokens drafted from n-grams of each length were accepted."""

    accepted: dict[int, float] = field(default_factory=lambda: {12: 9.0, 6: 8.0, 4: 7.0, 3: 6.0, 2: 5.0})
    verified: dict[int, float] = field(default_factory=lambda: dict.fromkeys(NGRAM_LENGTHS, 10.0))

    def note(self, ngram_lengths: Sequence[int], accepted: int) -> None:
        """Count a verified draft: its first `accepted` tokens were right, the next one, if any, was wrong."""
        for index, length in enumerate(ngram_lengths[: accepted + 1]):
            self.verified[length] = self.verified[length] * FORGET + 1
            self.accepted[length] = self.accepted[length] * FORGET + (index < accepted)

    def acceptance(self) -> dict[int, float]:
        """Return n-gram length -> share of its tokens that are accepted."""
        return {length: self.accepted[length] / self.verified[length] for length in NGRAM_LENGTHS}


@dataclass
class ReferenceAgreement:
    """How often a row writes the next token of the reference answer."""

    agreed: float = 31.0
    read: float = 32.0

    def note(self, agreed: int, differed: bool) -> None:
        """Count a row that wrote `agreed` tokens of the reference answer and then, perhaps, another one."""
        self.agreed = self.agreed * FORGET + agreed
        self.read = self.read * FORGET + agreed + differed

    @property
    def acceptance(self) -> float:
        return self.agreed / self.read


def most_worthwhile(rows: int, acceptance: float, overhead: float, most: int) -> int:
    """Return how many tokens, each accepted equally often, pay in a pass over `rows` rows; at most `most`."""
    count, expected, cost = 0, float(rows), overhead + rows
    while count < most and acceptance ** (count + 1) > expected / cost:
        count += 1
        expected, cost = expected + rows * acceptance**count, cost + rows
    return count


def worthwhile(drafts: Sequence[Sequence[int]], acceptance: dict[int, float], overhead: float) -> int:
    """Return how many drafted tokens per row a pass should verify: those with the most accepted tokens for its cost.

    Args:
        drafts: for each row of the pass, the n-gram lengths of its draft.
        acceptance: of `DraftRecord`.
        overhead: a pass over t tokens costs as much as overhead + t units (see `DeviceLimits`).
    """
    rows, gained = len(drafts), [0.0] * LONGEST_DRAFT
    for ngram_lengths in drafts:
        chance = 1.0
        for index, length in enumerate(ngram_lengths):
            chance *= acceptance[length]
            gained[index] += chance
    best, expected, cost = 0, float(rows), overhead + rows
    best_rate = expected / cost
    for count, gain in enumerate(gained, start=1):
        expected += gain
        rate = expected / (cost + rows * count)
        if rate > best_rate:
            best, best_rate = count, rate
    return best
