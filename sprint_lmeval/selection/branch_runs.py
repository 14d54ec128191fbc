"""Runs of `strategy=branch` on training questions, one for each priority: what `train --method branch` chooses from.

In: what lm_eval wrote with --log_samples. Out: `BranchRuns`, which stand where other methods have an outcome matrix,
and the text that says what each priority solves.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.names import PRIORITIES
from sprint_lmeval.outcomes.from_samples import question_of_sample
from sprint_lmeval.outcomes.joined import refuse_other
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.outcomes.question import Question
from sprint_lmeval.runs.facts import run_facts
from sprint_lmeval.runs.rates import tokens_per_answer
from sprint_lmeval.runs.result_files import read_results
from sprint_lmeval.runs.run import Run, read_runs, require_samples
from sprint_lmeval.runs.safe_text import aligned, percent, points
from sprint_lmeval.runs.statistics import paired_bootstrap, paired_test
from sprint_lmeval.selection.methods.method import fold_indices
from sprint_lmeval.selection.training_matrix import refuse_overlap, refuse_test, refuse_unreadable_facts

log = logging.getLogger(f"lm_eval.{__name__}")
SHOWN = (1, 2, 4, 8, 16)
WANTED = "give runs of strategy=branch on training questions, one for each priority"


@dataclass(frozen=True, eq=False)
class BranchRuns:
    """The responses of one sub-model that branches, by one priority or by several.

    Attributes:
        questions, facts: as in `OutcomeMatrix`.
        candidates: the one sub-model.
        priorities: distinct, in the order of `PRIORITIES`.
        levels: how often answers branched.
        correct: bool [questions, priorities * n]: the n responses of each priority in turn.
        tokens: mean of new tokens of a response, for each priority; None where it is not known.
    """

    questions: tuple[Question, ...]
    candidates: tuple[Candidate, ...]
    priorities: tuple[str, ...]
    levels: str
    correct: np.ndarray
    tokens: tuple[float | None, ...]
    facts: dict

    @property
    def split(self) -> str:
        return "+".join(sorted({question.split for question in self.questions}))

    @property
    def n(self) -> int:
        return self.correct.shape[1] // len(self.priorities)

    @property
    def options(self) -> dict[str, str]:
        """What method `branch` may choose among."""
        return {"priority": ":".join(self.priorities), "levels": self.levels}

    @property
    def passed(self) -> np.ndarray:
        """bool [priorities, questions, n]: whether any of the first 1 ... n responses is right."""
        parts = np.split(self.correct, len(self.priorities), axis=1)
        return np.stack([np.logical_or.accumulate(part, axis=1) for part in parts])


def branch_runs(paths: Sequence[Path], exclude: Sequence[Path] = ()) -> BranchRuns:
    """Return what the runs below the paths answered.

    Raises:
        InputError: a run is no run of strategy=branch with samples or is of test questions, the runs differ in model,
            questions, N or anything but the priority, or a priority is there twice or alone.
    """
    found, notes = read_runs(paths)
    for note in notes:
        log.warning("%s", note)
    read = sorted(map(_read, found), key=lambda one: PRIORITIES.index(one[1].priorities[0]))
    (first_path, first), *others = read
    for path, run in others:
        refuse_other(first_path, first, path, run)
        _refuse_unequal(first_path, first, path, run)
    priorities = tuple(run.priorities[0] for _, run in read)
    if len(set(priorities)) != len(priorities) or not others:
        raise InputError(f"priority {', '.join(priorities)} given, needed are two or more, each once: {WANTED}")
    if len(first.questions) < 2:
        raise InputError(f"{first_path} has a single question, and to choose and to validate takes two: {WANTED}")
    for path in exclude:
        refuse_overlap(first, path, OutcomeMatrix.load(path))
    tokens = tuple(run.tokens[0] for _, run in read)
    return replace(first, priorities=priorities, correct=np.hstack([run.correct for _, run in read]), tokens=tokens)


def _read(run: Run) -> tuple[Path, BranchRuns]:
    """Return a run's file and its part."""
    if run.strategy != "branch":
        raise InputError(f"{run.path} is a run of strategy={run.strategy}: {WANTED}")
    require_samples(run)
    results = read_results(run.path, must_be=True)
    sprint = results["config"]["sprint"]
    if sprint.get("priority") not in PRIORITIES:
        raise InputError(f"{run.path} has no priority that is one of {', '.join(PRIORITIES)}: {WANTED}")
    where = f"{run.samples_path}, question "
    rows = ((f"{where}{q.id}", run.samples.row(number)) for number, q in enumerate(run.questions))
    candidates = {name for row in run.candidates or [] for name in row}
    if len(candidates) != 1:
        raise InputError(f"{run.samples_path} has answers of {len(candidates)} candidates, branches are of one")
    part = BranchRuns(
        tuple(question_of_sample(row, at) for at, row in rows),
        (Candidate.parse(candidates.pop()),),
        (sprint["priority"],),
        str(sprint.get("levels")),
        run.correct,
        (tokens_per_answer(run),),
        run_facts(results, run.task),
    )
    refuse_test(run.path, part)
    refuse_unreadable_facts(run.path, part.facts)
    return run.path, part


def _refuse_unequal(first_path: Path, first: BranchRuns, path: Path, run: BranchRuns) -> None:
    facts = {
        "questions": ([q.hash for q in first.questions], [q.hash for q in run.questions]),
        "N": (first.n, run.n),
        "levels": (first.levels, run.levels),
    }
    for name, (one, other) in facts.items():
        if one != other:
            said = "" if name == "questions" else f" ({one} and {other})"
            raise InputError(f"{first_path} and {path} differ in {name}{said}: {WANTED}, alike in all else")


# ---- what the user reads ----


def compared(runs: BranchRuns, chosen: str, folds: int, seed: int, objective: int) -> str:
    """Return Pass@N of every priority with intervals, and of the choice where each fold has that of the others.

    Args:
        chosen: the priority that all questions together chose.
        folds, seed, objective: of the choice, as in `Choices`.
    """
    passed, shown = runs.passed.astype(float), sorted({*(k for k in SHOWN if k < runs.n), runs.n})
    best = passed[runs.priorities.index(chosen)][:, -1]
    rows = [("priority", *(f"pass@{k}" for k in shown), "95 %", f"minus {chosen}", "95 %", "tokens")]
    for priority, of_priority, tokens in zip(runs.priorities, passed, runs.tokens, strict=True):
        level = paired_bootstrap(of_priority[:, -1], np.zeros(len(best)))
        gain, _ = paired_test(of_priority[:, -1], best)
        rates = [percent(of_priority[:, k - 1].mean()) for k in shown]
        rows.append((priority, *rates, f"{percent(level.low)} to {percent(level.high)}"))
        rows[-1] += (points(gain.difference), f"{points(gain.low)} to {points(gain.high)}")
        rows[-1] += ("-" if tokens is None else f"{tokens:.0f}",)
    held_out, choices = _out_of_fold(passed, fold_indices(len(best), folds, seed), objective)
    counts = ", ".join(f"{count} {runs.priorities[i]}" for i, count in Counter(choices).most_common())
    rates = ", ".join(f"pass@{k} {percent(held_out[:, k - 1].mean())}" for k in shown)
    return "\n".join([*aligned(rows), f"chosen without each of {len(choices)} folds: {counts}; on the folds {rates}"])


def _out_of_fold(passed: np.ndarray, folds: list[np.ndarray], objective: int) -> tuple[np.ndarray, list[int]]:
    """Return Pass@1..n of each question by the priority that the other folds choose, and these choices."""
    held_out, choices = np.zeros(passed.shape[1:]), []
    for fold in folds:
        scores = np.delete(passed, fold, axis=1)[..., :objective].mean(axis=(1, 2))
        choices.append(int(scores.argmax()))
        held_out[fold] = passed[choices[-1], fold]
    return held_out, choices
