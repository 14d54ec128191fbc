"""What the user typed -> what makes the strategy, once the model's heads are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.errors import InputError
from sprint_lmeval.strategies.head_lists import spread_candidates
from sprint_lmeval.strategies.selected import SelectorChoice
from sprint_lmeval.strategies.strategy import Listed, RandomHeads, Sampled, Strategy, Unpruned

STRATEGIES = ("fixed", "base", "sample", "random", "spread")


WITH_SELECTOR = "selector"  # made in selector_strategy.py, for a model whose heads are known


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


def chosen_selector(
    strategy: str | None, selector: str | None, encoder: str | None, check: bool, others: dict[str, object]
) -> SelectorChoice | None:
    """Return the selector that the user asked for, None where the strategy is another one.

    Args:
        others: arguments of other strategies by name, to be refused beside a selector.

    Raises:
        InputError: contradictory arguments, or a selector that cannot be had.
    """
    if selector is None:
        unused = {
            "strategy": strategy == "selector",
            "selector_encoder": encoder is not None,
            "selector_check": not check,
        }
        for name, there in unused.items():
            if there:
                what = "strategy=selector" if name == "strategy" else name
                raise InputError(f"{what} given without a selector: add selector=, a folder, hub id or short name")
        return None
    if strategy not in (None, "selector"):
        raise InputError(f"selector given with strategy={strategy}, which chooses by itself: leave one of the two out")
    for name, value in others.items():
        if value is not None:
            raise InputError(f"selector and {name} given, of which only one can decide: leave one of the two out")
    return SelectorChoice(selector, encoder, check)
