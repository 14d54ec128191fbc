"""Matrices of one model and the same settings, of different questions -> one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import OutcomeMatrix

ALIKE = (
    "fingerprint",
    "architecture",
    "heads_per_layer",
    "altered",
    "settings",
    "chat_template",
    "prompt_form",
    "num_fewshot",
    "dtype",
    "grader",
)
DRAWN = ("seed", "draw", "layers")  # of a sweep; of the joined matrix where all matrices agree


def refuse_other(first_path: Path, first: OutcomeMatrix, path: Path, matrix: OutcomeMatrix) -> None:
    """Raise InputError where model, settings or candidates of two matrices differ."""
    for name in ALIKE:
        one, other = _fact(first, name), _fact(matrix, name)
        if one != other:
            one, other = _differing(one, other)
            raise InputError(
                f"{path} has {name} {_brief(other)}, and {first_path} has {_brief(one)}: both must be of one model "
                "with the same settings"
            )
    if set(matrix.candidates) != set(first.candidates):
        raise InputError(f"{path} has other candidates than {first_path}: both must have the same")


def join(matrices: Sequence[OutcomeMatrix]) -> OutcomeMatrix:
    """Return one matrix of all questions, with the candidates of the first. InputError where a question is in two."""
    if len(matrices) == 1:
        return matrices[0]
    alike = [matrix.select(candidates=matrices[0].candidates) for matrix in matrices]
    arrays = {
        name: np.concatenate([getattr(matrix, name) for matrix in alike])
        for name in ("verdicts", "truncated", "new_tokens")
    }
    questions = tuple(question for matrix in alike for question in matrix.questions)
    return OutcomeMatrix(questions, alike[0].candidates, facts=_joined_facts(matrices, len(questions)), **arrays)


def _joined_facts(matrices: Sequence[OutcomeMatrix], questions: int) -> dict:
    facts = dict(matrices[0].facts)
    for name in DRAWN:
        if any(matrix.facts.get(name) != facts.get(name) for matrix in matrices):
            facts.pop(name, None)
    tasks = "+".join(sorted({str(matrix.facts.get("task")) for matrix in matrices}))
    return facts | {"task": tasks} | ({"questions": questions} if "questions" in facts else {})


def _fact(matrix: OutcomeMatrix, name: str) -> object:
    value = matrix.facts.get(name)
    return value or None if name == "altered" else value  # older matrices do not say that nothing was altered


def _differing(one: object, other: object) -> tuple[object, object]:
    """Return what differs of two objects; other values as they are."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one, other
    names = [name for name in one | other if one.get(name) != other.get(name)]
    return {name: one.get(name) for name in names}, {name: other.get(name) for name in names}


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
