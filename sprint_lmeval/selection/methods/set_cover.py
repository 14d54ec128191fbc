"""Pass@N is coverage: which N candidates together solve the most questions, greedily.

In: outcomes of candidates on questions, with weights of the questions. Out: an order of candidates. Greedy choice of a
monotone submodular function reaches at least 1 - 1/e of the best set (Nemhauser, Wolsey & Fisher, 1978).
"""

from __future__ import annotations

import numpy as np

LONGEST = 16  # the paper's largest N: pass curves are shown up to here
SPENT = 1e-6  # share of the weight: less than one of a million questions


def greedy_cover(correct: np.ndarray, n: int, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Choose n candidates, each the one that adds the most weight of questions not solved before.

    When nothing can be added, the questions count anew for the candidates that are left (a second cover behind the
    first). Ties go to the candidate that solves more by itself, then to the first.

    Args:
        correct: [questions, candidates].
        weights: [cases, questions], not negative: one order is made for each row; None: one case, all questions alike.

    Returns:
        order: int64 [cases, n]; gains: float32 [cases, n], the share of the case's weight that each choice added.
    """
    solved = correct.astype(np.float32)
    weights = np.ones((1, len(solved)), np.float32) if weights is None else weights.astype(np.float32)
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30)
    alone = weights @ solved  # [cases, candidates]
    unsolved, left, free = weights.copy(), weights.copy(), np.ones(alone.shape, bool)
    order, gains = np.zeros((len(weights), n), np.int64), np.zeros((len(weights), n), np.float32)
    cases = np.arange(len(weights))
    for rank in range(n):
        gain = np.where(free, left @ solved, -1)
        spent = gain.max(axis=1) < SPENT
        left[spent] = weights[spent]
        gain[spent] = np.where(free[spent], alone[spent], -1)
        chosen = (gain.astype(float).round(6) + 1e-6 * alone.astype(float).round(6)).argmax(axis=1)
        order[:, rank], gains[:, rank] = chosen, np.einsum("cq,qc->c", unsolved, solved[:, chosen])
        free[cases, chosen] = False
        failed = 1 - solved[:, chosen].T  # [cases, questions]
        left *= failed
        unsolved *= failed
    return order, gains


def soft_cover(rows: np.ndarray, weights: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose n candidates for each case, each the one that adds most to the chance that at least one is right.

    A case is a mixture of rows; within a row candidates are right independently of each other.

    Args:
        rows: float32 [rows, candidates], chances.
        weights: float32 [cases, rows], of each row in the case's mixture.

    Returns:
        order: int64 [cases, n]; gains: float32 [cases, n], the chance that each choice added.
    """
    left = weights.astype(np.float32)  # chance of the row, and that everything chosen so far is wrong in it
    free = np.ones((len(left), rows.shape[1]), bool)
    order, gains = np.zeros((len(left), n), np.int64), np.zeros((len(left), n), np.float32)
    cases = np.arange(len(left))
    for rank in range(n):
        gain = np.where(free, left @ rows, -1)
        chosen = gain.argmax(axis=1)
        order[:, rank], gains[:, rank] = chosen, gain[cases, chosen]
        free[cases, chosen] = False
        left *= 1 - rows[:, chosen].T
    return order, gains


def hits(order: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Return bool [questions, N]: whether any of the first k = 1..N ordered candidates solves the question."""
    return np.logical_or.accumulate(np.take_along_axis(correct, order, axis=1), axis=1)
