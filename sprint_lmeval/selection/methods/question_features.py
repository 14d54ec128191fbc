"""What a question says besides its meaning: its wording with numbers masked, and the numbers themselves.

In: questions. Out: float32 [questions, features] for a forest. A sentence encoder hardly distinguishes numbers, and
whether an answer is right depends on them. Words and pairs of words are kept as numbers of hash buckets, never as text.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

NUMBER = re.compile(r"\d+(?:\.\d+)?")
TOKEN = re.compile(r"[a-z]+|0")
BUCKETS = 1 << 16
MOST_WORDS = 2048
FIRST_NUMBERS = 6
FIGURES = FIRST_NUMBERS + 3
LARGEST = 1e9  # numbers beyond are shown as this
MOST_CHARACTERS = 20_000  # of one question


def frequent_words(questions: Sequence[str]) -> np.ndarray:
    """Return the buckets (int64, sorted) of the words and pairs in at least 1 of 150 questions, and in 3."""
    counts = Counter(bucket for question in questions for bucket in _buckets(question))
    least = max(3, math.ceil(len(questions) / 150))
    kept = [bucket for bucket, count in counts.most_common(MOST_WORDS) if count >= least]
    return np.array(sorted(kept), np.int64)


def features(questions: Sequence[str], words: np.ndarray) -> np.ndarray:
    """Return float32 [questions, len(words) + FIGURES]: 1 where a word is there; then the first numbers in order (-1
    where there is none), how many numbers there are, the largest, and the number of words.
    """
    column = {int(bucket): number for number, bucket in enumerate(words)}
    found = np.zeros((len(questions), len(words) + FIGURES), np.float32)
    for row, question in zip(found, questions, strict=True):
        row[[column[bucket] for bucket in _buckets(question) if bucket in column]] = 1
        row[len(words) :] = _figures(question)
    return found


def _buckets(question: str) -> set[int]:
    tokens = TOKEN.findall(NUMBER.sub(" 0 ", question[:MOST_CHARACTERS].lower()))
    pairs = [f"{one} {two}" for one, two in pairwise(tokens)]
    return {zlib.crc32(text.encode()) % BUCKETS for text in (*tokens, *pairs)}


def _figures(question: str) -> list[float]:
    text = question[:MOST_CHARACTERS]
    numbers = [min(float(number[:20]), LARGEST) for number in NUMBER.findall(text)]
    first = [*numbers[:FIRST_NUMBERS], *[-1.0] * (FIRST_NUMBERS - len(numbers))]
    return [*first, len(numbers), max(numbers, default=-1.0), len(text.split())]
