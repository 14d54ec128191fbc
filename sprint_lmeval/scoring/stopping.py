"""When N answers were enough: rules that stop generating early, replayed over stored answers in their order.

In: the classes of equal answers of one question, in the order of the run. Out: how many of them a rule would have asked
for; the vote among those is its choice. A response without an answer is paid for and does not vote.

    agreeK    K answers are equal
    asc, ascX Adaptive-Consistency (arXiv 2305.11860): the most frequent answer beats the second one with a chance of X
              (0.95), under a Beta posterior over the share of the two; as in its authors' code, from (1, 1)
    esc, escW ESC (arXiv 2401.10480): all answers of one window of W (5) are equal, windows one after the other
    lossless  whatever the answers that are left, the vote of all N stays the same
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sprint_lmeval.errors import InputError
from sprint_lmeval.scoring.votes import AnswerClasses

FORMS = ("agreeK", "asc", "esc", "lossless")  # as `--with` names them
NAME = re.compile(r"(agree|asc|esc|lossless)([\d.]*)", re.ASCII)
CONFIDENCE, WINDOW = 0.95, 5


@dataclass(frozen=True)
class StoppingRule:
    """A rule: `used` says how many answers of a question it asks for; `least` is the N that it needs to stop at all."""

    name: str
    least: int
    used: Callable[[AnswerClasses], int]
    settings: dict[str, str]


def stopping_rule(name: str) -> StoppingRule | None:
    """Return the rule of a name such as `agree4`, `asc`, `asc0.8`, `esc8` or `lossless`; None where it names no rule.

    Raises:
        InputError: its number is missing or out of range.
    """
    parts = NAME.fullmatch(name)
    if parts is None:
        return None
    kind, number = parts.groups()
    if kind == "lossless":
        return None if number else StoppingRule(name, 1, used_by_lossless, {})
    if kind == "asc":
        level = _parsed(number, CONFIDENCE)
        if not 0.5 < level < 1:
            raise InputError(f"--with {name} given, the chance of asc lies between 0.5 and 1, such as asc0.95")
        return StoppingRule(name, 1, lambda classes: used_by_asc(classes, level), {"chance": f"{level:g}"})
    if kind in ("agree", "esc") and number.isdigit() or (kind, number) == ("esc", ""):
        count = int(number or WINDOW) if len(number) < 7 else 0
        if count >= 2:
            used = used_by_agreement if kind == "agree" else used_by_esc
            what = "equal answers" if kind == "agree" else "window"
            return StoppingRule(name, count, lambda classes: used(classes, count), {what: str(count)})
    raise InputError(f"--with {name!a:.40} given, needed is a whole number from 2 up, such as agree4 or esc5")


def _parsed(number: str, default: float) -> float:
    try:
        return float(number) if number else default
    except ValueError:
        return math.nan


def _counted(classes: AnswerClasses) -> Iterator[tuple[int, dict[int, int], int | None]]:
    """After each response: how many there are, votes by class in order of appearance, and the response's own class."""
    votes: dict[int, int] = {}
    for used, one in enumerate(classes, 1):
        if one is not None:
            votes[one] = votes.get(one, 0) + 1
        yield used, votes, one


def used_by_agreement(classes: AnswerClasses, count: int) -> int:
    """Return how many responses there are once `count` answers are equal, else all."""
    for used, votes, one in _counted(classes):
        if one is not None and votes[one] >= count:
            return used
    return len(classes)


def used_by_asc(classes: AnswerClasses, level: float) -> int:
    """Return how many responses there are once the first answer beats the second with a chance of `level`, else all."""
    from scipy.special import betainc

    for used, votes, _ in _counted(classes):
        if votes:
            first, second = sorted([*votes.values(), 0], reverse=True)[:2]
            if betainc(second + 1, first + 1, 0.5) >= level:  # the chance that the first one's share is above 1/2
                return used
    return len(classes)


def used_by_esc(classes: AnswerClasses, window: int) -> int:
    """Return how many responses there are once one whole window holds a single answer, else all."""
    for start in range(0, len(classes) - window + 1, window):
        inside = classes[start : start + window]
        if inside[0] is not None and all(one == inside[0] for one in inside):
            return start + window
    return len(classes)


def used_by_lossless(classes: AnswerClasses) -> int:
    """Return how many responses there are once no answer that is left can change the vote of all.

    Of equal votes the answer that came first wins, so a class that is behind the leader in order has to overtake it.
    """
    for used, votes, _ in _counted(classes):
        left = len(classes) - used
        if not votes:
            continue
        leader = max(votes, key=votes.__getitem__)  # the first of equals
        before = True  # whether a class came before the leader, and wins a tie
        safe = votes[leader] >= left  # against an answer that has not been given yet
        for one, count in votes.items():
            if one == leader:
                before = False
            elif count + left > votes[leader] - before:
                safe = False
        if safe:
            return used
    return len(classes)
