"""What the user wrote about strategies -> what makes the strategy, once the model's heads are known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.errors import InputError
from sprint_lmeval.strategies.branch import Branched, check_branch_arguments
from sprint_lmeval.strategies.head_lists import spread_candidates
from sprint_lmeval.strategies.sampled import CODES, FIRSTS, Sampled
from sprint_lmeval.strategies.selected import SelectorChoice
from sprint_lmeval.strategies.strategy import Listed, RandomHeads, Strategy, Unpruned

log = logging.getLogger(f"lm_eval.{__name__}")
STRATEGIES = ("fixed", "base", "sample", "random", "spread", "selector", "branch")
OF_BRANCH = ("priority", "levels", "fill")


@dataclass(frozen=True)
class StrategyArguments:
    """What a user wrote about strategies, under the names of the model arguments.

    Attributes:
        head_masks: candidates as text, file or list; only with `fixed`, and one of them with `branch`.
        strategy: one of `STRATEGIES`; None: `selector` or `fixed` where their argument is given, else `spread`.
        pool: candidates as text, file or list to draw from; only with `random`.
        strategy_seed: seed of `random`, of `sample` and of the samples of `fill`.
        first: `greedy`: the first response is the greedy one; only with `sample`.
        codes: `arithmetic`: evenly spread codes in place of independent numbers; only with `sample`.
        selector: folder, hub id or short name; only with `selector`, as are the next two, or with `branch`.
        selector_encoder: folder of the selector's sentence encoder, where that is not the default one.
        selector_check: whether another model and training questions are refused.
        priority: which branches come first, one of `PRIORITIES`; only with `branch`, as are the next two.
        levels: 1: the greedy answer branches; `all`: every answer does.
        fill: what stands where there are too few branches, one of `FILLS`.
        n: how many responses each question gets, which the tasks read too; None: as the tasks say.
    """

    head_masks: str | list | None = None
    strategy: str | None = None
    pool: str | list | None = None
    strategy_seed: int = 0
    first: str | None = None
    codes: str | None = None
    selector: str | None = None
    selector_encoder: str | None = None
    selector_check: bool = True
    priority: str | None = None
    levels: int | str | None = None
    fill: str | None = None
    n: int | None = None

    @classmethod
    def taken_from(cls, arguments: dict) -> StrategyArguments:
        """Take them out of a model's arguments, which keep the others."""
        return cls(**{field.name: arguments.pop(field.name) for field in fields(cls) if field.name in arguments})


def build_strategy(given: StrategyArguments) -> Callable[[Sequence[int]], Strategy]:
    """Check what the user wrote, before any model loads.

    Returns:
        What makes the strategy from the number of heads of each layer; a `SelectorChoice` where a selector decides.

    Raises:
        InputError: an unknown name, a missing or superfluous argument, unreadable candidates, or a selector that cannot
            be had.
    """
    _refuse_selector_misfits(given)
    if given.selector is not None:
        choice = SelectorChoice(
            given.selector, given.selector_encoder, given.selector_check, given.fill, given.strategy_seed
        )
        _refuse_beside_selector(choice, given)
        return choice
    name = given.strategy or ("fixed" if given.head_masks is not None else "spread")
    if given.strategy is None and name == "spread":
        log.warning("no head_masks given: strategy `spread`, an unlearned order of heads; this is not SPRINT")
    _refuse_misfits(name, given)
    listed = _readable(given.head_masks) if given.head_masks is not None else None
    if name == "branch" and listed is not None and len(listed) != 1:
        raise InputError(f"{len(listed)} head_masks given with strategy=branch, whose answers are of one: name one")
    pool = _readable(given.pool) if given.pool is not None else None

    def build(heads_per_layer: Sequence[int]) -> Strategy:
        if name == "fixed":
            return Unpruned() if listed == [BASE] else Listed("fixed", listed)
        if name == "random":
            where = "spread" if pool is None else (given.pool if isinstance(given.pool, str) else "list")
            return RandomHeads(pool or spread_candidates(heads_per_layer), given.strategy_seed, where)
        if name == "branch":
            return Branched(
                listed[0] if listed else BASE, given.priority, given.fill, given.strategy_seed, given.levels
            )
        if name == "spread":
            return Listed("spread", [BASE, *spread_candidates(heads_per_layer)])
        return Sampled(given.strategy_seed, given.first, given.codes) if name == "sample" else Unpruned()

    return build


def _refuse_selector_misfits(given: StrategyArguments) -> None:
    if given.selector is None:
        needing = {
            "strategy=selector": given.strategy == "selector",
            "selector_encoder": given.selector_encoder is not None,
            "selector_check": not given.selector_check,
        }
        for what, there in needing.items():
            if there:
                raise InputError(f"{what} given without a selector: add selector=, a folder, hub id or short name")
    elif given.strategy not in (None, "selector", "branch"):
        what = f"selector given with strategy={given.strategy}"
        raise InputError(f"{what}, which chooses by itself: leave one of the two out")
    else:
        for name in ("head_masks", "pool", "first", "codes", "priority", "levels"):
            if getattr(given, name) is not None:
                raise InputError(f"selector and {name} given, of which only one can decide: leave one of the two out")


def _refuse_beside_selector(choice: SelectorChoice, given: StrategyArguments) -> None:
    if not choice.branches and (given.strategy == "branch" or given.fill is not None):
        what = "strategy=branch" if given.strategy == "branch" else "fill"
        raise InputError(
            f"{what} given with selector={given.selector}, whose method {choice.selector.method.name} ranks pruned "
            "heads: give a selector of `sprint-lmeval train --method branch`, or leave one of the two out"
        )
    check_branch_arguments(None, None, given.fill)
    _refuse_strange_seed(given)


def _refuse_misfits(name: str, given: StrategyArguments) -> None:
    if name not in STRATEGIES:
        raise InputError(f"strategy={name} given, allowed are {', '.join(STRATEGIES)}")
    if name == "fixed" and given.head_masks is None:
        raise InputError("strategy=fixed needs candidates: add head_masks=, for example head_masks=base:L5H0:L10H3")
    if name not in ("fixed", "branch") and given.head_masks is not None:
        raise InputError(f"head_masks given with strategy={name}, which chooses by itself: leave one of the two out")
    if name != "random" and given.pool is not None:
        raise InputError(f"pool given with strategy={name}: only strategy=random draws from a pool")
    for argument, allowed in (("first", FIRSTS), ("codes", CODES)):
        value = getattr(given, argument)
        if value is not None and name != "sample":
            raise InputError(f"{argument} given with strategy={name}: only strategy=sample has it, leave it out")
        if value not in (None, *allowed):
            raise InputError(f"{argument}={value} given, allowed is {' and '.join(allowed)}, or leave it out")
    for argument in OF_BRANCH if name != "branch" else ():
        if getattr(given, argument) is not None:
            raise InputError(f"{argument} given with strategy={name}: only strategy=branch has it, leave it out")
    check_branch_arguments(given.priority, given.levels, given.fill)
    _refuse_strange_seed(given)


def _refuse_strange_seed(given: StrategyArguments) -> None:
    if isinstance(given.strategy_seed, bool) or not isinstance(given.strategy_seed, int):
        raise InputError(f"strategy_seed={given.strategy_seed} given, it must be a whole number")


def _readable(given: str | list) -> list[Candidate]:
    try:
        return parse_candidates(given)
    except ValueError as error:
        raise InputError(str(error)) from None
