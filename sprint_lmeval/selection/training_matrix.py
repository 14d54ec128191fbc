"""Outcome matrices -> the one that a method learns from: joined, narrowed to the candidates asked for, and checked."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.joined import join, refuse_other
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.selection.folder import check_model

log = logging.getLogger(f"lm_eval.{__name__}")
FEW = 100  # a rate has a standard error of up to 5 points with so many, and candidates differ by less

SPLITS = ("train", "validation")


def training_matrix(
    paths: Sequence[Path],
    candidates: str,
    exclude: Sequence[Path] = (),
    draw: Callable[[OutcomeMatrix], OutcomeMatrix] = lambda matrix: matrix,
) -> OutcomeMatrix:
    """Load matrices, join them by question, keep the candidates asked for, and refuse what cannot be learned from.

    `draw` keeps the questions to learn from.
    """
    loaded = [OutcomeMatrix.load(path) for path in paths]
    for path, matrix in zip(paths, loaded, strict=True):
        refuse_test(path, matrix)
        refuse_unreadable_facts(path, matrix.facts)
        refuse_other(paths[0], loaded[0], path, matrix)
    joined = join(loaded)
    matrix = draw(joined.select(candidates=_chosen(candidates, joined))).require_complete()
    _refuse_heads_outside(matrix)
    _refuse_unlearnable(matrix)
    if len(matrix.questions) < FEW:
        log.warning(
            "%d training questions: what is learned from fewer than %d is mostly chance, sweep more",
            len(matrix.questions),
            FEW,
        )
    for path in exclude:
        refuse_overlap(matrix, path, OutcomeMatrix.load(path))
    return matrix


def refuse_test(path: Path, matrix: OutcomeMatrix) -> None:
    """Raise InputError where questions are not of a split to learn from."""
    unknown = sorted({q.split for q in matrix.questions} - set(SPLITS))
    if unknown:
        raise InputError(
            f"{path} has questions of the split {unknown[0]!r}, allowed for training are {', '.join(SPLITS)}: take "
            "the training task, such as tiny_train_passn"
        )


def refuse_unreadable_facts(path: Path, facts: dict) -> None:
    """Raise InputError for facts that a selector's configuration takes over and its reader does not allow."""
    model = {**facts, "name": facts.get("model")}
    try:
        check_model(model, "facts")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _chosen(candidates: str, matrix: OutcomeMatrix) -> list[Candidate]:
    if candidates == "all":
        return list(matrix.candidates)
    if candidates == "heads":
        return [candidate for candidate in matrix.candidates if candidate != BASE]
    try:
        return parse_candidates(candidates)
    except ValueError as error:
        raise InputError(f"--candidates: {error}; or write all, or heads (without base)") from None


def _refuse_heads_outside(matrix: OutcomeMatrix) -> None:
    heads = matrix.facts.get("heads_per_layer")
    if not isinstance(heads, list):
        return
    for candidate in matrix.candidates:
        if any(layer >= len(heads) or head >= heads[layer] for layer, head in candidate.heads):
            raise InputError(
                f"the matrix has candidate {candidate}, and its model {matrix.facts.get('model')} has no such head: it "
                "is not of one model, make it anew"
            )


def _refuse_unlearnable(matrix: OutcomeMatrix) -> None:
    if len(matrix.questions) < 2:
        raise InputError("the matrix has a single question, and to learn and to validate takes two: sweep more")
    if len(matrix.candidates) < 2:
        raise InputError("the matrix has a single candidate, and there is nothing to choose: sweep more heads")
    share = matrix.correct.mean()
    if share in (0.0, 1.0):
        every = "correct" if share else "not correct"
        raise InputError(f"every answer in the matrix is {every}, so there is nothing to learn: sweep other questions")


def refuse_overlap(matrix: OutcomeMatrix, path: Path, test: OutcomeMatrix) -> None:
    """Raise InputError where training questions are among those of a matrix that was to be excluded."""
    shared = {q.hash for q in matrix.questions} & {q.hash for q in test.questions}
    if shared:
        example = next(q.id for q in matrix.questions if q.hash in shared)
        raise InputError(
            f"{len(shared)} training questions (the first: {example}) are also in {path}, which was to be excluded: "
            "train on others, or the figures would be of questions seen in training"
        )


def matrix_digest(matrix: OutcomeMatrix) -> str:
    """sha256 over what is learned from: the questions' hashes, the candidates, and which answers are correct."""
    digest = hashlib.sha256("\n".join([*(q.hash for q in matrix.questions), *map(str, matrix.candidates)]).encode())
    digest.update(np.packbits(matrix.correct).tobytes())
    return digest.hexdigest()


def training_size(matrix: OutcomeMatrix) -> str:
    """Return, for messages, how much there is to learn from."""
    unsolved = int((~matrix.correct.any(axis=1)).sum())
    return f"{len(matrix.questions)} questions x {len(matrix.candidates)} candidates ({unsolved} questions unsolved)"
