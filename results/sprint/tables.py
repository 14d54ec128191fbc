"""Tables and curves of README.md in this folder, from the outcome matrices, rankings and samples beside it.

    python results/sprint/tables.py            # rewrites README.md between its marks, and curves.csv, curves.svg
    python results/sprint/tables.py --check    # exit status 1 when README.md or curves.csv are not what the files say

No model and no encoder is needed. Intervals are 95 % bootstrap intervals over questions (as of `sprint-lmeval report`;
a strategy with several seeds is averaged over them within each question first). Differences are paired by question.
Pass@N of the harness's own runs in `harness/` has to be that of the tables.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.passn.metrics import unbiased_pass_at_k
from sprint_lmeval.report.curves import Curve, draw_panels
from sprint_lmeval.report.figure_style import new_figure, save_figure
from sprint_lmeval.runs.run import Run, check_against_results, read_runs
from sprint_lmeval.runs.safe_text import csv_text, table_text
from sprint_lmeval.runs.samples import Document, Samples
from sprint_lmeval.runs.statistics import paired_bootstrap

HERE = Path(__file__).parent
N = 16
SHOWN = (1, 2, 4, 8, 16)


class Study:
    """Pass@N of every strategy on every test question: `passed[name]` is [questions, N], averaged over seeds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self.test, self.train = (OutcomeMatrix.load(folder / f"{split}.parquet") for split in ("test", "train"))
        self.described = json.loads((folder / "study.json").read_text())
        self.passed: dict[str, np.ndarray] = {}
        self.each: dict[str, list[np.ndarray]] = {}  # Pass@N of each seed, [N]
        self.tokens: dict[str, np.ndarray] = {}  # mean tokens of the first N answers, [N]
        self._ranked()
        self._sampled()
        self.harness_runs = list(self.runs())

    def _ranked(self) -> None:
        questions = np.arange(len(self.test.questions))[:, None]
        base = [str(c) for c in self.test.candidates].index("base")
        self._add("base", np.full((len(questions), N), base), once=True)
        table = pq.read_table(self.folder / "rankings.parquet")
        for name in dict.fromkeys(column.split("/")[0] for column in table.column_names):
            for column in (c for c in table.column_names if c.split("/")[0] == name):
                self._add(name, np.array(table[column].to_pylist()))

    def _add(self, name: str, order: np.ndarray, once: bool = False) -> None:
        rows = np.arange(len(order))[:, None]
        passed = np.logical_or.accumulate(self.test.correct[rows, order], axis=1).astype(float)
        spent = self.test.new_tokens[rows, order].mean(0)
        self._average(name, passed, np.full(N, spent[0]) if once else spent.cumsum())

    def _sampled(self) -> None:
        file = self.folder / "samples.parquet"
        table = pq.read_table(file) if file.exists() else None
        for column in [c for c in table.column_names if not c.endswith(" tokens")] if table else []:
            verdicts = np.array(table[column].to_pylist())  # [questions, samples]
            count = verdicts.shape[1]
            known = range(1, count + 1)  # beyond the samples that were drawn, Pass@N is not known
            chance = {c: [unbiased_pass_at_k(count, c, k) for k in known] for c in range(count + 1)}
            passed = np.full((len(verdicts), N), np.nan)
            passed[:, :count] = [chance[c] for c in (verdicts == 0).sum(1)]
            tokens = np.array(table[f"{column} tokens"].to_pylist()).mean() * np.arange(1, N + 1)
            self._average(column.split("/")[0], passed, tokens)

    def _average(self, name: str, passed: np.ndarray, tokens: np.ndarray) -> None:
        seen = self.each.setdefault(name, [])
        before = self.passed.get(name, 0.0)
        self.passed[name] = before + (passed - before) / (len(seen) + 1)
        self.tokens[name] = self.tokens.get(name, 0.0) + (tokens - self.tokens.get(name, 0.0)) / (len(seen) + 1)
        seen.append(passed.mean(0))

    # ---- the harness's own runs ----

    def runs(self) -> Iterator[Run]:
        """Runs of the harness with the verdicts that the matrix, the rankings and the samples here give them.

        Stops where a run has another Pass@N than its verdicts; the file's name says whose they are.
        """
        for file in sorted(self.folder.glob("harness/*.json")):
            name, _, number = file.stem.partition("+")
            (run,) = read_runs([file]).runs
            run = replace(run, samples=self._samples(file, f"{name}/{number or 0}", run.n))
            check_against_results(run)
            yield run

    def _samples(self, file: Path, name: str, n: int) -> Samples:
        """Verdicts and lengths of one strategy and seed in the form of a samples file."""
        verdicts, tokens, candidates = self._cells(name)
        questions = tuple(Document(q.id, q.hash, subject=q.subject or None) for q in self.test.questions)
        count = len(questions)
        unknown = np.full(count, np.nan)
        return Samples(
            path=file,
            questions=questions,
            prompt_hashes=("",) * count,
            verdicts=verdicts[:, :n].astype(np.int8),
            truncated=np.full((count, n), -1, np.int8),
            new_tokens=tokens[:, :n].astype(np.int32),
            candidates=candidates,
            answers=[[None] * n] * count,
            scores=None,
            majority=unknown,
            distinct=unknown,
            exchangeable=name.startswith("sample"),
            offsets=(),
        )

    def _cells(self, name: str) -> tuple[np.ndarray, np.ndarray, list[list[str]] | None]:
        if name.startswith("sample"):
            table = pq.read_table(self.folder / "samples.parquet", columns=[name, f"{name} tokens"])
            return (*(np.array(table[column].to_pylist()) for column in table.column_names), None)
        names = [str(c) for c in self.test.candidates]
        if name == "base/0":
            order = np.full((len(self.test.questions), N), names.index("base"))
        else:
            order = np.array(pq.read_table(self.folder / "rankings.parquet", columns=[name])[name].to_pylist())
        rows = np.arange(len(order))[:, None]
        candidates = [[names[place] for place in line] for line in order]
        return self.test.verdicts[rows, order], self.test.new_tokens[rows, order], candidates

    # ---- what it says ----

    def curves(self) -> str:
        """Return CSV: strategy, N, Pass@N in percent with its interval, tokens spent."""
        lines: list[list] = [["strategy", "n", "pass", "low", "high", "tokens"]]
        for name, passed in self.passed.items():
            low, high = interval(passed)
            for k in range(int(np.isfinite(passed[0]).sum())):
                figures = [f"{100 * x:.2f}" for x in (passed[:, k].mean(), low[k], high[k])]
                lines.append([name, k + 1, *map(float, figures), float(f"{self.tokens[name][k]:.1f}")])
        return csv_text(lines)

    def text(self) -> str:
        return "\n\n".join([self._pass_table(), self._differences(), self._heads()])

    def _pass_table(self) -> str:
        head = ["strategy", "seeds", *(f"Pass@{k}" for k in SHOWN), "tokens for 16", "Pass@16 of each seed"]
        lines = [head]
        for name, passed in self.passed.items():
            low, high = interval(passed)
            mean = passed.mean(0)
            cells = [
                f"{100 * mean[k]:.1f} ({100 * low[k]:.1f} to {100 * high[k]:.1f})" if np.isfinite(mean[k]) else "-"
                for k in np.array(SHOWN) - 1
            ]
            seeds = self.each[name]
            each = ", ".join(f"{100 * s[-1]:.1f}" for s in seeds) if 1 < len(seeds) <= 5 else ""
            lines.append([name, str(len(seeds)), *cells, f"{self.tokens[name][-1]:.0f}", each])
        return table_text(lines)

    def _differences(self) -> str:
        head = ["difference in points", *(f"N = {k}" for k in SHOWN)]
        lines = [head]
        for first, second in self.described["compare"]:
            if first in self.passed and second in self.passed:
                gain = self.passed[first] - self.passed[second]
                low, high = interval(gain)
                lines.append([f"{first} − {second}", *(difference(gain, low, high, k - 1) for k in SHOWN)])
        return table_text(lines)

    def _heads(self) -> str:
        """Does one pruned head, chosen on the training questions, beat the whole model on the test questions?"""
        names = [str(c) for c in self.test.candidates]
        trained = {str(c): self.train.correct[:, i].mean() for i, c in enumerate(self.train.candidates)}
        solved = self.test.correct
        base = names.index("base")
        best = max((n for n in names if n != "base"), key=lambda n: trained[n])
        gain = (solved[:, names.index(best)].astype(float) - solved[:, base])[:, None]
        low, high = interval(gain)
        better = sum(solved[:, i].mean() > solved[:, base].mean() for i in range(len(names)))
        oracle = solved.any(1).mean()
        share = {name: f"{100 * solved[:, names.index(name)].mean():.1f} %" for name in (best, "base")}
        return (
            f"The best single head of the training questions, {best} ({100 * trained[best]:.1f} % of them; base "
            f"{100 * trained['base']:.1f} %), solves {share[best]} of the test questions and base {share['base']}: a "
            f"difference of {difference(gain, low, high, 0)} points. {better} of {len(names) - 1} single heads are "
            f"above base on the test questions. All {len(names)} candidates together solve {100 * oracle:.1f} %."
        )


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bootstrap interval of the mean over questions, for values [questions, columns]; nan where unknown."""
    bounds = np.full((2, values.shape[1]), np.nan)
    for column in np.flatnonzero(np.isfinite(values).all(0)):
        found = paired_bootstrap(values[:, column], np.zeros(len(values)))
        bounds[:, column] = found.low, found.high
    return bounds[0], bounds[1]


def difference(gain: np.ndarray, low: np.ndarray, high: np.ndarray, k: int) -> str:
    if np.isnan(gain[:, k]).any():
        return "-"
    sure = "**" if low[k] > 0 or high[k] < 0 else ""
    return f"{sure}{100 * gain[:, k].mean():+.1f}{sure} ({100 * low[k]:+.1f} to {100 * high[k]:+.1f})"


def draw(study: Study) -> None:
    """Write the curves over N and over tokens, PNG and SVG."""
    figure, (panels,) = new_figure(10.5, 4.8, 1, 2)
    curves = []
    for name in (n for n in study.described["drawn"] if n in study.passed):
        passed = study.passed[name]
        known = int(np.isfinite(passed[0]).sum())
        low, high = (bound[:known] for bound in interval(passed))
        tokens = study.tokens[name][:known]
        curves.append(Curve(name, passed[:, :known].mean(0), low, high, tokens, flat=name == "base"))
    draw_panels(panels, curves, N, {})
    panels[0].set_title(study.described["title"], loc="left")
    save_figure(figure, study.folder / "curves")


def main(check: bool) -> int:
    readme = HERE / "README.md"
    text = readme.read_text(encoding="utf-8")
    wrong = []
    for folder in sorted(path.parent for path in HERE.glob("*/study.json")):
        study = Study(folder)
        start, end = f"<!-- tables of {study.name} -->", f"<!-- end of {study.name} -->"
        new = text[: text.index(start)] + f"{start}\n\n{study.text()}\n\n" + text[text.index(end) :]
        curves = folder / "curves.csv"
        if check:
            wrong += [readme] * (new != text)
            wrong += [curves] * (curves.read_text() != study.curves())
        else:
            curves.write_text(study.curves())
            draw(study)
        text = new
    if check:
        for file in wrong:
            print(f"{file.relative_to(HERE)} differs from the measured files: run python results/sprint/tables.py")
        print(f"results/sprint: {'differs from' if wrong else 'is what'} the measured files{'' if wrong else ' say'}")
        return int(bool(wrong))
    readme.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
