"""Who solved what: the best single head of a sweep, and what all of its candidates reach together."""

import sys

from sprint_lmeval import OutcomeMatrix

matrix = OutcomeMatrix.load(sys.argv[1] if len(sys.argv) > 1 else "results/sprint/tiny/train.parquet")
solved = matrix.correct.mean(axis=0)
everyone = matrix.correct.any(axis=1).mean()
print(f"{matrix.candidates[solved.argmax()]} solves {solved.max():.1%}, all together {everyone:.1%}")
# base solves 72.3%, all together 86.3%
