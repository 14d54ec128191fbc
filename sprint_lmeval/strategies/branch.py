"""Branches of a greedy answer: where another token is taken, and in which order (after arXiv 2402.18734).

In: at each position of a greedy answer the log-probability of its token and the best other tokens. Out: branches, the
first one to be tried first. An answer that takes one other token, and is finished greedily, is a response of `branch`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.names import PRIORITIES
from sprint_lmeval.strategies.sampled import Draw, Sampled
from sprint_lmeval.strategies.strategy import Attempt, Strategy

log = logging.getLogger(f"lm_eval.{__name__}")

FILLS = ("stop", "samples")
LEVELS = (1, "all")


class AnswerToken(Protocol):
    """One token of a greedy answer, and what else stood to choose from there."""

    token: int
    log_probability: float
    others: Sequence[tuple[int, float]]  # (token, log-probability)


class BranchPoint(NamedTuple):
    """At `position` of answer number `answer` of a question (from 0), `token` is taken instead of the answer's own.

    The other three are natural logarithms, by which `PRIORITIES` order branches: of the probability of the answer up to
    and with the token; of the token's probability divided by that of the answer's own; of the token's probability. The
    last two are summed over all branches on the way, where an answer is a branch itself.
    """

    answer: int
    position: int
    token: int
    prefix: float
    ratio: float
    alone: float


GREEDY = BranchPoint(0, -1, -1, 0.0, 0.0, 0.0)  # what the greedy answer is for the branches of branches


def branches_of(
    steps: Sequence[AnswerToken], ends: Collection[int] = (), answer: int = 0, origin: BranchPoint = GREEDY
) -> list[BranchPoint]:
    """Return every branch that the other tokens of an answer allow.

    Args:
        steps: the answer's tokens, the end token included; of an answer that is a branch, those behind its own token.
        ends: tokens that end an answer: at one position they are one and the same choice.
        answer: its number in the question.
        origin: the branch that it is.
    """
    found, prefix = [], origin.prefix
    for position, step in enumerate(steps, start=origin.position + 1):
        ended = step.token in ends
        for token, log_probability in sorted(step.others, key=lambda other: (-other[1], other[0])):
            if token in ends:
                if ended:
                    continue
                ended = True
            ratio = origin.ratio + log_probability - step.log_probability
            found.append(
                BranchPoint(answer, position, token, prefix + log_probability, ratio, origin.alone + log_probability)
            )
        prefix += step.log_probability
    return found


def ranked(branches: Sequence[BranchPoint], priority: str) -> list[BranchPoint]:
    """Return branches in the order of their priority.

    Args:
        branches: of the answers of one question.
        priority: `prefix`: other openings first; `ratio`: other steps; `token`: the most probable tokens; `mixed`: the
            first of `prefix`, the first of `ratio`, the second of `prefix`, ...
    """
    if priority == "mixed":
        orders = [ranked(branches, of_two) for of_two in ("prefix", "ratio")]
        return list(dict.fromkeys(chain.from_iterable(zip(*orders, strict=True))))
    name = {"token": "alone"}.get(priority, priority)
    return sorted(branches, key=lambda branch: (-getattr(branch, name), branch[:3]))


class Branched(Strategy):
    """The greedy answer, then answers that take one other token and are finished greedily.

    Attributes:
        candidate: the sub-model that writes all of them.
        priority: one of `PRIORITIES`.
        levels: 1: only the greedy answer branches; `all`: every answer does, in rounds of 1, 1, 2, 4, 8 answers.
        fill: what stands for branches that there are not: nothing (`stop`), or samples of the same sub-model.
        seed: of those samples.
        samples: how many there were.
    """

    name = "branch"
    distinct = True

    def __init__(
        self,
        candidate: Candidate = BASE,
        priority: str | None = None,
        fill: str | None = None,
        seed: int = 0,
        levels: int | str | None = None,
    ):
        self.levels = levels or LEVELS[0]
        self.candidate, self.priority, self.fill = candidate, priority or PRIORITIES[0], fill or FILLS[0]
        self.draws, self.seed, self.samples = fill == "samples", seed, 0
        self._by_default = priority is None

    def attempts(self, questions: Sequence[str], n: int) -> list[list[Attempt]]:
        if self._by_default:
            self._by_default = False  # said once
            log.info(
                "priority=%s by default: of two models it did best on one, and nearly so on the other; "
                "sprint-lmeval train --method branch chooses one for this model",
                self.priority,
            )
        return [[Attempt(self.candidate)] * n for _ in questions]

    def draw(self, prompt: str, index: int) -> Draw:
        """Return how the sample is drawn that replaces branch `index` of a prompt."""
        return Sampled(self.seed).draw(prompt, index)

    def possible(self) -> list[Candidate]:
        return [self.candidate]

    def described(self) -> dict:
        described = {"strategy": self.name, "learned": self.learned, "candidates": [str(self.candidate)]}
        described |= {"priority": self.priority, "levels": self.levels, "fill": self.fill}
        described["no_maj@N"] = "the texts differ by construction, so equal votes mean nothing"
        return described | ({"strategy_seed": self.seed, "filled_with_samples": self.samples} if self.draws else {})


def check_branch_arguments(priority: str | None, levels: object, fill: str | None) -> None:
    """Raise InputError for a value that is not one of those allowed; None stands for an argument that is not given."""
    for name, value, allowed in (("priority", priority, PRIORITIES), ("levels", levels, LEVELS), ("fill", fill, FILLS)):
        if value is not None and (value not in allowed or isinstance(value, bool)):
            raise InputError(f"{name}={value} given, allowed are {', '.join(map(str, allowed))}")
