"""Choosing by how sure a model is of each token (DeepConf, arXiv 2508.15260), and by its entropy over steps.

In: the facts of likelihoods.py. A token's confidence is minus the mean log-probability of the 20 most probable tokens
at its position. Of a response, with windows of W tokens, one from every token on (one of all tokens where W is more):

    mean      of all tokens
    tail      of the last W tokens
    bottom    of the tenth of the windows whose means are lowest
    lowest    of the window whose mean is lowest
    entropy   minus the mean over steps (lines) of the mean entropy of a step's tokens, given all before them

Definitions, the 2,048 tokens of W and the shares that are kept are those of the paper's code, where a response without
an answer is left out first; entropy is ours, with its exponential as weight.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.scores import MethodChoice
from sprint_lmeval.scoring.likelihoods import CONFIDENCE, ENTROPY, STEP, TOP, BaseModel
from sprint_lmeval.scoring.votes import AnswerClasses, best, vote

log = logging.getLogger(f"lm_eval.{__name__}")
MEASURES = ("mean", "tail", "bottom", "lowest", "entropy")
WINDOW = 2048
BOTTOM = 0.1
KEPT = (0.1, 0.9)  # shares of the responses that vote


@dataclass(frozen=True)
class Confidence:
    """A model and the tokens of a window."""

    base: BaseModel
    window: int
    name: str

    @classmethod
    def named(cls, way: str, base: BaseModel) -> Confidence:
        """Return that of `confidence` or `confidence64`. InputError for a window that is no whole number from 1 up."""
        number = way.removeprefix("confidence") or str(WINDOW)
        if not number.isdigit() or not 0 < len(number) < 7 or int(number) < 1:
            raise InputError(f"--with {way!a:.40} given, a window is a whole number of tokens, such as confidence64")
        return cls(base, int(number), way)


def measured(facts: np.ndarray, window: int) -> dict[str, float]:
    """Return `MEASURES` of one response from its facts [4, tokens]; nan without a token."""
    values = facts[CONFIDENCE].astype(float)
    if not len(values):
        return dict.fromkeys(MEASURES, np.nan)
    sums = np.cumsum(np.append(0.0, values))
    width = min(window, len(values))
    windows = np.sort((sums[width:] - sums[:-width]) / width)
    steps = [facts[ENTROPY][facts[STEP] == step].mean() for step in np.unique(facts[STEP])]
    return {
        "mean": values.mean(),
        "tail": values[-width:].mean(),
        "bottom": windows[: max(1, int(len(windows) * BOTTOM))].mean(),
        "lowest": windows[0],
        "entropy": -float(np.mean(steps)),
    }


def top_share(values: np.ndarray, classes: AnswerClasses, share: float) -> np.ndarray:
    """Return bool [n]: which responses have an answer and a value among the top `share` of those that have both."""
    known = np.isfinite(values) & np.array([one is not None for one in classes])
    if not known.any():
        return known
    return known & (values >= np.percentile(values[known], 100 * (1 - share)))


def choose_by_confidence(run: Run, classes: Sequence[AnswerClasses], model: Confidence) -> list[MethodChoice]:
    """For each measure: a vote weighted by it, the same among the top shares, and the answer with the highest value."""
    facts = model.base.of_run(run)
    found = [[measured(one, model.window) for one in row] for row in facts]
    longest = max(one.shape[1] for row in facts for one in row)
    if longest <= model.window:
        log.warning(
            "no response has more than the %d tokens of a window (the longest %d): tail, bottom and lowest are the "
            "mean; give a smaller one, such as --with confidence16",
            model.window,
            longest,
        )
    return [choice for name in MEASURES for choice in _choices(name, found, classes, model)]


def _choices(
    measure: str, found: list[list[dict[str, float]]], classes: Sequence[AnswerClasses], model: Confidence
) -> list[MethodChoice]:
    values = [np.array([of[measure] for of in row]) for row in found]
    weights = [np.exp(of) for of in values] if measure == "entropy" else values
    rows = list(zip(classes, values, weights, strict=True))
    chosen = {"vote": [vote(row, w) for row, _, w in rows]}
    for share in KEPT:
        chosen[f"top {100 * share:g} %"] = [vote(row, w * top_share(of, row, share)) for row, of, w in rows]
    chosen["best"] = [best(row, of) for row, of, _ in rows]
    settings = {"scored_under": model.base.name, "pruned_heads": "none", "measure": measure}
    if measure != "entropy":
        settings["top_tokens"] = str(TOP)
    whole = measure in ("mean", "entropy")
    label = f"{'confidence' if whole else model.name} {measure}"
    settings |= {} if whole else {"window": str(model.window)}
    used = [len(row) for row in classes]  # all N are there before one is chosen
    return [MethodChoice(f"{label} {how}", picked, settings, used) for how, picked in chosen.items()]
