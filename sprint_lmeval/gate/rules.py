"""What a gate was asked for: which metrics are tested, what counts as a regression, and what may differ.

In: the texts of the options. Out: `Rules`, or one sentence on the option that makes no sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sprint_lmeval.errors import InputError

ALPHA = 0.05
ALLOWABLE = {  # what --allow names -> beginnings of what `requirements` calls it
    "task_version": ("task version",),
    "generation": ("limit of new tokens", "stop strings"),
    "grader": ("grader",),
    "prompts": ("number of examples", "form of the prompts", "prompts"),
}


@dataclass(frozen=True)
class Rules:
    """What counts as a regression: a drop beyond its tolerance, a significant one, or, with both given, both."""

    alpha: float | None
    tolerances: dict[str, float]
    metrics: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()

    def tolerance(self, metric: str) -> float | None:
        return self.tolerances.get(metric, self.tolerances.get(""))


def make_rules(
    metrics: str | None = None, alpha: float | None = None, tolerances: Sequence[str] = (), allow: Sequence[str] = ()
) -> Rules:
    """Return the rules that options of `gate_command` ask for. Without a level and a tolerance the level is 0.05.

    Raises:
        InputError: an option is out of range or names what there is not.
    """
    limits: dict[str, float] = {}
    for text in tolerances:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1 or text.startswith("="):
            raise InputError(f"--tolerance {text!a} given, needed is a share from 0 to 1 (0.01 is a point), NAME=SHARE")
        if name in limits:
            raise InputError(f"--tolerance {text!a} given, there is one for {name or 'all metrics'} already: give one")
        limits[name] = value
    level = alpha if alpha is not None or limits else ALPHA
    if level is not None and not 0 < level < 1:
        raise InputError(f"--alpha {level} given, a significance level lies between 0 and 1")
    named = tuple(dict.fromkeys(name.strip() for name in (metrics or "").split(",") if name.strip()))
    if metrics is not None and not named:
        raise InputError(f"--metrics {metrics!a} given, it names no metric")
    allowed = tuple(name.strip() for text in allow for name in text.split(","))
    strange = [name for name in allowed if name not in ALLOWABLE]
    if strange:
        raise InputError(f"--allow {strange[0]!a} given, what may differ is {', '.join(ALLOWABLE)}")
    return Rules(level, limits, named, allowed)
