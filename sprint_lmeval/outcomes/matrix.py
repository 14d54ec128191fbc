"""Outcome matrix: the verdict of every candidate's response to every question (the paper's Z, section 3).

In: a sweep, the samples of a harness run, or a file (parquet.py). Out: verdicts, lengths, and the facts of the run that
training needs and that say where the verdicts are from.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from sprint_lmeval.answers.verdicts import NOT_RUN, UNKNOWN, VERDICTS, Verdict
from sprint_lmeval.candidates import MAX_NUMBER, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.from_samples import fields_of_samples
from sprint_lmeval.outcomes.parquet import fields_digest, load_fields, save_fields
from sprint_lmeval.outcomes.question import Question, question_hash


@dataclass(frozen=True, eq=False)
class OutcomeMatrix:
    """Verdicts of candidates on questions: `OutcomeMatrix.load("train.parquet").correct.mean(axis=0)`.

    Attributes:
        questions: distinct by hash and by id.
        candidates: distinct; may contain `base`.
        verdicts: int8 [questions, candidates], index into `VERDICTS`, -1 where the candidate was not run.
        truncated: int8 [questions, candidates], 1 or 0, -1 unknown.
        new_tokens: int32 [questions, candidates], -1 unknown.
        facts: JSON: model, revision, fingerprint, architecture, heads_per_layer, task, task_version, split, settings,
            grader, chat_template, num_fewshot, dtype, versions and others; what is not known is absent or null.

    Raises:
        InputError: on arrays of another shape, values out of range, and duplicates.
    """

    questions: tuple[Question, ...]
    candidates: tuple[Candidate, ...]
    verdicts: np.ndarray
    truncated: np.ndarray
    new_tokens: np.ndarray
    facts: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for question in self.questions:
            question.check()
        _check_facts(self.facts)
        _check_distinct([q.hash for q in self.questions], "question")
        _check_distinct([q.id for q in self.questions], "question id")
        _check_distinct([str(c) for c in self.candidates], "candidate")
        shape = (len(self.questions), len(self.candidates))
        if 0 in shape:
            raise InputError(f"the matrix has {shape[0]} questions and {shape[1]} candidates: give one at least")
        limits = {"verdicts": len(VERDICTS) - 1, "truncated": 1, "new_tokens": 2**31 - 1}
        for name, high in limits.items():
            _check_array(name, getattr(self, name), shape, high)
        if (self.truncated[~self.ran] != UNKNOWN).any() or (self.new_tokens[~self.ran] != UNKNOWN).any():
            raise InputError("the outcome matrix has lengths of answers that were not run: make it anew")

    @cached_property
    def correct(self) -> np.ndarray:
        """bool [questions, candidates]; False too where the candidate was not run (see `complete`)."""
        return self.verdicts == VERDICTS.index(Verdict.correct)

    @cached_property
    def ran(self) -> np.ndarray:
        """bool [questions, candidates]: whether the candidate answered the question at all."""
        return self.verdicts != NOT_RUN

    @property
    def complete(self) -> bool:
        """Whether every candidate was run on every question, as training needs it."""
        return bool(self.ran.all())

    @property
    def split(self) -> str:
        """The split of the questions; several are joined by `+`."""
        return "+".join(sorted({q.split for q in self.questions}))

    def require_complete(self) -> OutcomeMatrix:
        """Return the matrix itself; InputError where a candidate was not run on some question."""
        if not self.complete:
            missing = np.argwhere(~self.ran)
            question, candidate = missing[0]
            raise InputError(
                f"{len(missing)} of {self.verdicts.size} cells of the matrix were not run (the first: candidate "
                f"{self.candidates[candidate]} on question {self.questions[question].id}): sweep the same candidates "
                "over all questions (sprint-lmeval sweep)"
            )
        return self

    def select(
        self, questions: Sequence[int] | np.ndarray | None = None, candidates: Sequence[Candidate | str] | None = None
    ) -> OutcomeMatrix:
        """Return the matrix of some questions and some candidates, in the given order.

        Args:
            questions: indices, or bool [questions]; None: all.
            candidates: as values or in their notation (`["base", "L5H0"]`); None: all.

        Raises:
            InputError: a candidate is not in the matrix, or is written in a way that cannot be read.
        """
        rows = np.arange(len(self.questions)) if questions is None else np.asarray(questions)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
        columns = np.arange(len(self.candidates)) if candidates is None else self._columns(candidates)
        cells = np.ix_(rows, columns)
        return replace(
            self,
            questions=tuple(self.questions[row] for row in rows),
            candidates=tuple(self.candidates[column] for column in columns),
            verdicts=self.verdicts[cells],
            truncated=self.truncated[cells],
            new_tokens=self.new_tokens[cells],
        )

    def _columns(self, candidates: Sequence[Candidate | str]) -> np.ndarray:
        try:
            wanted = [Candidate.of(candidate) for candidate in candidates]
        except ValueError as error:
            raise InputError(str(error)) from None
        index = {candidate: column for column, candidate in enumerate(self.candidates)}
        missing = [candidate for candidate in wanted if candidate not in index]
        if missing:
            raise InputError(f"candidate {missing[0]} is not in the matrix, which has {_shortened(self.candidates)}")
        return np.array([index[candidate] for candidate in wanted], int)

    def __repr__(self) -> str:
        size = f"{len(self.questions)} questions x {len(self.candidates)} candidates"
        run = "" if self.complete else f", {self.ran.mean():.1%} of cells run"
        known = "".join(f", {name} {self.facts[name]}" for name in ("model", "task") if self.facts.get(name))
        return f"OutcomeMatrix({size}{run}, {self.correct[self.ran].mean():.1%} of cells correct{known})"

    # ---- texts of problems ----

    def without_texts(self) -> OutcomeMatrix:
        """Return the matrix without the problems' texts, which many licences keep from being passed on; hashes stay."""
        return replace(self, questions=tuple(replace(q, text="") for q in self.questions))

    def with_texts(self, texts: Iterable[str] | None = None) -> OutcomeMatrix:
        """Return the matrix with its texts filled in by hash.

        Args:
            texts: any texts, those of the questions among them; None: those of the documents of the matrix' task.

        Raises:
            InputError: a question has no text there.
        """
        if all(q.text for q in self.questions):
            return self
        if texts is None:
            from sprint_lmeval.passn.documents import task_documents

            texts = [document["question"] for document in task_documents(str(self.facts.get("task")))]
        known: Mapping[str, str] = {question_hash(text): text for text in texts}
        missing = [q.id for q in self.questions if not q.text and q.hash not in known]
        if missing:
            raise InputError(
                f"{len(missing)} questions of the matrix (the first: {missing[0]}) have no text, and none of the "
                f"documents has their hash: give the data that the matrix was made from ({self.facts.get('task')})"
            )
        return replace(self, questions=tuple(replace(q, text=q.text or known[q.hash]) for q in self.questions))

    # ---- files ----

    @cached_property
    def digest(self) -> str:
        """sha256 over everything that a file of it holds: equal matrices have equal ones, in memory and saved."""
        return fields_digest(self._fields())

    def save(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write a parquet file, whole or not at all; a link is replaced.

        Raises:
            InputError: another file is there already and `overwrite` was not given (this very matrix is no error), or
                it cannot be written.
        """
        save_fields(self._fields(), Path(path), overwrite)

    def _fields(self) -> dict:
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @classmethod
    def load(cls, path: str | os.PathLike) -> OutcomeMatrix:
        """Read what `save` wrote. InputError, naming the file, for anything else."""
        return _made(cls, load_fields(Path(path)), path)

    @classmethod
    def from_samples(cls, path: str | os.PathLike, texts: bool = True) -> OutcomeMatrix:
        """Build the matrix of a harness run of a `*_passn` task with `--log_samples`.

        Args:
            path: the run's output folder, or its samples_*.jsonl (with its results_*.json beside it, if there is one).
            texts: whether to keep the problems' texts.

        Questions may have different candidates (strategies `random` and `selector`): a cell that was not run has
        verdict -1. Samples, whose candidates are all `base`, are refused: they have no columns of their own.
        """
        matrix = _made(cls, fields_of_samples(Path(path)), path)
        return matrix if texts else matrix.without_texts()


def _made(kind: type[OutcomeMatrix], parts: dict, path: str | os.PathLike) -> OutcomeMatrix:
    try:
        return kind(**parts)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check_facts(facts: dict) -> None:
    """What others rely on has its type, and everything can be written as JSON."""
    if not isinstance(facts.get("model"), str | type(None)):
        raise InputError(f"the model in the facts of the matrix is {facts['model']!a:.80}, allowed are text and null")
    heads = facts.get("heads_per_layer")
    fits = isinstance(heads, list) and 0 < len(heads) <= MAX_NUMBER
    if heads is not None and not (fits and all(type(h) is int and 0 < h <= MAX_NUMBER for h in heads)):
        raise InputError(
            f"heads_per_layer in the facts of the matrix is {heads!a:.80}, allowed are null and a list of numbers "
            f"from 1 to {MAX_NUMBER}"
        )
    try:
        json.dumps(facts, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"the facts of the matrix cannot be written as JSON ({str(error)[:100]})") from None


def _check_distinct(values: list, what: str) -> None:
    if len(set(values)) != len(values):
        twice = Counter(values).most_common(1)[0][0]
        raise InputError(f"{what} {twice} is in the matrix twice: every one may be there once")


def _check_array(name: str, array: np.ndarray, shape: tuple[int, int], high: int) -> None:
    if array.shape != shape:
        raise InputError(f"{name} of the matrix has shape {array.shape}, its questions and candidates make {shape}")
    if array.dtype.kind != "i":
        raise InputError(f"{name} of the matrix has values of type {array.dtype}, allowed are whole numbers")
    if array.min() < -1 or array.max() > high:
        raise InputError(f"{name} of the matrix go from {array.min()} to {array.max()}, allowed are -1 to {high}")


def _shortened(candidates: Sequence[Candidate]) -> str:
    names = [str(c) for c in candidates]
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")
