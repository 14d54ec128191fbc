"""Question -> N ordered attempts.

In: the raw questions of the documents and N. Out: N attempts for each, in the order in which pass@k counts them
(paper section 5: Pass@N is the best of the first N). build.py has the names of the strategies and their arguments.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError


class Attempt(NamedTuple):
    """One response to be generated: its candidate, and the strategy's score of it (None: the strategy has none)."""

    candidate: Candidate
    score: float | None = None


class Strategy(ABC):
    """Decides which candidates answer a question, and in which order.

    Attributes:
        name: what results call it.
        learned: whether it was fitted on training questions; an unlearned one is never shown as SPRINT.
        exchangeable: whether the order of its N responses carries no meaning (independent samples).
        distinct: whether the N texts of a question differ by construction, so that votes among them mean nothing.
        draws: whether responses are drawn, so that a temperature is needed.
    """

    name: str
    learned = False
    exchangeable = False
    distinct = False
    draws = False

    @abstractmethod
    def attempts(self, questions: Sequence[str], n: int) -> list[list[Attempt]]:
        """Return `n` attempts per question, best first. Raises InputError where the strategy has fewer than `n`."""

    @abstractmethod
    def described(self) -> dict:
        """Return what the results record of this strategy: everything needed to rerun it."""

    def possible(self) -> list[Candidate]:
        """Return every candidate that may be chosen, to be checked against the model before anything runs."""
        return []


class Listed(Strategy):
    """The first N of one ordered list of candidates (values or notation), the same for every question."""

    def __init__(self, name: str, candidates: Sequence[Candidate]) -> None:
        self.name, self.listed = name, [Candidate.of(candidate) for candidate in candidates]

    def attempts(self, questions: Sequence[str], n: int) -> list[list[Attempt]]:
        refuse_too_few(n, len(self.listed), self.name, "give more in head_masks=")
        return [[Attempt(candidate) for candidate in self.listed[:n]] for _ in questions]

    def described(self) -> dict:
        return {"strategy": self.name, "learned": self.learned, "candidates": [str(c) for c in self.listed]}

    def possible(self) -> list[Candidate]:
        return self.listed


class Unpruned(Strategy):
    """The unpruned model: generated once, its response stands for all N."""

    name = "base"

    def attempts(self, questions: Sequence[str], n: int) -> list[list[Attempt]]:
        return [[Attempt(BASE)] * n for _ in questions]

    def described(self) -> dict:
        return {"strategy": self.name, "learned": False, "candidates": ["base"]}


class RandomHeads(Strategy):
    """N candidates drawn from a pool without replacement, anew for each question (the paper's second baseline)."""

    name = "random"

    def __init__(self, pool: Sequence[Candidate], seed: int, pool_name: str) -> None:
        self.pool, self.seed, self.pool_name = [Candidate.of(candidate) for candidate in pool], seed, pool_name

    def attempts(self, questions: Sequence[str], n: int) -> list[list[Attempt]]:
        refuse_too_few(n, len(self.pool), self.name, "give a larger pool=")
        drawn = (random.Random(seed_from(f"{self.seed}:{question}")).sample(self.pool, n) for question in questions)
        return [[Attempt(candidate) for candidate in row] for row in drawn]

    def described(self) -> dict:
        pool = [str(c) for c in self.pool]
        return {
            "strategy": self.name,
            "learned": False,
            "pool": self.pool_name,
            "pool_candidates": pool,
            "strategy_seed": self.seed,
        }

    def possible(self) -> list[Candidate]:
        return self.pool


def refuse_too_few(n: int, available: int, name: str, remedy: str) -> None:
    """Raise InputError where a strategy has fewer candidates than the task asks for."""
    if n > available:
        raise InputError(
            f"the task asks for {n} responses per question and strategy {name} has {available} candidates: {remedy}, "
            f"ask for fewer (sprint-lmeval run -n {available} ..., or `repeats: {available}` in a task YAML), "
            "or use strategy=base, whose one response stands for all"
        )


def seed_from(text: str) -> int:
    """Return the seed, from 0 to 2^63 - 1, that any text stands for."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
