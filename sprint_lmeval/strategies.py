"""Question -> N ordered candidates.

In: the raw questions of the documents and N. Out: N candidates for each, in the order in which pass@k counts them
(paper section 5: Pass@N is the best of the first N). Which strategies exist, and what each of them is given by the
user, stands in `build_strategy`.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.errors import InputError

STRATEGIES = ("fixed", "base", "sample", "random", "spread")
WITH_SELECTOR = "selector"  # made in selector_strategy.py, for a model whose heads are known
SPREAD_DEPTHS = (5, 10, 15, 20, 25)  # the paper's layers, of the 28 of Qwen2.5-Math-1.5B
SPREAD_OF = 28


class Strategy(ABC):
    """Decides which candidates answer a question, and in which order.

    Attributes:
        name: what results call it.
        learned: whether it was fitted on training questions; an unlearned one is never shown as SPRINT.
        exchangeable: whether the order of its N responses carries no meaning (independent samples).
        scores: per question of the last call, one number per candidate, or None where it has none.
    """

    name: str
    learned = False
    exchangeable = False
    scores: list[list[float]] | None = None

    @abstractmethod
    def candidates(self, questions: Sequence[str], n: int) -> list[list[Candidate]]:
        """Return `n` candidates per question, best first. Raises InputError where it has fewer than `n`."""

    @abstractmethod
    def described(self) -> dict:
        """Return what the results record of this strategy: everything needed to rerun it."""

    def possible(self) -> list[Candidate]:
        """Return every candidate that may be chosen, to be checked against the model before anything runs."""
        return []


class Listed(Strategy):
    """The first N of one ordered list, the same for every question."""

    def __init__(self, name: str, candidates: Sequence[Candidate]) -> None:
        self.name, self.listed = name, list(candidates)

    def candidates(self, questions: Sequence[str], n: int) -> list[list[Candidate]]:
        refuse_too_few(n, len(self.listed), self.name, "give more in head_masks=")
        return [self.listed[:n] for _ in questions]

    def described(self) -> dict:
        return {"strategy": self.name, "learned": self.learned, "candidates": [str(c) for c in self.listed]}

    def possible(self) -> list[Candidate]:
        return self.listed


class Unpruned(Strategy):
    """The unpruned model: generated once, its response stands for all N."""

    name = "base"

    def candidates(self, questions: Sequence[str], n: int) -> list[list[Candidate]]:
        return [[BASE] * n for _ in questions]

    def described(self) -> dict:
        return {"strategy": self.name, "learned": False, "candidates": ["base"]}


class Sampled(Unpruned):
    """N independent multinomial samples of the unpruned model, each with a seed of its own."""

    name = "sample"
    exchangeable = True

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def described(self) -> dict:
        return {"strategy": self.name, "learned": False, "candidates": ["base"], "strategy_seed": self.seed}

    def row_seed(self, prompt: str, index: int) -> int:
        """Return the seed of sample `index` of a prompt: the same on any machine, in any batch, on any rank."""
        return _seed_from(f"{self.seed}:{index}:{prompt}")


class RandomHeads(Strategy):
    """N candidates drawn from a pool without replacement, anew for each question (the paper's second baseline)."""

    name = "random"

    def __init__(self, pool: Sequence[Candidate], seed: int, pool_name: str) -> None:
        self.pool, self.seed, self.pool_name = list(pool), seed, pool_name

    def candidates(self, questions: Sequence[str], n: int) -> list[list[Candidate]]:
        refuse_too_few(n, len(self.pool), self.name, "give a larger pool=")
        return [random.Random(_seed_from(f"{self.seed}:{q}")).sample(self.pool, n) for q in questions]

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


def spread_candidates(heads_per_layer: Sequence[int]) -> list[Candidate]:
    """Return single heads round-robin over the layers at the paper's relative depths; `base` is not among them.

    Args:
        heads_per_layer: number of heads of each layer of the model, layer 0 first.
    """
    depth = len(heads_per_layer)
    layers = sorted({d * depth // SPREAD_OF for d in SPREAD_DEPTHS})
    widest = max(heads_per_layer[layer] for layer in layers)
    return [Candidate(((layer, h),)) for h in range(widest) for layer in layers if h < heads_per_layer[layer]]


def build_strategy(
    name: str | None,
    head_masks: str | list | None,
    pool: str | list | None,
    strategy_seed: int,
) -> Callable[[Sequence[int]], Strategy]:
    """Check what the user gave, before any model loads, and return what makes the strategy once the heads are known.

    Args:
        name: one of `STRATEGIES`, or None: `fixed` where head_masks are given, else `spread`.
        head_masks: candidates as text, file or list; only with `fixed`.
        pool: candidates as text, file or list to draw from; only with `random`.
        strategy_seed: seed of `random` and `sample`.

    Raises:
        InputError: on an unknown name, a missing or superfluous argument, or unreadable candidates.
    """
    name = name or ("fixed" if head_masks is not None else "spread")
    _refuse_misfits(name, head_masks, pool, strategy_seed)
    listed = _readable(head_masks) if name == "fixed" else None
    drawn_from = _readable(pool) if pool is not None else None

    def build(heads_per_layer: Sequence[int]) -> Strategy:
        if name == "fixed":
            return Unpruned() if listed == [BASE] else Listed("fixed", listed)
        if name == "random":
            where = "spread" if drawn_from is None else (pool if isinstance(pool, str) else "list")
            return RandomHeads(drawn_from or spread_candidates(heads_per_layer), strategy_seed, where)
        if name == "spread":
            return Listed("spread", spread_candidates(heads_per_layer))
        return Sampled(strategy_seed) if name == "sample" else Unpruned()

    return build


def _refuse_misfits(name: str, head_masks: object, pool: object, seed: object) -> None:
    if name not in STRATEGIES:
        raise InputError(f"strategy={name} given, allowed are {', '.join((*STRATEGIES, WITH_SELECTOR))}")
    if name == "fixed" and head_masks is None:
        raise InputError("strategy=fixed needs candidates: add head_masks=, for example head_masks=base:L5H0:L10H3")
    if name != "fixed" and head_masks is not None:
        raise InputError(f"head_masks given with strategy={name}, which chooses by itself: leave one of the two out")
    if name != "random" and pool is not None:
        raise InputError(f"pool given with strategy={name}: only strategy=random draws from a pool")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"strategy_seed={seed} given, it must be a whole number")


def _readable(given: str | list) -> list[Candidate]:
    try:
        return parse_candidates(given)
    except ValueError as error:
        raise InputError(str(error)) from None


def refuse_too_few(n: int, available: int, name: str, remedy: str) -> None:
    """Raise InputError where a strategy has fewer candidates than the task asks for."""
    if n > available:
        raise InputError(
            f"the task asks for {n} responses per question and strategy {name} has {available} candidates: {remedy}, "
            f"ask for fewer (sprint-lmeval run -n {available} ..., or `repeats: {available}` in a task YAML), "
            "or use strategy=base, whose one response stands for all"
        )


def _seed_from(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
