"""Votes of one question: classes of equal answers and a weight for each response in, the chosen response out.

A response without an answer does not vote. Of equals the one that comes first in the strategy's order wins.

`redundancy` measures how much of N answers is the same thing again: the share of pairs that end in one answer, as
DeepPrune (arXiv 2510.08483) does, and how alike texts are (Slim-SC, arXiv 2509.13990): equal ones, shared words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np

MAX_TEXT = 20_000  # characters of a response whose words are compared
MAX_TEXTS = 32  # different texts of a question whose pairs are compared
WORD = re.compile(r"\w+|[^\w\s]")

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


# ---- how alike the answers are ----


def redundancy(classes: Sequence[AnswerClasses], texts: Sequence[Sequence[str]] | None) -> dict[str, float]:
    """Return means over questions.

    Args:
        classes: of equal answers, [questions][n].
        texts: the responses, [questions][n]; None where they were not kept, and what needs them is then absent.
    """
    answers = [[one for one in row if one is not None] for row in classes]
    found = {"distinct_answers": float(np.mean([len(set(row)) for row in answers]))}
    found |= _mean("pairs_with_equal_answers", [_equal_pairs(row) for row in answers])
    if texts is not None:
        found["distinct_texts"] = float(np.mean([len(set(row)) for row in texts]))
        found |= _mean("pairs_with_equal_texts", [_equal_pairs(row) for row in texts])
        found |= _mean("shared_words_of_pairs", [_shared_words(row) for row in texts])
    return found


def _mean(name: str, values: list[float | None]) -> dict[str, float]:
    known = [value for value in values if value is not None]
    return {name: float(np.mean(known))} if known else {}


def _equal_pairs(values: Sequence) -> float | None:
    """Share of the pairs that are equal; None without a pair."""
    pairs = len(values) * (len(values) - 1) // 2
    equal = sum(count * (count - 1) // 2 for count in Counter(values).values())
    return equal / pairs if pairs else None


def _shared_words(texts: Sequence[str]) -> float | None:
    """Mean over pairs of the share of different words that two texts have in common (Jaccard); equal pairs count 1."""
    counts = Counter(texts)
    kept = [(set(WORD.findall(text[:MAX_TEXT])), count) for text, count in list(counts.items())[:MAX_TEXTS]]
    pairs = sum(count * (count - 1) // 2 for _, count in kept)
    total = float(pairs)
    for (a, times_a), (b, times_b) in combinations(kept, 2):
        union = len(a | b)
        pairs += times_a * times_b
        total += times_a * times_b * (len(a & b) / union if union else 1.0)
    return total / pairs if pairs else None
