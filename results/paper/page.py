"""The three claims of the paper, from the runs and matrices of one experiment (paper.py) -> README.md in its folder.

    python results/paper/page.py FOLDER

1. A pruned head beats the whole model. 2. A learned choice beats cover, random and top. 3. It beats samples, at equal N
and at equal tokens. Differences are paired by question; intervals are 95 % (bootstrap, or McNemar's test where that
says otherwise), not corrected for their number: some five in a hundred exclude zero by chance.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from sprint_lmeval.candidates import BASE
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.report.chance import chance_markdown
from sprint_lmeval.report.heads import head_table, table_name
from sprint_lmeval.runs.rates import pass_of_questions, tokens_spent
from sprint_lmeval.runs.run import Run, read_runs
from sprint_lmeval.runs.safe_text import number_of, percent, plain, points, table_text
from sprint_lmeval.runs.statistics import Difference, paired_test

SHOWN = (1, 2, 4, 8, 16)
LEARNED, BLIND = ("sprint", "coverage"), ("cover", "random", "top")


def write_page(folder: Path) -> None:
    """Write README.md of an experiment's folder."""
    runs = {run.path.relative_to(folder / "runs").parts[0]: run for run in read_runs([folder / "runs"]).runs}
    train, test = (OutcomeMatrix.load(folder / f"{name}.parquet") for name in ("train", "test"))
    rivals = [name for name in runs if name not in (*LEARNED, *BLIND, "base")]
    counts = [number_of(len(matrix.questions), "question", "questions") for matrix in (train, test)]
    parts = [
        f"# {plain(table_name(test))}",
        f"{counts[0]} for training, {counts[1]} for test, {len(test.candidates)} candidates. Written by "
        "results/paper/page.py, which says what intervals are; bold: the interval excludes zero.",
        pass_table(runs),
        "## Does a pruned head beat the whole model?",
        best_head(train, test),
        chance_markdown(head_table(test, "test").best),
        "## Does a learned choice beat cover, random and top?",
        differences(runs, LEARNED, BLIND),
        "## Does a choice of heads beat samples at equal N?",
        differences(runs, (*LEARNED, "cover"), rivals),
        "## And at equal tokens?",
        "The rival has as many answers as come nearest to the tokens of N answers.",
        differences(runs, (*LEARNED, "cover"), rivals, equal_tokens=True),
    ]
    (folder / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def pass_table(runs: dict[str, Run]) -> str:
    lines = [["strategy", *(f"Pass@{k}" for k in SHOWN), f"tokens of {SHOWN[-1]}"]]
    for name, run in runs.items():
        tokens = tokens_spent(run, SHOWN[-1])
        lines.append([name, *(percent(pass_of_questions(run, k).mean()) for k in SHOWN), f"{tokens[-1]:.0f}"])
    return table_text(lines)


def best_head(train: OutcomeMatrix, test: OutcomeMatrix) -> str:
    """Return what the best single head of the training questions does on the test questions."""
    heads = [candidate for candidate in test.candidates if len(candidate.heads) == 1]
    best = max(heads, key=lambda head: column(train, head).mean())
    pruned, whole = column(test, best), column(test, BASE)
    above = sum(column(test, head).mean() > whole.mean() for head in heads)
    found, _ = paired_test(pruned, whole)
    return (
        f"{sentence('The best single head of the training questions', 'the whole model', {1: found})} {best} solves "
        f"{percent(pruned.mean())} % of the test questions, the whole model {percent(whole.mean())} %: "
        f"{cell(found)} points. {above} of {len(heads)} heads are above the whole model there."
    )


def column(matrix: OutcomeMatrix, candidate) -> np.ndarray:
    return matrix.correct[:, matrix.candidates.index(candidate)]


def differences(runs: dict[str, Run], ours: tuple[str, ...], rivals, equal_tokens: bool = False) -> str:
    """Return a sentence and a line of the table for each pair."""
    lines, sentences = [["difference in points", *(f"N = {k}" for k in SHOWN)]], []
    for name in ours:
        for rival in rivals:
            found = compared(runs[name], runs[rival], equal_tokens)
            shown = [cell(one) + (f" [{k}]" if equal_tokens else "") for one, k in found.values()]
            lines.append([f"{name} − {rival}", *shown])
            sentences.append(f"- {sentence(name, rival, {n: one for n, (one, _) in found.items()})}")
    return "\n".join(sentences) + f"\n\n{table_text(lines)}"


def compared(run: Run, rival: Run, equal_tokens: bool) -> dict[int, tuple[Difference, int]]:
    """Return N -> difference of Pass@N, and of how many answers of the rival."""
    found = {}
    spent, of_rival = tokens_spent(run, SHOWN[-1]), tokens_spent(rival, SHOWN[-1])
    for n in SHOWN:
        k = int(np.argmin(np.abs(of_rival - spent[n - 1]))) + 1 if equal_tokens else n
        found[n] = paired_test(pass_of_questions(run, n), pass_of_questions(rival, k))[0], k
    return found


def cell(found: Difference) -> str:
    sure = "**" if found.low > 0 or found.high < 0 else ""
    return f"{sure}{points(found.difference)}{sure} ({points(found.low)} to {points(found.high)})"


def sentence(name: str, rival: str, found: dict[int, Difference]) -> str:
    """Return who is ahead at which N, as far as the intervals say."""
    ahead = [str(n) for n, one in found.items() if one.low > 0]
    behind = [str(n) for n, one in found.items() if one.high < 0]
    said = [f"{word} {rival}{at(ns, found)}" for word, ns in (("beats", ahead), ("is behind", behind)) if ns]
    left = " elsewhere" if said else ""
    if len(ahead) + len(behind) < len(found):
        said.append(f"cannot be told from {'it' if said else rival}{left}")
    return f"{name} {' and '.join(said)}."


def at(ns: list[str], found: dict) -> str:
    return "" if len(found) == 1 else f" at N = {', '.join(ns)}"


if __name__ == "__main__":
    write_page(Path(sys.argv[1]))
