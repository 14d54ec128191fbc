"""Is a best head's gain a gain? The best of many noisy figures is high even if no head does anything.

In: which candidates solved which questions. Out: for each subject the gain of its best head beside what chance gives.
*By chance*: the verdicts of each question are shuffled among all candidates, the unpruned model one of them, so that a
question stays as hard as it is and no candidate is better than another; then the best head is looked for again. p is
the share of shuffles whose best head gains as much, so it is corrected for the number of heads (the maximum as
statistic: Westfall and Young 1993). *Split half*: a head is chosen on half of the questions and measured on the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sprint_lmeval.runs.safe_text import p_value, percent, plain, points, table_text

ROUNDS, FEWEST_ROUNDS = 1_000, 200  # shuffles; fewer of a large matrix
MAX_SHUFFLED = 30_000_000  # verdicts that are shuffled in all
SPLITS = 200
SLACK = 1e-9  # sums of the same values in another order


@dataclass(frozen=True)
class BestHead:
    """The best head of one subject; gains are shares of the questions, minus that of the unpruned model.

    Attributes:
        subject, questions: name, and how many questions all candidates answered.
        gain: of the best head; `expected`: the same by chance; `above`: share of all heads that gain more than that.
        p: of as large a best gain by chance.
        split_half: mean gain of a head chosen on one half, measured on the other; nan with one question.
        layer_gain, layer_expected: mean over the layers of the gain of a layer's best head, and by chance.
    """

    subject: str
    questions: int
    gain: float
    expected: float
    above: float
    p: float
    split_half: float
    layer_gain: float
    layer_expected: float


def best_heads(
    correct: np.ndarray, layers: Sequence[int], subjects: dict[str, np.ndarray], seed: int = 0
) -> tuple[BestHead, ...]:
    """Return the best head of every subject that has questions.

    Args:
        correct: bool [questions, 1 + heads], the unpruned model first.
        layers: [heads], the layer of each head.
        subjects: name -> bool [questions].
        seed: of shuffles and splits.
    """
    subjects = {name: rows for name, rows in subjects.items() if rows.any()}
    if not subjects:
        return ()
    rows = np.array(list(subjects.values()), np.float32)  # [subjects, questions]
    best, of_layers = _best(correct, rows, layers)
    shuffled = [_best(one, rows, layers) for one in _shuffles(correct, seed)]
    by_chance, of_layers_by_chance = (np.array(part) for part in zip(*shuffled, strict=True))  # [rounds, subjects]
    found = []
    for s, (name, chosen) in enumerate(subjects.items()):
        expected = float(by_chance[:, s].mean())
        reached = int((by_chance[:, s] >= best[s] - SLACK).sum())
        found.append(
            BestHead(
                subject=name,
                questions=int(chosen.sum()),
                gain=float(best[s]),
                expected=expected,
                above=float((_gains(correct, rows[s : s + 1])[0] > expected + SLACK).mean()),
                p=(1 + reached) / (1 + len(by_chance)),
                split_half=split_half(correct[chosen], seed),
                layer_gain=float(of_layers[s]),
                layer_expected=float(of_layers_by_chance[:, s].mean()),
            )
        )
    return tuple(found)


def _gains(correct: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Gains [subjects, heads] of verdicts [questions, 1 + heads]; `rows` [subjects, questions]."""
    solved = (rows @ correct.astype(np.float32)).astype(float) / rows.sum(1, keepdims=True)  # whole numbers before
    return solved[:, 1:] - solved[:, :1]


def _best(correct: np.ndarray, rows: np.ndarray, layers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Gain of the best head, and mean gain of the best head of each layer, both [subjects]."""
    gains, layers = _gains(correct, rows), np.asarray(layers)
    of_layers = [gains[:, layers == layer].max(1) for layer in np.unique(layers)]
    return gains.max(1), np.mean(of_layers, axis=0)


def _shuffles(correct: np.ndarray, seed: int):
    """Yield verdicts like `correct` whose candidates were shuffled within each question."""
    draw, shuffled = np.random.default_rng(seed), correct.astype(np.uint8)
    solved = correct.sum(1)
    mixed = np.flatnonzero((solved > 0) & (solved < correct.shape[1]))  # the others stay as they are
    part = shuffled[mixed]
    for _ in range(int(np.clip(MAX_SHUFFLED // max(1, part.size), FEWEST_ROUNDS, ROUNDS))):
        draw.permuted(part, axis=1, out=part)
        shuffled[mixed] = part
        yield shuffled


def split_half(correct: np.ndarray, seed: int = 0) -> float:
    """Return the mean gain, over `SPLITS` splits, of the head that is best on one half, measured on the other half.

    Args:
        correct: bool [questions, 1 + heads], the unpruned model first. Heads that are equally good are averaged.
        seed: of the splits.
    """
    count = len(correct)
    if count < 2:
        return float("nan")
    gains = correct[:, 1:].astype(np.float32) - correct[:, :1]
    order = np.random.default_rng(seed).random((SPLITS, count)).argsort(1)
    chosen_on = (order < count // 2).astype(np.float32)  # [splits, questions]
    first = chosen_on @ gains
    second = (gains.sum(0) - first) / (count - count // 2)
    best = first >= first.max(1, keepdims=True) - 0.5  # whole numbers
    return float(np.mean((second * best).sum(1) / best.sum(1)))


EXPLAINED = """Gain of the best head over the unpruned model in points. By chance: the same with the verdicts of each
question shuffled among all candidates; p: of as large a gain by chance, corrected for the number of heads (not of
subjects). Split half: a head chosen on one half of the questions, measured on the other (mean of {splits} splits).
Mean of layers: of each layer's best head, as the violins have it."""


def chance_markdown(found: Sequence[BestHead]) -> str:
    """Return the table with its explanation; "" where nothing is known."""
    if not found:
        return ""
    lines = [["subject", "questions", "best head", "by chance", "heads above that", "p", "split half"]]
    lines[0] += ["mean of layers", "by chance"]
    for one in found:
        figures = [points(one.gain), points(one.expected), percent(one.above), p_value(one.p)]
        figures += ["-" if np.isnan(one.split_half) else points(one.split_half)]
        figures += [points(one.layer_gain), points(one.layer_expected)]
        lines.append([plain(one.subject), f"{one.questions:,}", *figures])
    return f"{EXPLAINED.format(splits=SPLITS)}\n\n{table_text(lines)}"
