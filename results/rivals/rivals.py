"""A study of results/rivals: it adds runs and lists to one of results/sprint, whose files it reads.

Its study.json says which strategies are made of the answers of others, which are shown and what they are compared
with.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "sprint"))

from tables import SHOWN, Study, gain_cells, pass_cells, passed_of

from sprint_lmeval.runs.safe_text import table_text


class Rivals(Study):
    """Also `distinct[name]`: how many distinct texts N responses hold in harness runs, of how many questions, and N."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name, samples in self.described["greedy_first"].items():
            self._greedy_first(name, samples)
        for name, (first, second) in self.described["in_turn"].items():
            self._in_turn(name, self._cells(f"{first}/0"), self._cells(f"{second}/0"))
        self.shown = [name for name in self.described["shown"] if name in self.passed]
        self.largest = int(np.isfinite(self.passed[self.described["against"][0]][0]).sum())
        self.distinct = {}
        for run in self.harness_runs:  # of some questions each, where the matrix has grown
            name, count = run.path.stem.split("+")[0], len(run.samples.questions)
            before, known, _ = self.distinct.get(name, (0.0, 0, 0))
            mean = (before * known + run.metrics["distinct_texts"] * count) / (known + count)
            self.distinct[name] = mean, known + count, run.n

    def _greedy_first(self, name: str, samples: str) -> None:
        """The greedy answer, then independent samples: the mean of `first=greedy` over its draws."""
        greedy, tokens = self.passed["base"][:, :1], self.tokens[samples]
        passed = np.hstack([greedy, np.maximum(greedy, self.passed[samples][:, :-1])])
        self._average(name, passed, self.tokens["base"][0] + np.append(0, tokens[:-1]))

    def _in_turn(self, name: str, first: tuple, second: tuple) -> None:
        """The greedy answer, which comes first in both strategies, then one of the second, one of the first, ..."""
        turns = np.arange(second[0].shape[1])
        verdicts, tokens = (
            np.where(turns % 2, b[:, (turns + 1) // 2], a[:, turns // 2])
            for a, b in zip(first[:2], second[:2], strict=True)
        )
        passed = np.full(self.passed["base"].shape, np.nan)
        passed[:, : len(turns)] = passed_of(verdicts == 0, independent=False)
        spent = np.full(passed.shape[1], np.nan)
        spent[: len(turns)] = tokens.mean(0).cumsum()
        self._average(name, passed, spent)

    def text(self) -> str:
        return "\n\n".join([self._pass_table(), *map(self._against, self.described["against"]), self._differences()])

    def _pass_table(self) -> str:
        shown = [k for k in SHOWN if k <= self.largest]
        lines = [["strategy", *(f"Pass@{k}" for k in shown), "new tokens each", "distinct texts"]]
        for name in self.shown:
            passed, spent = self.passed[name], self.tokens[name]
            known = 1 if name == "base" else np.isfinite(passed[0]).sum()
            count, _, n = self.distinct.get(name, (None, None, None))
            texts = f"{count:.1f} of {n}" if n else "-"
            lines.append([name, *pass_cells(passed, shown), f"{spent[known - 1] / known:.0f}", texts])
        return table_text(lines)

    def _against(self, rival: str) -> str:
        shown = [k for k in SHOWN if k <= self.largest]
        lines = [[f"minus {rival}, in points", *(f"N = {k}" for k in shown)]]
        for name in self.shown:
            if name not in (rival, "base"):
                gain = self.passed[name] - self.passed[rival]
                lines.append([name, *gain_cells(gain, shown)])
        return table_text(lines)
