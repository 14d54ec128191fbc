"""Tables and curves of README.md in this folder, from the outcome matrices, rankings and samples beside it.

    python results/sprint/tables.py            # rewrites README.md between its marks, and curves.csv, curves.svg
    python results/sprint/tables.py --check    # exit status 1 when README.md or curves.csv are not what the files say

No model and no encoder is needed. Intervals are 95 % bootstrap intervals over questions (4,000 resamplings with a
fixed seed; a strategy with several seeds is averaged over them within each question first). Differences are paired by
question. Pass@N of the harness's own runs in `harness/` has to be that of the tables.
"""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sprint_lmeval.metrics import unbiased_pass_at_k
from sprint_lmeval.outcomes import OutcomeMatrix

HERE = Path(__file__).parent
N = 16
SHOWN = (1, 2, 4, 8, 16)
RESAMPLINGS = 4_000


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
        self._compare_with_harness()

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

    def _compare_with_harness(self) -> None:
        """Stop where a run of the harness gives another Pass@N than the matrix; its file says whose it is."""
        for file in sorted(self.folder.glob("harness/*.json")):
            run = json.loads(file.read_text(encoding="utf-8"))
            ((task, metrics),) = run["results"].items()
            assert run["n-samples"][task]["effective"] == len(self.test.questions), f"{file}: other questions"
            name, _, number = file.stem.partition("+")
            found = self.each[name][int(number or 0)]
            for k in range(1, int(np.isfinite(found).sum()) + 1):
                written = metrics.get(f"unbiased_pass@{k},first_n", metrics[f"pass@{k},first_n"])
                assert abs(written - found[k - 1]) < 1e-9, f"{file}: Pass@{k} is {written}, here {found[k - 1]}"

    # ---- what it says ----

    def curves(self) -> str:
        """Return CSV: strategy, N, Pass@N in percent with its interval, tokens spent."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("strategy", "n", "pass", "low", "high", "tokens"))
        for name, passed in self.passed.items():
            low, high = interval(passed)
            for k in range(int(np.isfinite(passed[0]).sum())):
                figures = [f"{100 * x:.2f}" for x in (passed[:, k].mean(), low[k], high[k])]
                writer.writerow((name, k + 1, *figures, f"{self.tokens[name][k]:.1f}"))
        return out.getvalue()

    def text(self) -> str:
        return "\n\n".join([self._pass_table(), self._differences(), self._heads()])

    def _pass_table(self) -> str:
        head = ["strategy", "seeds", *(f"Pass@{k}" for k in SHOWN), "tokens for 16", "Pass@16 of each seed"]
        lines = [head, ["---"] * len(head)]
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
        return markdown(lines)

    def _differences(self) -> str:
        head = ["difference in points", *(f"N = {k}" for k in SHOWN)]
        lines = [head, ["---"] * len(head)]
        for first, second in self.described["compare"]:
            if first in self.passed and second in self.passed:
                gain = self.passed[first] - self.passed[second]
                low, high = interval(gain)
                lines.append([f"{first} − {second}", *(difference(gain, low, high, k - 1) for k in SHOWN)])
        return markdown(lines)

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
    """Return the bootstrap interval of the mean over questions, for values [questions, columns]."""
    draw = np.random.default_rng(0)
    count = len(values)
    means = np.empty((RESAMPLINGS, values.shape[1]))
    for start in range(0, RESAMPLINGS, 500):
        weights = draw.multinomial(count, np.full(count, 1 / count), size=500)
        means[start : start + 500] = weights @ values / count
    return np.percentile(means, 2.5, axis=0), np.percentile(means, 97.5, axis=0)


def difference(gain: np.ndarray, low: np.ndarray, high: np.ndarray, k: int) -> str:
    if np.isnan(gain[:, k]).any():
        return "-"
    sure = "**" if low[k] > 0 or high[k] < 0 else ""
    return f"{sure}{100 * gain[:, k].mean():+.1f}{sure} ({100 * low[k]:+.1f} to {100 * high[k]:+.1f})"


def markdown(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw(study: Study) -> None:
    """Write the curves as SVG, told apart by mark and by line as well as by colour."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "sprint"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.8))
    for number, name in enumerate(n for n in study.described["drawn"] if n in study.passed):
        style = {"linestyle": ("-", "--", "-.", ":")[number % 4], "marker": "osv^Dx*+P"[number % 9], "markersize": 4}
        axes.plot(range(1, N + 1), 100 * study.passed[name].mean(0), label=name, **style)
    axes.set(xlabel="N", ylabel="Pass@N, %", xticks=range(1, N + 1), title=study.described["title"])
    axes.grid(alpha=0.3)
    axes.legend(ncols=2, fontsize=8)
    figure.tight_layout()
    figure.savefig(study.folder / "curves.svg", metadata={"Date": None})
    pyplot.close(figure)


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
