"""Tables and curves of README.md in this folder, and the tables of docs/negative-results.md.

    python results/rivals/tables.py            # rewrites both pages between their marks, and curves.csv, curves.svg
    python results/rivals/tables.py --check    # exit status 1 when a page or curves.csv is not what the files say

A study here adds runs and lists to one of results/sprint, whose matrices, rankings and samples it reads. Its study.json
says which strategies are made of the answers of others, which are shown, and what they are compared with.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from multi_head import passed as multi_head_passed

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "negative-results.md"
sys.path.insert(0, str(HERE.parent / "sprint"))

from tables import SHOWN, N, Study, between_marks, gain_cells, pass_cells, passed_of, rebuild  # noqa: E402

from sprint_lmeval.runs.safe_text import table_text  # noqa: E402


class Rivals(Study):
    """Also `distinct[name]`: how many distinct texts the N responses of a harness run hold, and that N."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name, samples in self.described["greedy_first"].items():
            self._greedy_first(name, samples)
        for name, (first, second) in self.described["in_turn"].items():
            self._in_turn(name, self._cells(f"{first}/0"), self._cells(f"{second}/0"))
        self.shown = [name for name in self.described["shown"] if name in self.passed]
        self.largest = int(np.isfinite(self.passed[self.described["against"][0]][0]).sum())
        found = ((run.path.stem.split("+")[0], run) for run in self.harness_runs)
        self.distinct = {name: (run.metrics["distinct_texts"], run.n) for name, run in found}

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
            count, n = self.distinct.get(name, (None, None))
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


# ---- docs/negative-results.md ----


def negative_results(check: bool) -> int:
    """Write the tables of the page, or say that they are not what the files say."""
    old = page = PAGE.read_text(encoding="utf-8")
    mixed = Rivals(HERE / "tiny").passed
    found = {
        "guides": against_first(of_first("guided")),
        "masks": against_first(dict(zip(("one head each", "one to four heads"), multi_head_passed(), strict=True))),
        "samples": compared(pruned_samples(), [(f"pruned, T {t}", f"whole, T {t}") for t in ("0.6", "0.9")]),
        "mixtures": compared(mixed, MIXTURES),
        "losses": against_first(of_first("losses")),
    }
    for name, text in found.items():
        page = between_marks(page, name, text)
    if not check:
        PAGE.write_text(page, encoding="utf-8")
    elif page != old:
        print(f"docs/{PAGE.name} differs from the measured files: run python results/rivals/tables.py")
    return int(check and page != old)


MIXTURES = [
    ("cover and samples in turn", "greedy, then T 0.9"),
    ("cover and branches in turn", "branch, ratio"),
    ("samples and branches in turn", "branch, ratio"),
]


def of_first(name: str) -> dict[str, np.ndarray]:
    """Return Pass@1..N, [questions, N], from a file that says which response is the first correct one, 0: none."""
    first = {key: np.array(value)[:, None] for key, value in json.loads((HERE / f"{name}.json").read_text()).items()}
    return {key: ((value > 0) & (value <= np.arange(1, N + 1))).astype(float) for key, value in first.items()}


def pruned_samples() -> dict[str, np.ndarray]:
    """Return Pass@1..N of samples of pruned sub-models, and of samples of the whole model for the same questions."""
    pruned = json.loads((HERE / "pruned_samples.json").read_text())
    stored = pq.read_table(HERE.parent / "sprint" / "tiny" / "samples.parquet")
    found = {}
    for temperature, verdicts in pruned.items():
        whole = np.array(stored[f"sample T {temperature}/0"].to_pylist()[: len(verdicts)])
        found[f"whole, T {temperature}"] = passed_of(whole == 0, independent=True)
        found[f"pruned, T {temperature}"] = passed_of(np.array(verdicts) == 0, independent=False)
    return found


def against_first(passed: dict[str, np.ndarray]) -> str:
    first, *others = passed
    return compared(passed, [(name, first) for name in others])


def compared(passed: dict[str, np.ndarray], pairs: list[tuple[str, str]]) -> str:
    """Return Pass@N of every strategy of the pairs, and the differences of each pair."""
    levels = [["strategy", *(f"Pass@{k}" for k in SHOWN)]]
    levels += [
        [name, *pass_cells(passed[name], SHOWN)] for name in dict.fromkeys(n for pair in pairs for n in pair[::-1])
    ]
    gains = [["difference in points", *(f"N = {k}" for k in SHOWN)]]
    for first, second in pairs:
        gain = passed[first] - passed[second]
        gains.append([f"{first} − {second}", *gain_cells(gain, SHOWN)])
    return f"{table_text(levels)}\n\n{table_text(gains)}"


if __name__ == "__main__":
    checked = "--check" in sys.argv[1:]
    sys.exit(rebuild(HERE, Rivals, checked) | negative_results(checked))
