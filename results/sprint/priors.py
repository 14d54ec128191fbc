"""Does a ranking of heads made without outcomes predict the outcomes? docs/methods.md has what this prints.

    python results/sprint/priors.py STUDY        # a folder here, with matrices and heads-*.txt of `sprint-lmeval heads`

Two tables. Spearman's rank correlation, over the heads of the matrix, of the score of a head with what happens to the
test questions when it is pruned (p in brackets). Then Pass@N of `cover` when a half of the heads was swept, as a share
of that of all heads: set cover learns on the training questions from base and the half.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.runs.safe_text import table_text
from sprint_lmeval.selection.methods.set_cover import LONGEST, greedy_cover, hits

SHOWN = (2, 4, 8, 16)
DRAWS = 500  # of random halves


def main(study: str) -> None:
    folder = Path(__file__).parent / study
    train = OutcomeMatrix.load(folder / "train.parquet")
    test = OutcomeMatrix.load(folder / "test.parquet").select(candidates=train.candidates)
    files = sorted(folder.glob("heads-*.txt"))
    rankings = {file.stem.removeprefix("heads-"): scores_of(file, train.candidates) for file in files}
    print(correlations(test, rankings), halves(train, test, rankings), sep="\n\n")


def scores_of(file: Path, candidates: tuple[Candidate, ...]) -> np.ndarray:
    """Return the score of each candidate, nan for base."""
    lines = (line.partition("#") for line in file.read_text().splitlines() if not line.startswith("#"))
    scores = {Candidate.parse(name): float(score) for name, _, score in lines}
    return np.array([scores.get(candidate, np.nan) for candidate in candidates])


def correlations(test: OutcomeMatrix, rankings: dict[str, np.ndarray]) -> str:
    base = test.correct[:, [test.candidates.index(Candidate())]]
    outcomes = {
        "solved": test.correct.mean(0),
        "lost: base solves it, the pruned model does not": (base & ~test.correct).mean(0),
        "won: base does not, the pruned model does": (~base & test.correct).mean(0),
        "lost or won": (base ^ test.correct).mean(0),
    }
    lines = [["of the test questions", *rankings]]
    for name, values in outcomes.items():
        lines.append([name, *(correlation(scores, values) for scores in rankings.values())])
    return table_text(lines)


def correlation(scores: np.ndarray, values: np.ndarray) -> str:
    known = np.isfinite(scores)
    found = spearmanr(scores[known], values[known])
    return f"{found.statistic:+.2f} ({'p < 0.001' if found.pvalue < 0.001 else f'p {found.pvalue:.3f}'})"


def halves(train: OutcomeMatrix, test: OutcomeMatrix, rankings: dict[str, np.ndarray]) -> str:
    heads = np.array([i for i, candidate in enumerate(train.candidates) if candidate != Candidate()])
    base, half = train.candidates.index(Candidate()), len(heads) // 2
    everything = passed(train, test, [base, *heads])

    def share(chosen: np.ndarray) -> np.ndarray:
        return 100 * passed(train, test, [base, *chosen]) / everything

    lines = [["heads swept", *(f"N = {n}" for n in SHOWN)]]
    lines.append([f"all {len(heads)}: Pass@N", *(f"{100 * x:.1f}" for x in everything)])
    for name, scores in rankings.items():
        order = heads[np.argsort(-scores[heads], kind="stable")]
        lines.append([f"first half by {name}", *(f"{x:.1f} %" for x in share(order[:half]))])
        lines.append([f"last half by {name}", *(f"{x:.1f} %" for x in share(order[-half:]))])
    draw = np.random.default_rng(0)
    random = np.array([share(draw.permutation(heads)[:half]) for _ in range(DRAWS)])
    low, high = np.percentile(random, [2.5, 97.5], axis=0)
    shown = zip(random.mean(0), low, high, strict=True)
    lines.append(["a random half (95 % of draws)", *(f"{m:.1f} % ({a:.1f} to {b:.1f})" for m, a, b in shown)])
    return table_text(lines)


def passed(train: OutcomeMatrix, test: OutcomeMatrix, columns: list[int]) -> np.ndarray:
    """Return Pass@N on the test questions of set cover among some candidates."""
    chosen = np.array(columns)
    order, _ = greedy_cover(train.correct[:, chosen], min(LONGEST, len(chosen)))
    solved = hits(np.tile(chosen[order[0]], (len(test.questions), 1)), test.correct).mean(0)
    return solved[np.array(SHOWN) - 1]


if __name__ == "__main__":
    main(*sys.argv[1:])
