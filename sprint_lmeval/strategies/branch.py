"""Branches of a greedy answer: where another token is taken, and in which order (after arXiv 2402.18734).

In: at each position of a greedy answer the log-probability of its token and the best other tokens. Out: branches, the
first one to be tried first. An answer that takes one other token, and is finished greedily, is a response of `branch`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from itertools import accumulate, chain
from typing import NamedTuple, Protocol

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.strategies.sampled import Draw, Sampled
from sprint_lmeval.strategies.strategy import Attempt, Strategy

log = logging.getLogger(f"lm_eval.{__name__}")

PRIORITIES = ("prefix", "ratio", "token", "mixed")
FILLS = ("stop", "samples")


class AnswerToken(Protocol):
    """One token of a greedy answer, and what else stood to choose from there."""

    token: int
    log_probability: float
    others: Sequence[tuple[int, float]]  # (token, log-probability)


class Branch(NamedTuple):
    """At `position` of the greedy answer (from 0), `token` is taken instead of the answer's own."""

    position: int
    token: int


def ranked_branches(steps: Sequence[AnswerToken], priority: str, ends: Collection[int] = ()) -> list[Branch]:
    """Return every branch that the other tokens allow, in the order of their priority.

    Args:
        steps: the greedy answer's tokens, the end token included.
        priority: `prefix`: the probability of the answer up to the branch and with its token (other openings); `ratio`:
            that of the token divided by that of the greedy one (other steps); `token`: that of the token; `mixed`: the
            first of `prefix`, the first of `ratio`, the second of `prefix`, ...
        ends: tokens that end an answer: at one position they are one and the same choice.
    """
    if priority == "mixed":
        orders = [ranked_branches(steps, of_two, ends) for of_two in ("prefix", "ratio")]
        return list(dict.fromkeys(chain.from_iterable(zip(*orders, strict=True))))
    before = accumulate((step.log_probability for step in steps), initial=0.0)  # of all tokens before a position
    valued = []
    for position, (step, prefix) in enumerate(zip(steps, before, strict=False)):
        added = {"prefix": prefix, "ratio": -step.log_probability, "token": 0.0}[priority]
        ended = step.token in ends
        for token, log_probability in sorted(step.others, key=lambda other: (-other[1], other[0])):
            if token in ends:
                if ended:
                    continue
                ended = True
            valued.append((-(log_probability + added), position, token))
    return [Branch(position, token) for _, position, token in sorted(valued)]


class Branched(Strategy):
    """The greedy answer, then answers that take one other token and are finished greedily.

    Attributes:
        candidate: the sub-model that writes all of them.
        priority: one of `PRIORITIES`.
        fill: what stands for branches that there are not: nothing (`stop`), or samples of the same sub-model.
        seed: of those samples.
        samples: how many there were.
    """

    name = "branch"

    def __init__(
        self, candidate: Candidate = BASE, priority: str | None = None, fill: str | None = None, seed: int = 0
    ):
        self.candidate, self.priority, self.fill = candidate, priority or PRIORITIES[0], fill or FILLS[0]
        self.draws, self.seed, self.samples = fill == "samples", seed, 0
        self._by_default = priority is None

    def attempts(self, questions: Sequence[str], n: int) -> list[list[Attempt]]:
        if self._by_default:
            self._by_default = False  # said once
            log.info("priority=%s, which did best over the models measured; none is best on all", self.priority)
        return [[Attempt(self.candidate)] * n for _ in questions]

    def draw(self, prompt: str, index: int) -> Draw:
        """Return how the sample is drawn that replaces branch `index` of a prompt."""
        return Sampled(self.seed).draw(prompt, index)

    def possible(self) -> list[Candidate]:
        return [self.candidate]

    def described(self) -> dict:
        described = {"strategy": self.name, "learned": False, "candidates": [str(self.candidate)]}
        described |= {"priority": self.priority, "levels": 1, "fill": self.fill}
        return described | ({"strategy_seed": self.seed, "filled_with_samples": self.samples} if self.draws else {})


def check_branch_arguments(priority: str | None, levels: object, fill: str | None) -> None:
    """Raise InputError for a value that is not one of those allowed; None stands for an argument that is not given."""
    for name, value, allowed in (("priority", priority, PRIORITIES), ("levels", levels, (1,)), ("fill", fill, FILLS)):
        if value is not None and (value not in allowed or isinstance(value, bool)):
            raise InputError(f"{name}={value} given, allowed are {', '.join(map(str, allowed))}")
