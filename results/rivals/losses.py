"""Variants of SPRINT's loss (equation 1) against set cover, out of fold on the embedded model's training problems.

    python results/rivals/losses.py    # -> losses.json

losses.json has, for each variant and problem, which candidate of the order is the first correct one (from 1; 0: none of
16 is). Every problem is ordered by a selector that did not see it.
"""

import json
from pathlib import Path

import numpy as np

from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.selection.methods.method import Examples, read_options, train
from sprint_lmeval.selection.methods.registry import METHODS

HERE = Path(__file__).parent
VARIANTS = {
    "set cover": ("cover", {}),
    "equation 1, the defaults": ("sprint", {}),
    "the first term alone (`lambda=0`)": ("sprint", {"lambda": "0"}),
    "a hundredfold second term (`lambda=0.01`)": ("sprint", {"lambda": "0.01"}),
    "head vectors on a sphere (`bound=sphere`)": ("sprint", {"bound": "sphere"}),
    "head vectors without a bound (`bound=none`)": ("sprint", {"bound": "none"}),
    "vectors of 16 dimensions, not 64 (`p=16`)": ("sprint", {"p": "16"}),
}


def main() -> None:
    matrix = OutcomeMatrix.load(HERE.parent / "sprint" / "tiny" / "train.parquet").with_texts()
    texts = tuple(question.text for question in matrix.questions)
    examples = Examples(texts, Encoder.find().encode(texts), matrix.correct)
    found = {}
    for name, (method, options) in VARIANTS.items():
        trained = train(METHODS[method], examples, read_options(METHODS[method], options), seed=0, folds=5, objective=4)
        passed = trained.passed  # [questions, N]
        found[name] = np.where(passed.any(1), passed.argmax(1) + 1, 0).tolist()
        print(f"{name}: {trained.validation}", flush=True)
        (HERE / "losses.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
