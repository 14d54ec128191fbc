"""Candidates that prune two to four heads, beside those that prune one: does a larger choice cover more?

    python results/rivals/multi_head.py masks     # pairs, triples and fours of the heads that cover most -> masks.txt
    python results/rivals/multi_head.py choose    # multi_head/train.parquet -> set covers, chosen.txt

README.md has the harness runs between. Set cover sees training problems only.
"""

import sys
from itertools import combinations
from pathlib import Path

import numpy as np

from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.selection.methods.set_cover import greedy_cover

HERE = Path(__file__).parent / "multi_head"
TINY = HERE.parents[1] / "sprint" / "tiny"
SIZES = ((2, 8), (3, 5), (4, 5))  # heads of a mask, of the first so many heads of the cover


def masks() -> None:
    heads = [c.heads[0] for c in parse_candidates(HERE.parent / "tiny" / "base+cover.txt") if c != BASE]
    made = [Candidate(mask) for size, of in SIZES for mask in combinations(heads[:of], size)]
    (HERE / "masks.txt").write_text("\n".join(map(str, made)) + "\n")


def choose() -> None:
    """Write the masks of several heads that a cover of 16 candidates takes."""
    (HERE / "chosen.txt").write_text("\n".join(str(c) for c in covers()[1] if len(c.heads) > 1) + "\n")


def covers() -> tuple[list[Candidate], list[Candidate]]:
    """Return 16 candidates that cover most of the same training problems: of one head each, and of any."""
    several = OutcomeMatrix.load(HERE / "train.parquet")
    one = alike(OutcomeMatrix.load(TINY / "train.parquet"), several)
    both = np.hstack([one.correct, several.correct])
    candidates = [*one.candidates, *several.candidates]
    return [[candidates[i] for i in greedy_cover(solved, 16)[0][0]] for solved in (one.correct, both)]


def alike(matrix: OutcomeMatrix, other: OutcomeMatrix) -> OutcomeMatrix:
    """Return the rows of a matrix that are the other one's questions, in its order."""
    place = {question.hash: number for number, question in enumerate(matrix.questions)}
    return matrix.select([place[question.hash] for question in other.questions])


def passed() -> dict[str, np.ndarray]:
    """Return Pass@1..16 on the test problems, [questions, 16], of both covers, and the questions' hashes."""
    several = OutcomeMatrix.load(HERE / "test.parquet")
    one = alike(OutcomeMatrix.load(TINY / "test.parquet"), several)
    candidates, correct = [*one.candidates, *several.candidates], np.hstack([one.correct, several.correct])
    orders = [[candidates.index(candidate) for candidate in cover] for cover in covers()]
    return [np.logical_or.accumulate(correct[:, order], axis=1).astype(float) for order in orders]


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    {"masks": masks, "choose": choose}[sys.argv[1]]()
