"""How much of N answers is the same thing again.

The share of pairs that end in one answer is what DeepPrune (arXiv 2510.08483) measures; Slim-SC (arXiv 2509.13990)
looks at how alike the chains are. Here that is counted on the texts: equal ones, and how many words two share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from sprint_lmeval.scoring.votes import AnswerClasses

MAX_TEXT = 20_000  # characters of a response whose words are compared
MAX_TEXTS = 32  # different texts of a question whose pairs are compared
WORD = re.compile(r"\w+|[^\w\s]")


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
