"""Decoding of many (prompt, candidate) rows in few forward passes; the text of each is its own.

One pool of rows is in flight, as many as their keys and values leave room for. A finished row's place is taken by the
next one at once, so no batch waits for its longest row. Each pass verifies guesses taken from what siblings have
written (`drafts.py`); prompts and the common part of a question's answers are read together (`shared_reading.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from transformers import PreTrainedTokenizerBase

from sprint_lmeval.generation.fast.drafts import LONGEST_DRAFT, Record, Siblings, most_worthwhile, worthwhile
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import ActiveRow, Ends, Question
from sprint_lmeval.generation.fast.kv_cache import Parts, copied, up_to_growth
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.shared_prefill import Group, SharedReading, agreeing
from sprint_lmeval.generation.rows import Response, Row, Settings, response_of

RARE, ASIDE = 8, 8  # one row in so many may outgrow the others and wait aside, in so small a share of their memory
EARLY = 32  # tokens of an unfinished leading answer from which on followers may begin, where places are free


class Pool:
    """Rows in flight: at most `rows` of them, and no more than the device's rule for keys and values allows."""

    def __init__(
        self,
        passes: Passes,
        tokenizer: PreTrainedTokenizerBase,
        settings: Settings,
        end_tokens: list[int],
        questions: Sequence[Question],
        rows: int,
        choice: TokenChoice,
    ) -> None:
        self.passes, self.tokenizer, self.settings, self.end_tokens = passes, tokenizer, settings, end_tokens
        self.waiting, self.followed = deque(questions), []
        self.ends = Ends(tokenizer, end_tokens, settings.until, settings.max_new_tokens)
        self.choice = choice
        self.reading = SharedReading(passes, choice, self.ends, questions)
        self.leading: list[Question] = []
        self.active: list[ActiveRow] = []
        self.parked: deque[tuple[ActiveRow, Parts]] = deque()
        self.rows, self.cache = rows, passes.cache(0, passes.rules.cache_bytes)
        self.aside: list[tuple[ActiveRow, Parts]] = []  # rows that have outgrown the others
        self.longest = 0  # new tokens of any row in flight so far
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
                if not self._fits(self.parked[0][0]):
                    return
                self._admit(*self.parked.popleft())
                continue
            groups = self._next_reading()
            if not groups:
                if not self.aside:
                    return
                self._bring_back()
                continue
            for row, parts in self.reading.read(groups):
                if row.question.rows and row.question.leader is None:
                    row.question.leader = row
                    self.leading.append(row.question)
                if row.finished:
                    self._note_finished(row)
                    yield row
                elif self._may_go_aside([row]):
                    self.aside.append((row, copied(parts, self.reading.shared_layers)))
                elif self._fits(row):
                    self._admit(row, parts)
                else:
                    self.parked.append((row, copied(parts, self.reading.shared_layers)))
            for question, _ in groups:
                if not question.rows:
                    question.trunk = None

    def _most_rows(self, places: int) -> int:
        room = self.passes.rules.cache_bytes // max(1, places * self.reading.bytes_per_place)
        return max(1, min(self.rows, room))

    def _fits(self, row: ActiveRow) -> bool:
        return len(self.active) < self._most_rows(self._places([*self.active, row]))

    def _places(self, rows: list[ActiveRow]) -> int:
        """Return how many places rows need that may become as long as the longest so far."""
        longest = max(self.longest, *(row.count for row in rows))
        new = min(self.settings.max_new_tokens - 1, longest) + LONGEST_DRAFT + 1  # a pass writes what it guesses, too
        return up_to_growth(max(len(row.question.prompt) for row in rows) + new)

    def _admit(self, row: ActiveRow, parts: Parts) -> None:
        self.longest = max(self.longest, row.count)
        count, places = len(self.active), self._places([*self.active, row])
        if count >= self.cache.rows or places > self.cache.places:
            self.cache.resize(self._most_rows(places), places, kept=count)
        self.cache.put(count, parts, row.places)
        self.active.append(row)

    def _make_room(self, width: int) -> None:
        """Have room for `width` more tokens in each row; where rows have grown too long for it, the last ones wait."""
        outgrown = [row for row in self.active if row.places + width > self.cache.places]
        if not outgrown:
            return
        if self._may_go_aside(outgrown):
            for row in outgrown:
                place = self.active.index(row)
                self.aside.append((row, copied(self.cache.take(place, row.places))))
                self._take_out(place)
            return
        self._bring_back()
        self.longest = max(self.longest, *(row.count for row in self.active))
        places = up_to_growth(max(max(row.places for row in outgrown) + width, self._places(self.active)))
        rows = self._most_rows(places)
        while len(self.active) > rows:
            row = self.active.pop()
            self.parked.appendleft((row, copied(self.cache.take(len(self.active), row.places))))
        self.cache.resize(rows, places, kept=len(self.active))

    def _may_go_aside(self, rows: list[ActiveRow]) -> bool:
        """Return whether these are so few and so much longer than the others that these should go on without them."""
        if max(row.places for row in rows) + 1 + LONGEST_DRAFT <= self.cache.places or not self._more_to_begin():
            return False
        if any(row is row.question.leader and row.question.rows for row in rows):
            return False
        places = sum(row.places for row in [*rows, *(row for row, _ in self.aside)])
        small = places * self.reading.bytes_per_place * ASIDE <= self.passes.rules.cache_bytes
        return small and len(rows) * RARE <= len(self.active)

    def _more_to_begin(self) -> bool:
        return bool(self.parked or self.waiting) or any(q.rows for q in (*self.followed, *self.leading))

    def _bring_back(self) -> None:
        """Let rows that went aside be the next to go on."""
        self.parked.extendleft(reversed(self.aside))
        self.aside = []

    def _next_reading(self) -> list[Group]:
        """Take what is read next: followers of leading answers that are there, else the leads of new questions."""
        self.followed = [question for question in self.followed if question.rows]
        if self.followed:
            return self._together(self.followed, Question.next_group)
        if self.waiting:
            free = max(1, self._most_rows(self.cache.places) - len(self.active))
            groups = self._together(list(islice(self.waiting, free)), Question.first_group)
            for _ in groups:
                self.waiting.popleft()
            return groups
        # Better than an empty place: followers that will not know the lead's end.
        begun = [question for question in self.leading if question.rows and len(question.lead) >= EARLY]
        return self._together(sorted(begun, key=lambda q: -len(q.lead)), Question.next_group)

    def _together(self, questions: Sequence[Question], group_of: Callable[[Question], list[Row]]) -> list[Group]:
        """Take a group of rows of the first questions, as many as one reading takes."""
        groups: list[Group] = []
        for question in questions:
            group = question, group_of(question)
            if groups and not self.reading.fits_together([*groups, group]):
                break
            groups.append(group)
        for question, rows in groups:
            question.take(rows)
        return groups

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
        self._make_room(1 + LONGEST_DRAFT)
        drafts = self._drafts()
        width = 1 + max(len(guessed) for guessed, _ in drafts)
        tokens = [
            [row.written[-1], *guessed, *[0] * (width - 1 - len(guessed))]
            for row, (guessed, _) in zip(self.active, drafts, strict=True)
        ]
        chosen = self.choice.read(self.cache, tokens, self.active, width)
        for place, (row, (guessed, orders)) in enumerate(zip(self.active, drafts, strict=True)):
            same = agreeing(chosen[place], guessed)
            self.record.note(orders, same)
            row.advance(chosen[place][: same + 1], self.ends)
            self.cache.lengths[place] += same + 1
        return self._leaving()

    def _drafts(self) -> list[tuple[list[int], list[int]]]:
        chances, rows = self.record.chances(), len(self.active)
        read = rows * max(row.places for row in self.active) * self.reading.bytes_per_place
        overhead = self.passes.rules.overhead(read)
        most = min(LONGEST_DRAFT, self.choice.most(rows) - 1)
        longest = most_worthwhile(rows, max(chances.values()), overhead, most)
        if longest <= 0:
            return [([], [])] * rows
        limit = self.settings.max_new_tokens
        drafts = [
            row.question.siblings.guess(row.written, min(longest, limit - row.count - 1), chances)
            for row in self.active
        ]
        count = worthwhile([orders for _, orders in drafts], chances, overhead)
        return [(guessed[:count], orders[:count]) for guessed, orders in drafts]

    def _leaving(self) -> list[ActiveRow]:
        """Take finished rows out; the last rows move into their places."""
        finished = [row for row in self.active if row.finished]
        for place in reversed(range(len(self.active))):
            if self.active[place].finished:
                self._note_finished(self.active[place])
                self._take_out(place)
        return finished

    def _take_out(self, place: int) -> None:
        """Take a row out; the last row moves into its place."""
        last = self.active.pop()
        if place < len(self.active):
            self.cache.move(len(self.active), place)
            self.active[place] = last
        else:
            self.cache.leave([place])
