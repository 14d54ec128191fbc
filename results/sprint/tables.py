"""Tables and curves of README.md in this folder, from the outcome matrices, rankings and samples beside it.

    python results/sprint/tables.py            # rewrites README.md between its marks, and curves.csv, curves.svg
    python results/sprint/tables.py --check    # exit status 1 when README.md or curves.csv are not what the files say

No model and no encoder is needed. Intervals are 95 % bootstrap intervals over questions (as of `sprint-lmeval report`;
a strategy with several seeds is averaged over them within each question first). Differences are paired by question.
Pass@N of the harness's own runs in `harness/` has to be that of the tables.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.passn.metrics import unbiased_pass_at_k
from sprint_lmeval.report.curves import Curve, draw_panels
from sprint_lmeval.report.figure_style import line_style, new_figure, save_figure
from sprint_lmeval.runs.run import Run, check_against_results, read_runs
from sprint_lmeval.runs.safe_text import csv_text, table_text
from sprint_lmeval.runs.samples import Document, Samples
from sprint_lmeval.runs.statistics import paired_bootstrap

N = 16
SHOWN = (1, 2, 4, 8, 16)


class Study:
    """Pass@N of every strategy on every test question: `passed[name]` is [questions, N], averaged over seeds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self.described = json.loads((folder / "study.json").read_text())
        matrices = folder / self.described.get("matrices", ".")
        self.test, self.train = (OutcomeMatrix.load(matrices / f"{split}.parquet") for split in ("test", "train"))
        self.places = dict.fromkeys((matrices, folder))  # what lies beside the matrices counts too
        columns = self._columns("samples.parquet")
        self.known = np.all([column.is_valid().to_numpy() for column in columns.values()], axis=0)  # asked in every run
        self.test = self.test.select(self.known)
        rows = {name: self._rows(column) for name, column in columns.items()}
        self.samples = {name: (rows[name], rows[f"{name} tokens"]) for name in rows if not name.endswith(" tokens")}
        base = [str(c) for c in self.test.candidates].index("base")
        self.rankings = {"base/0": np.full((len(self.test.questions), N), base)}
        self.rankings |= {name: self._rows(column) for name, column in self._columns("rankings.parquet").items()}
        self.passed: dict[str, np.ndarray] = {}
        self.each: dict[str, list[np.ndarray]] = {}  # Pass@N of each seed, [N]
        self.tokens: dict[str, np.ndarray] = {}  # mean tokens of the first N answers, [N]
        self._ranked()
        self._sampled()
        self.harness_runs = list(self.runs())

    def _columns(self, file: str) -> dict[str, pa.ChunkedArray]:
        tables = [pq.read_table(place / file) for place in self.places if (place / file).exists()]
        return {name: table[name] for table in tables for name in table.column_names}

    def _rows(self, column: pa.ChunkedArray) -> np.ndarray:
        """Return a column of lists as [questions, N], without the questions that some run was not asked."""
        return np.array(column.filter(pa.array(self.known)).to_pylist())

    def _ranked(self) -> None:
        for column, order in self.rankings.items():
            rows, name = np.arange(len(order))[:, None], column.split("/")[0]
            spent = self.test.new_tokens[rows, order].mean(0)
            tokens = np.full(N, spent[0]) if name == "base" else spent.cumsum()
            self._average(name, passed_of(self.test.correct[rows, order], independent=False), tokens)

    def _sampled(self) -> None:
        """Independent samples of several seeds count as one draw; other runs are averaged over their seeds."""
        for name in dict.fromkeys(column.split("/")[0] for column in self.samples):
            found = [cells for column, cells in self.samples.items() if column.split("/")[0] == name]
            if exchangeable(name):
                found = [tuple(np.hstack(arrays) for arrays in zip(*found, strict=True))]
            for verdicts, tokens in found:
                count = verdicts.shape[1]
                passed, spent = (np.full(shape, np.nan) for shape in ((len(verdicts), N), N))
                passed[:, :count] = passed_of(verdicts == 0, exchangeable(name))
                spent[:count] = tokens.mean(0).cumsum()
                self._average(name, passed, tokens.mean() * np.arange(1, N + 1) if exchangeable(name) else spent)

    def _average(self, name: str, passed: np.ndarray, tokens: np.ndarray) -> None:
        seen = self.each.setdefault(name, [])
        before = self.passed.get(name, 0.0)
        self.passed[name] = before + (passed - before) / (len(seen) + 1)
        self.tokens[name] = self.tokens.get(name, 0.0) + (tokens - self.tokens.get(name, 0.0)) / (len(seen) + 1)
        seen.append(passed.mean(0))

    # ---- the harness's own runs ----

    def runs(self) -> Iterator[Run]:
        """Runs of the harness with the verdicts that the matrix, the rankings and the samples here give them.

        Stops where a run has another Pass@N than its verdicts; the file's name says whose they are, and of which
        questions where the run was not asked all of them: `NAME+SEED.json`, `NAME+SEED+FIRST-END.json`.
        """
        for file in sorted(self.folder.glob("harness/*.json")):
            name, number, rows, *_ = [*file.stem.split("+"), "", ""]
            first, _, end = rows.partition("-")
            (run,) = read_runs([file]).runs
            asked = slice(int(first or 0), int(end) if end else None)
            run = replace(run, samples=self._samples(file, f"{name}/{number or 0}", run.n, asked))
            check_against_results(run)
            yield run

    def _samples(self, file: Path, name: str, n: int, asked: slice) -> Samples:
        """Verdicts and lengths of one strategy and seed in the form of a samples file."""
        verdicts, tokens, candidates = (cells if cells is None else cells[asked] for cells in self._cells(name))
        questions = tuple(Document(q.id, q.hash, subject=q.subject or None) for q in self.test.questions[asked])
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
            exchangeable=exchangeable(name.split("/")[0]),
            offsets=(),
        )

    def _cells(self, name: str) -> tuple[np.ndarray, np.ndarray, list[list[str]] | None]:
        if name in self.samples:
            return (*self.samples[name], None)
        names = [str(c) for c in self.test.candidates]
        order = self.rankings[name]
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
            seeds = self.each[name]
            each = ", ".join(f"{100 * s[-1]:.1f}" for s in seeds) if 1 < len(seeds) <= 5 else ""
            lines.append([name, str(len(seeds)), *pass_cells(passed, SHOWN), f"{self.tokens[name][-1]:.0f}", each])
        return table_text(lines)

    def _differences(self) -> str:
        head = ["difference in points", *(f"N = {k}" for k in SHOWN)]
        lines = [head]
        for first, second in self.described["compare"]:
            if first in self.passed and second in self.passed:
                gain = self.passed[first] - self.passed[second]
                lines.append([f"{first} − {second}", *gain_cells(gain, SHOWN)])
        return table_text(lines)

    def best_head(self) -> tuple[str, np.ndarray, np.ndarray, str]:
        """Return the head that is best on the training questions, and how many are above base on the test questions.

        Returns:
            its name; 1.0 or 0.0 for each test question, [questions, 1], of it and of base; "10 of 56".
        """
        names = [str(c) for c in self.test.candidates]
        trained, solved = self.trained(), self.test.correct.astype(float)
        base = solved[:, [names.index("base")]]
        best = max((n for n in names if n != "base"), key=lambda n: trained[n])
        better = sum(column.mean() > base.mean() for column in solved.T)
        return best, solved[:, [names.index(best)]], base, f"{better} of {len(names) - 1}"

    def trained(self) -> dict[str, float]:
        """Return candidate -> share of the training questions that it solves."""
        return {str(c): self.train.correct[:, i].mean() for i, c in enumerate(self.train.candidates)}

    def _heads(self) -> str:
        """Does one pruned head, chosen on the training questions, beat the whole model on the test questions?"""
        best, pruned, base, better = self.best_head()
        trained, oracle = self.trained(), self.test.correct.any(1).mean()
        return (
            f"The best single head of the training questions, {best} ({100 * trained[best]:.1f} % of them; base "
            f"{100 * trained['base']:.1f} %), solves {100 * pruned.mean():.1f} % of the test questions and base "
            f"{100 * base.mean():.1f} %: a difference of {gain_cells(pruned - base, [1])[0]} points. {better} single "
            f"heads are above base on the test questions. All {len(self.test.candidates)} candidates together solve "
            f"{100 * oracle:.1f} %."
        )


def exchangeable(name: str) -> bool:
    """Whether a strategy's responses are independent: `sample T 0.6`, not `sample T 0.6, arithmetic`."""
    return name.startswith("sample ") and "," not in name


def passed_of(correct: np.ndarray, independent: bool) -> np.ndarray:
    """Return Pass@1..N of each question from [questions, N]: of the first ones, or unbiased of independent samples."""
    if not independent:
        return np.logical_or.accumulate(correct, axis=1).astype(float)
    count = correct.shape[1]
    chance = [[unbiased_pass_at_k(count, c, k) for k in range(1, count + 1)] for c in range(count + 1)]
    return np.array(chance)[correct.sum(1)]


def pass_cells(passed: np.ndarray, shown: Sequence[int]) -> list[str]:
    """Return Pass@N in percent with its interval, for the N shown; `passed` is [questions, N]."""
    passed = passed[:, np.array(shown) - 1]
    known = (100 * np.array([passed.mean(0), *interval(passed)])).T
    return [f"{mean:.1f} ({low:.1f} to {high:.1f})" if np.isfinite(mean) else "-" for mean, low, high in known]


def gain_cells(gain: np.ndarray, shown: Sequence[int]) -> list[str]:
    """Return mean differences in points, bold where the interval excludes zero; `gain` is [questions, N]."""
    gain, cells = gain[:, np.array(shown) - 1], []
    for mean, low, high in (100 * np.array([gain.mean(0), *interval(gain)])).T:
        sure = "**" if low > 0 or high < 0 else ""
        cells.append(f"{sure}{mean:+.1f}{sure} ({low:+.1f} to {high:+.1f})" if np.isfinite(mean) else "-")
    return cells


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bootstrap interval of the mean over questions, for values [questions, columns]; nan where unknown."""
    bounds = np.full((2, values.shape[1]), np.nan)
    for column in np.flatnonzero(np.isfinite(values).all(0)):
        found = paired_bootstrap(values[:, column], np.zeros(len(values)))
        bounds[:, column] = found.low, found.high
    return bounds[0], bounds[1]


def draw(study: Study) -> None:
    """Write the curves over N and over tokens, PNG and SVG."""
    figure, (panels,) = new_figure(10.5, 4.8, 1, 2)
    curves = []
    for number, name in enumerate(n for n in study.described["drawn"] if n in study.passed):
        passed = study.passed[name]
        known = int(np.isfinite(passed[0]).sum())
        low, high = (bound[:known] for bound in interval(passed))
        tokens = study.tokens[name][:known]
        curve = Curve(name, passed[:, :known].mean(0), low, high, tokens, flat=name == "base")
        curves.append((curve, line_style(number, name.startswith("sprint"))))
    draw_panels(panels, curves, N)
    panels[0].set_title(study.described["title"], loc="left")
    save_figure(figure, study.folder / "curves")


def between_marks(page: str, name: str, text: str) -> str:
    """Return a page with a text between the marks of that name."""
    start, end = f"<!-- tables of {name} -->", f"<!-- end of {name} -->"
    return page[: page.index(start)] + f"{start}\n\n{text}\n\n" + page[page.index(end) :]


def rebuild(here: Path, kind: type[Study], check: bool) -> int:
    """Write the tables and curves of every study in a folder, or say which are not what the files say."""
    readme = here / "README.md"
    text = readme.read_text(encoding="utf-8")
    wrong = []
    for study in (kind(path.parent) for path in sorted(here.glob("*/study.json"))):
        new = between_marks(text, study.name, study.text())
        curves = study.folder / "curves.csv"
        if check:
            wrong += [readme] * (new != text)
            wrong += [curves] * (curves.read_text() != study.curves())
        else:
            curves.write_text(study.curves())
            draw(study)
        text = new
    if not check:
        readme.write_text(text, encoding="utf-8")
        return 0
    folder = f"results/{here.name}"
    for file in wrong:
        print(f"{file.relative_to(here)} differs from the measured files: run python {folder}/tables.py")
    print(f"{folder}: {'differs from' if wrong else 'is what'} the measured files{'' if wrong else ' say'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(rebuild(Path(__file__).parent, Study, "--check" in sys.argv[1:]))
