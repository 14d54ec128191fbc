"""Decoding of many (prompt, candidate) rows in few forward passes; the text of each is its own.

One pool of rows is in flight. A finished row's place is taken by the next one at once, so no batch waits for its
longest row. Each pass verifies guesses taken from what siblings have written (`drafts.py`); prompts and the common part
of a question's answers are read together (`shared_reading.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from transformers import PreTrainedTokenizerBase

from sprint_lmeval.drafts import LONGEST_DRAFT, Record, Siblings, worthwhile
from sprint_lmeval.passes import Passes
from sprint_lmeval.question_rows import ActiveRow, Ends, Question
from sprint_lmeval.row_cache import Parts
from sprint_lmeval.rows import Response, Row, Settings, response_of
from sprint_lmeval.shared_reading import Choose, SharedReading, agreeing

WORTH_FOLLOWING = 2  # rows of a question beside the leading one, from which on its text is read along
EARLY = 32  # tokens of an unfinished leading answer from which on followers may begin, where places are free


class Pool:
    """Rows in flight, at most `rows` of them."""

    def __init__(
        self,
        passes: Passes,
        tokenizer: PreTrainedTokenizerBase,
        settings: Settings,
        end_tokens: list[int],
        questions: Sequence[Question],
        rows: int,
        choose: Choose,
    ) -> None:
        self.passes, self.tokenizer, self.settings, self.end_tokens = passes, tokenizer, settings, end_tokens
        self.waiting, self.followed = deque(questions), deque()
        self.ends = Ends(tokenizer, end_tokens, settings.until, settings.max_new_tokens)
        self.choose = choose
        self.reading = SharedReading(passes, choose, self.ends, questions)
        self.leading: list[Question] = []
        self.active: list[ActiveRow] = []
        self.parked: deque[tuple[ActiveRow, Parts]] = deque()
        self.rows, self.cache = rows, passes.cache(rows)
        self.record = Record()

    def run(self) -> Iterator[tuple[Row, Response]]:
        """Decode everything; yield each row as it is finished."""
        while True:
            for row in self._filled():
                yield self._response(row)
            if not self.active:
                return
            for row in self._step():
                yield self._response(row)

    # ---- which rows are in flight ----

    def _filled(self) -> Iterator[ActiveRow]:
        """Fill free places; yield rows that were finished by reading along."""
        while len(self.active) < self.rows:
            if self.parked:
                row, parts = self.parked.popleft()
                self.cache.put(len(self.active), parts, row.places)
                self.active.append(row)
                continue
            group = self._next_group()
            if group is None:
                return
            question, rows, leads = group
            for row, parts in self.reading.read(question, rows):
                if leads:
                    question.leader = row
                    self.leading.append(question)
                if row.finished:
                    self._note_finished(row)
                    yield row
                else:
                    self.parked.append((row, parts))
            if not question.rows:
                question.trunk = None

    def _next_group(self) -> tuple[Question, list[Row], bool] | None:
        """Return what is read next: followers of a leading answer that is there, else the lead of a new question."""
        while self.followed and not self.followed[0].rows:
            self.followed.popleft()
        if self.followed:
            return self.followed[0], self.followed[0].next_group(), False
        if self.waiting:
            question = self.waiting.popleft()
            if len(question.rows) > WORTH_FOLLOWING:
                return question, [question.rows.pop(0)], True
            rows, question.rows = question.rows, []
            return question, rows, False
        begun = [q for q in self.leading if q.rows and len(q.lead) >= EARLY]
        if begun:  # better than an empty place: followers that will not know the lead's end
            question = max(begun, key=lambda q: len(q.lead))
            return question, question.next_group(), False
        return None

    def _note_finished(self, row: ActiveRow) -> None:
        if row is row.question.leader:
            self.leading.remove(row.question)
            self.followed.append(row.question)
        row.question.unfinished -= 1
        if not row.question.unfinished:  # nobody guesses from it again
            row.question.siblings, row.question.leader, row.question.trunk = Siblings(), None, None

    def _response(self, row: ActiveRow) -> tuple[Row, Response]:
        return row.row, response_of(self.tokenizer, row.new, row.stopped, self.end_tokens, self.settings)

    # ---- one pass ----

    def _step(self) -> list[ActiveRow]:
        """Advance every row in flight by at least one token; returns those that are finished."""
        drafts = self._drafts()
        width = 1 + max(len(guessed) for guessed, _ in drafts)
        tokens = [
            [row.written[-1], *guessed, *[0] * (width - 1 - len(guessed))]
            for row, (guessed, _) in zip(self.active, drafts, strict=True)
        ]
        logits = self.passes.run(self.cache, tokens, [row.row.candidate for row in self.active], width)
        chosen = self.choose(logits, self.active, [line[1:] for line in tokens])
        for place, (row, (guessed, orders)) in enumerate(zip(self.active, drafts, strict=True)):
            same = agreeing(chosen[place], guessed)
            self.record.note(orders, same)
            row.advance(chosen[place][: same + 1], self.ends)
            self.cache.lengths[place] += same + 1
        return self._leaving()

    def _drafts(self) -> list[tuple[list[int], list[int]]]:
        chances = self.record.chances()
        rows, free = len(self.active), self.passes.free_tokens
        if max(chances.values()) <= rows / (free + rows):  # then even a sure second token costs more than it brings
            return [([], [])] * rows
        longest = min(LONGEST_DRAFT, self.passes.most_logits(rows) - 1)
        limit = self.settings.max_new_tokens
        drafts = [
            row.question.siblings.guess(row.written, min(longest, limit - len(row.new) - 1), chances)
            for row in self.active
        ]
        count = worthwhile([orders for _, orders in drafts], chances, free)
        return [(guessed[:count], orders[:count]) for guessed, orders in drafts]

    def _leaving(self) -> list[ActiveRow]:
        """Take finished rows out; the last rows move into their places."""
        finished = [row for row in self.active if row.finished]
        for place in reversed(range(len(self.active))):
            if self.active[place].finished:
                self._note_finished(self.active[place])
                last = self.active.pop()
                if place < len(self.active):
                    self.cache.move(len(self.active), place)
                    self.active[place] = last
        return finished
