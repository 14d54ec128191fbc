"""Greedy answers -> the responses that branch off them, each question's distinct in text, in the order of priority.

A question asks for one round of branches after the other. The rows of a round follow the row that ended the round
before, so a decoder that has the question's keys and values decodes them at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Response, Row, Settings
from sprint_lmeval.models.progress import Progress
from sprint_lmeval.models.requests import RequestGroup
from sprint_lmeval.strategies.branch import GREEDY, Branched, BranchPoint, branches_of, ranked

SPARE = 8  # further tokens at each position, for those that become a text which is there
TRIED = 8  # branches for each response that is asked for: other tokens may become the same text


@dataclass
class BranchedQuestion:
    """The responses to one question: the greedy answer, and what branches off it.

    Attributes:
        row: of the greedy answer.
        missing: how many responses are asked for beside it.
        strategy: its priority and levels decide.
        ends: tokens that end an answer.
        kept: rows and responses with texts of their own, the greedy answer first.
        branches: of this round that were not tried yet, the next one first; `later`: of answers that it has found.
        round: how many more responses this round has to find.
        batch: rows that are being decoded, with the branches that they are, and their responses once these are there.
    """

    row: Row
    missing: int
    strategy: Branched
    ends: Collection[int]
    kept: list[tuple[Row, Response]] = field(default_factory=list)
    branches: deque[BranchPoint] = field(default_factory=deque)
    later: list[BranchPoint] = field(default_factory=list)
    round: int = 0
    batch: dict[Row, tuple[BranchPoint, Response | None]] = field(init=False)

    def __post_init__(self) -> None:
        self.batch = {self.row: (GREEDY, None)}

    @property
    def needs_steps(self) -> bool:
        """Whether the rows that are being decoded may be branched off."""
        return self.missing > 0 and (not self.kept or (self.strategy.levels == "all" and self.round < self.missing))

    def take(self, row: Row, response: Response) -> list[Row]:
        """Take the response to a row; returns the rows that follow, once all of those before are there."""
        self.batch[row] = self.batch[row][0], response
        if any(response is None for _, response in self.batch.values()):
            return []
        for row, (branch, response) in self.batch.items():
            self._keep(row, branch, response)
        if self.missing and not (self.round and self.branches):
            self._begin_round()
        taken = [self.branches.popleft() for _ in range(min(self.round, len(self.branches)))]
        self.batch = {self._row(branch): (branch, None) for branch in taken}
        return list(self.batch)

    def _row(self, branch: BranchPoint) -> Row:
        _, answer = self.kept[branch.answer]
        return replace(self.row, given=(*answer.tokens[: branch.position], branch.token))

    def _keep(self, row: Row, branch: BranchPoint, response: Response) -> None:
        """Keep a response unless there is one with its text."""
        if response.text in (kept.text for _, kept in self.kept):
            return
        if self.kept:
            self.missing -= 1
            self.round -= 1
        self.later += branches_of(response.steps, self.ends, len(self.kept), branch)
        self.kept.append((row, response))

    def _begin_round(self) -> None:
        found = ranked([*self.branches, *self.later], self.strategy.priority)
        self.branches, self.later = deque(found[: TRIED * self.missing]), []
        self.round = self.missing if self.strategy.levels == 1 else min(self.missing, len(self.kept))


class BranchSuccessors:
    """Lets the branches of questions follow their answers (`Successors`).

    Args:
        questions: whose greedy answers are decoded first.
        stored: rows -> the responses that are there already.
        put: takes a question and the number of a branch that it keeps.
        done: takes a question that has all of its branches, or as many as there are.

    Attributes:
        asked: row that is to be decoded -> its question.
    """

    def __init__(
        self,
        questions: Sequence[BranchedQuestion],
        stored: Callable[[list[Row]], dict[Row, Response]],
        put: Callable[[BranchedQuestion, int], None],
        done: Callable[[BranchedQuestion], None],
    ) -> None:
        self.asked = {question.row: question for question in questions}
        self.stored, self.put, self.done = stored, put, done

    def top(self, row: Row) -> int:
        question = self.asked[row]
        return question.missing + SPARE if question.needs_steps else 0

    def after(self, row: Row, response: Response) -> list[Row]:
        question = self.asked.pop(row)
        there = max(1, len(question.kept))
        rows = question.take(row, response)
        for number in range(there, len(question.kept)):
            self.put(question, number)
        if not question.batch:
            self.done(question)
        self.asked |= dict.fromkeys(rows, question)
        stored = {} if question.needs_steps else self.stored(rows)  # what is stored has no tokens to branch off
        waiting = [row for row in rows if row not in stored]
        for row, response in stored.items():
            waiting += self.after(row, response)
        return waiting


class Branching:
    """The part of a `BestOfN` model that `strategy=branch` needs; `_ends` is its decoder's."""

    def _ends(self, settings: Settings) -> Collection[int]:
        """Return the tokens that end an answer."""
        raise NotImplementedError

    @property
    def _branching(self) -> bool:
        return isinstance(self.strategy, Branched)

    def _reuse_branches(self, group: RequestGroup) -> None:
        """Put the responses of questions of which the store has all."""
        for row in group.asked if self.stored else ():
            branches = self.stored.branches(row, group.settings, self._choice(group, row))
            if branches is None:
                continue
            samples = self._samples(row, len(branches) + 1, len(group.branches.get(row, ())) + 1)
            rows = [row, *branches, *samples]
            found = self.stored.found(rows, group.settings)
            if len(found) == len(rows) and (self.strategy.draws or not samples):
                self.strategy.samples += len(samples)
                self._put(group, group.asked[row], row, found[row])
                for number, branch in enumerate(rows[1:], start=1):
                    self._put(group, group.branches[row][number], row, found[branch])

    def _choice(self, group: RequestGroup, row: Row) -> dict:
        """Return what decides the branches of an answer, beside the answer."""
        of_strategy = {"priority": self.strategy.priority, "levels": self.strategy.levels}
        return of_strategy | {"n": len(group.branches.get(row, ())) + 1}

    def _branch(self, group: RequestGroup, rows: list[Row], requests: list, progress: Progress) -> None:
        """Decode greedy answers and what branches off them, and samples where branches are too few."""

        def stored(rows: list[Row]) -> dict[Row, Response]:
            return self.stored.found(rows, group.settings) if self.stored else {}

        def put(question: BranchedQuestion, number: int) -> None:
            self._put(group, group.branches[question.row][number], question.row, question.kept[number][1])

        def done(question: BranchedQuestion) -> None:
            if self.stored:
                kept = [row for row, _ in question.kept[1:]]
                self.stored.keep_branches(question.row, group.settings, self._choice(group, question.row), kept)

        ends = self._ends(group.settings)
        questions = [BranchedQuestion(row, len(group.branches.get(row, ())), self.strategy, ends) for row in rows]
        successors = BranchSuccessors(questions, stored, put, done)
        while successors.asked:  # again only where decoding raised
            for row, response in self._fresh(group, list(successors.asked), requests, successors):
                progress.add(1, response.new_tokens)
                if row in group.asked:
                    self._put(group, group.asked[row], row, response)
        samples = [row for question in questions for row in self._samples_for(question)]
        found = stored(samples)
        fresh = self._fresh(group, [row for row in samples if row not in found], requests)
        for row, response in (pair for pairs in (found.items(), fresh) for pair in pairs):
            self._put(group, group.branches[Row(row.prompt, row.candidate)][row.sample], row, response)

    def _samples_for(self, question: BranchedQuestion) -> list[Row]:
        """Return rows of samples that replace missing branches; InputError where samples are not allowed."""
        there = len(question.kept)
        n = there + question.missing
        if question.missing and not self.strategy.draws:
            raise InputError(
                f"a question has {there} distinct answers by branching, {n} are asked for: ask for fewer with -n, or "
                f"give fill=samples with --gen_kwargs temperature=0.6,do_sample=true; {self.kept_so_far()}"
            )
        self.strategy.samples += question.missing
        return self._samples(question.row, there, n)

    def _samples(self, row: Row, first: int, n: int) -> list[Row]:
        """Return the rows of samples `first` to `n`."""
        return [Row(row.prompt, row.candidate, i, *self.strategy.draw(row.prompt, i)) for i in range(first, n)]
