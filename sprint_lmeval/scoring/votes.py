"""Votes of one question: classes of equal answers and a weight for each response in, the chosen response out.

A response without an answer does not vote. Of equals the one that comes first in the strategy's order wins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

AnswerClasses = Sequence[int | None]  # of each response the class of its answer, None without one


def class_totals(classes: AnswerClasses, weights: Sequence[float]) -> dict[int, float]:
    """Return the sum of weights of each class, in order of appearance; a weight that is not finite counts nothing."""
    totals: dict[int, float] = {}
    for one, weight in zip(classes, weights, strict=True):
        if one is not None:
            totals[one] = totals.get(one, 0.0) + (float(weight) if np.isfinite(weight) else 0.0)
    return totals


def vote(classes: AnswerClasses, weights: Sequence[float] | None = None) -> int | None:
    """Return the index of the first response of the class with the largest sum of weights; None without any answer.

    Args:
        classes: of the N answers.
        weights: of each response, not below 0; None: all alike.
    """
    totals = class_totals(classes, [1.0] * len(classes) if weights is None else weights)
    if not totals:
        return None
    winner = max(totals, key=totals.__getitem__)  # the first of equals
    return list(classes).index(winner)


def best(classes: AnswerClasses, values: Sequence[float]) -> int | None:
    """Return the index of the answer with the highest value; None where no response has an answer and a value."""
    known = [(value, -index) for index, value in enumerate(values) if classes[index] is not None and np.isfinite(value)]
    return -max(known)[1] if known else None


def score_weights(scores: np.ndarray) -> tuple[np.ndarray, str]:
    """Return weights for a strategy's scores [questions, n], and what they are in words.

    Chances and gains (coverage, cover, top, nearest, logistic) are weights as they are. Scores below 0 (SPRINT: minus
    the squared distance of equation 1) become a softmax over the N of each question. A question whose scores are all 0
    has equal weights.
    """
    if (scores >= 0).all():
        weights, how = scores.astype(float), "the score"
    else:
        shifted = np.exp(scores.astype(float) - scores.max(1, keepdims=True))
        weights, how = shifted / shifted.sum(1, keepdims=True), "softmax of the scores of a question"
    weights[weights.sum(1) == 0] = 1.0
    return weights, how
