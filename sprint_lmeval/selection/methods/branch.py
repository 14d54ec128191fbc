"""The method `branch`: which priority `strategy=branch` is to have. Ours; chosen on training questions, per model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sprint_lmeval.names import PRIORITIES
from sprint_lmeval.selection.methods.method import Examples, Method, Option, Tensors


class BranchPriority(Method):
    """One priority for every question; `correct` has the N responses of each priority in turn, [questions, P * N]."""

    name = "branch"
    summary = "the priority of strategy=branch whose first answers solve the most training questions"
    reads = encodes = ranks = False
    options = {  # noqa: RUF012
        "priority": Option(PRIORITIES, "chosen on training questions: none is best on every model", allowed=PRIORITIES),
        "levels": Option("1", "that of the runs", allowed=("1", "all")),
    }

    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        return {}

    def trials(
        self, learning: Examples, held_out: Examples, options: dict, seed: int
    ) -> Iterator[tuple[dict, np.ndarray]]:
        columns = np.arange(held_out.correct.shape[1]).reshape(len(options["priority"]), -1)
        for setting, of_priority in zip(self.settings(options), columns, strict=True):
            yield setting, np.tile(of_priority, (len(held_out.questions), 1))

    def order(self, tensors: Tensors, setting: dict, asked: Examples, n: int) -> tuple[np.ndarray, np.ndarray]:
        alike = (len(asked.questions), n)  # of one candidate, whose answers branch
        return np.zeros(alike, np.int64), np.zeros(alike, np.float32)

    def shapes(self, m: int, dim: int) -> dict:
        return {}
