"""Greedy answers -> the responses that branch off them, each question's distinct in text, in the order of priority."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Response, Row, Settings
from sprint_lmeval.models.progress import Progress
from sprint_lmeval.models.requests import RequestGroup
from sprint_lmeval.strategies.branch import AnswerToken, Branch, Branched, ranked_branches

READ_AT_ONCE = 64  # greedy answers whose alternatives are in memory together
SPARE = 8  # further tokens at each position, for those that become a text which is there
TRIED = 8  # branches for each response that is asked for: other tokens may become the same text


@dataclass
class GreedyAnswer:
    """A greedy answer, and the responses that branch off it.

    Attributes:
        row, response: the answer itself, with its tokens.
        missing: how many more responses are asked for.
        branches: those not tried yet, the next one first.
        found: responses with texts of their own.
    """

    row: Row
    response: Response
    missing: int
    branches: deque[Branch] = field(default_factory=deque)
    found: list[Response] = field(default_factory=list)

    def next_rows(self) -> list[Row]:
        """Return rows of the next branches, as many as responses are missing."""
        taken = [self.branches.popleft() for _ in range(min(self.missing, len(self.branches)))]
        return [replace(self.row, given=(*self.response.tokens[:at], token)) for at, token in taken]

    def take(self, response: Response) -> bool:
        """Keep a response unless there is one with its text; returns whether it is kept."""
        if response.text in (self.response.text, *(one.text for one in self.found)):
            return False
        self.found.append(response)
        self.missing -= 1
        return True


def branch_out(
    answers: Sequence[GreedyAnswer], decode: Callable[[list[Row]], Iterator[tuple[Row, Response]]]
) -> Iterator[tuple[GreedyAnswer, Response]]:
    """Decode branches until no response is missing or none is left; yield each answer with a response that it keeps."""
    while rows := {row: answer for answer in answers for row in answer.next_rows()}:
        responses = dict(decode(list(rows)))
        for row, answer in rows.items():
            if answer.take(responses[row]):
                yield answer, responses[row]


class Branching:
    """The part of a `BestOfN` model that `strategy=branch` needs: `_alternatives` and `_ends` are its decoder's."""

    def _alternatives(self, rows: list[Row], settings: Settings, top: int) -> list[list[AnswerToken]]:
        """Return, for each row, its given tokens with the `top` best other tokens at each position."""
        raise NotImplementedError

    def _ends(self, settings: Settings) -> list[int]:
        """Return the tokens that end an answer."""
        raise NotImplementedError

    @property
    def _branching(self) -> bool:
        return isinstance(self.strategy, Branched)

    def _branch(self, group: RequestGroup, answers: list[GreedyAnswer], requests: list, progress: Progress) -> None:
        """Let the other repeats of a question be branches of its greedy answer, and samples where these are too few."""

        def decode(rows: list[Row]) -> Iterator[tuple[Row, Response]]:
            found = self.stored.found(rows, group.settings) if self.stored else {}
            yield from found.items()
            for row, response in self._fresh(group, [row for row in rows if row not in found], requests):
                progress.add(1, response.new_tokens)
                yield row, response

        self._rank_branches(group, answers)
        for answer, response in branch_out(answers, decode):
            self._put(group, group.branches[answer.row][len(answer.found)], answer.row, response)
        for row, response in decode([row for answer in answers for row in self._samples_for(answer)]):
            self._put(group, group.branches[Row(row.prompt, row.candidate)][row.sample], row, response)

    def _rank_branches(self, group: RequestGroup, answers: list[GreedyAnswer]) -> None:
        for start in range(0, len(answers), READ_AT_ONCE):
            part = answers[start : start + READ_AT_ONCE]
            rows = [replace(answer.row, given=answer.response.tokens) for answer in part]
            top = max(answer.missing for answer in part) + SPARE
            for answer, steps in zip(part, self._alternatives(rows, group.settings, top), strict=True):
                ranked = ranked_branches(steps, self.strategy.priority, self._ends(group.settings))
                answer.branches.extend(ranked[: TRIED * answer.missing])

    def _samples_for(self, answer: GreedyAnswer) -> list[Row]:
        """Return rows of samples that replace missing branches; InputError where samples are not allowed."""
        n, there = len(answer.found) + answer.missing + 1, len(answer.found) + 1
        if answer.missing and not self.strategy.draws:
            raise InputError(
                f"a question has {there} distinct answers by branching, {n} are asked for: ask for fewer with -n, or "
                f"give fill=samples with --gen_kwargs temperature=0.6,do_sample=true; {self.kept_so_far()}"
            )
        self.strategy.samples += answer.missing
        row = answer.row
        return [Row(row.prompt, row.candidate, i, *self.strategy.draw(row.prompt, i)) for i in range(there, n)]
