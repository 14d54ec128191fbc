"""A small outcome matrix, written as one string of letters for each question."""

import numpy as np

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.outcomes.matrix import OutcomeMatrix, Question, question_hash


def matrix(solved, candidates=("base", "L0H0", "L0H1", "L2H0", "L2H1"), subjects=("sums", "sums", "算术", "算术")):
    """solved: one string of c, i and - (not run) for each question."""
    texts = [f"question {number}" for number in range(len(solved))]
    names = zip(texts, subjects, strict=True)
    questions = tuple(Question(text, question_hash(text), text, subject, 0, "test") for text, subject in names)
    verdicts = np.array([["ci".find(letter) for letter in letters] for letters in solved], np.int8)
    unknown = np.full(verdicts.shape, -1)
    parsed = tuple(Candidate.parse(name) for name in candidates)
    facts = {"model": "m", "task": "t_passn"}
    return OutcomeMatrix(questions, parsed, verdicts, unknown.astype(np.int8), unknown.astype(np.int32), facts)


SOLVED = ["cciic", "iiicc", "cicii", "iccii"]
