"""Decodes many (prompt, candidate) rows in few forward passes; each has the text that it has alone.

As many rows are in flight as their keys and values have room for. The next row takes a finished row's slot at once, so
none waits for the longest text of a batch. Each pass verifies drafts taken from other answers to the same prompt
(`drafts.py`); prompts and what the answers to a prompt share are read together (`shared_prefill.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from transformers import PreTrainedTokenizerBase

from sprint_lmeval.generation.fast.drafts import LONGEST_DRAFT, DraftRecord, NgramIndex, most_worthwhile, worthwhile
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import ActiveRow, Ends, PromptGroup
from sprint_lmeval.generation.fast.kv_cache import KeysValues, copied, rounded_up
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.shared_prefill import Cohort, SharedPrefill, agreeing
from sprint_lmeval.generation.rows import Response, Row, Settings, response_of

EARLY = 32  # tokens of an unfinished reference answer from which on remaining rows may begin, where slots are free


class Scheduler:
    """Chooses what runs next: at most `rows` rows in flight, and no more keys and values than the device's limit.

    Attributes:
        waiting: prompts of which nothing has begun.
        writing: prompts whose reference answer is being written.
        ready: prompts whose reference answer is finished, with remaining rows.
        active: rows in flight; the index in the list is the slot in the cache.
        preempted: rows that were begun and wait for a slot, with their keys and values.
        longest: new tokens of any row in flight so far.
    """

    def __init__(
        self,
        passes: Passes,
        tokenizer: PreTrainedTokenizerBase,
        settings: Settings,
        ends: Ends,
        groups: Sequence[PromptGroup],
        rows: int,
        choice: TokenChoice,
    ) -> None:
        self.passes, self.tokenizer, self.settings, self.ends = passes, tokenizer, settings, ends
        self.choice = choice
        self.prefill = SharedPrefill(passes, choice, self.ends, groups)
        self.waiting, self.writing, self.ready = deque(groups), [], []
        self.rows, self.cache = rows, passes.cache(0, passes.limits.cache_bytes)
        self.active: list[ActiveRow] = []
        self.preempted: deque[tuple[ActiveRow, KeysValues]] = deque()
        self.longest = 0
        self.record = DraftRecord()

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
        """Fill free slots; yield rows that prefill alone has finished."""
        while len(self.active) < self.rows:
            if self.preempted:
                if not self._fits(self.preempted[0][0]):
                    return
                self._admit(*self.preempted.popleft())
                continue
            cohorts = self._next_cohorts()
            if cohorts:
                yield from self._prefilled(cohorts)
            else:
                return

    def _prefilled(self, cohorts: list[Cohort]) -> Iterator[ActiveRow]:
        """Prefill cohorts: each row is finished, takes a slot, or waits for one."""
        for row, keys_values in self.prefill.read(cohorts):
            if row.group.remaining and row.group.reference_row is None:
                row.group.reference_row = row
                self.writing.append(row.group)
            if row.finished:
                self._note_finished(row)
                yield row
            elif self._fits(row):
                self._admit(row, keys_values)
            else:
                self.preempted.append((row, copied(keys_values, self.prefill.first_own_layer)))
        for group, _ in cohorts:
            if not group.remaining:
                group.shared_layers = None

    def _most_rows(self, positions: int) -> int:
        room = self.passes.limits.cache_bytes // max(1, positions * self.prefill.bytes_per_position)
        return max(1, min(self.rows, room))

    def _fits(self, row: ActiveRow) -> bool:
        return len(self.active) < self._most_rows(self._positions([*self.active, row]))

    def _positions(self, rows: list[ActiveRow]) -> int:
        """Return how many positions rows need that may become as long as the longest so far."""
        longest = max(self.longest, *(row.count for row in rows))
        new = min(self.settings.max_new_tokens - 1, longest) + LONGEST_DRAFT + 1  # a pass writes its drafts, too
        return rounded_up(max(len(row.group.prompt) for row in rows) + new)

    def _admit(self, row: ActiveRow, keys_values: KeysValues) -> None:
        self.longest = max(self.longest, row.count)
        count, positions = len(self.active), self._positions([*self.active, row])
        if count >= self.cache.slots or positions > self.cache.positions:
            self.cache.resize(self._most_rows(positions), positions, kept=count)
        self.cache.put(count, keys_values, row.cached)
        self.active.append(row)

    def _make_room(self, width: int) -> None:
        """Have room for `width` more tokens in each row; where rows are too long, the last ones are preempted."""
        needed = max(row.cached for row in self.active) + width
        if needed <= self.cache.positions:
            return
        self.longest = max(self.longest, *(row.count for row in self.active))
        positions = rounded_up(max(needed, self._positions(self.active)))
        rows = self._most_rows(positions)
        while len(self.active) > rows:
            row = self.active.pop()
            self.preempted.appendleft((row, copied(self.cache.take(len(self.active), row.cached))))
        self.cache.resize(rows, positions, kept=len(self.active))

    def _next_cohorts(self) -> list[Cohort]:
        """Take what is prefilled next: remaining rows whose reference answer is finished, else new prompts."""
        self.ready = [group for group in self.ready if group.remaining]
        if self.ready:
            return self._together(self.ready, PromptGroup.next_cohort)
        if self.waiting:
            free = max(1, self._most_rows(self.cache.positions) - len(self.active))
            cohorts = self._together(list(islice(self.waiting, free)), PromptGroup.first_cohort)
            for _ in cohorts:
                self.waiting.popleft()
            return cohorts
        # Rather than leave a slot empty, start rows against a reference answer that is still being written.
        begun = [group for group in self.writing if group.remaining and len(group.reference) >= EARLY]
        return self._together(sorted(begun, key=lambda group: -len(group.reference)), PromptGroup.next_cohort)

    def _together(self, groups: Sequence[PromptGroup], cohort_of: Callable[[PromptGroup], list[Row]]) -> list[Cohort]:
        """Take a cohort of each of the first groups, as many as one prefill takes."""
        cohorts: list[Cohort] = []
        for group in groups:
            cohort = group, cohort_of(group)
            if cohorts and not self.prefill.fits_together([*cohorts, cohort]):
                break
            cohorts.append(cohort)
        for group, rows in cohorts:
            group.take(rows)
        return cohorts

    def _note_finished(self, row: ActiveRow) -> None:
        if row is row.group.reference_row:
            self.writing.remove(row.group)
            self.ready.append(row.group)
        row.group.unfinished -= 1
        if not row.group.unfinished:  # nothing is drafted from it again
            row.group.ngrams, row.group.reference_row, row.group.shared_layers = NgramIndex(), None, None

    def _response(self, row: ActiveRow) -> tuple[Row, Response]:
        return row.row, response_of(self.tokenizer, row.new, row.stopped, self.ends.ends, self.settings)

    # ---- one pass ----

    def _step(self) -> list[ActiveRow]:
        """Advance every row in flight by at least one token; returns those that are finished."""
        self._make_room(1 + LONGEST_DRAFT)
        drafts = self._drafts()
        width = 1 + max(len(draft) for draft, _ in drafts)
        tokens = [
            [row.written[-1], *draft, *[0] * (width - 1 - len(draft))]
            for row, (draft, _) in zip(self.active, drafts, strict=True)
        ]
        chosen = self.choice.read(self.cache, tokens, self.active, width)
        for slot, (row, (draft, ngram_lengths)) in enumerate(zip(self.active, drafts, strict=True)):
            same = agreeing(chosen[slot], draft)
            self._account_draft(len(draft), same)
            self.record.note(ngram_lengths, same)
            row.advance(chosen[slot][: same + 1], self.ends)
            self.cache.lengths[slot] += same + 1
        return self._leaving()

    def _account_draft(self, drafted: int, accepted: int) -> None:
        account = self.passes.account
        account.add("single", 1)
        account.add("draft_accepted", accepted)
        account.add("draft_rejected", drafted - accepted)

    def _drafts(self) -> list[tuple[list[int], list[int]]]:
        """Return for each row in flight its draft and the n-gram lengths of it, as many tokens as pay."""
        acceptance, rows = self.record.acceptance(), len(self.active)
        overhead = self.passes.limits.free_tokens
        most = min(LONGEST_DRAFT, self.choice.most(rows) - 1)
        longest = most_worthwhile(rows, max(acceptance.values()), overhead, most)
        if longest <= 0:
            return [([], [])] * rows
        limit = self.settings.max_new_tokens
        drafts = [
            row.group.ngrams.draft(row.written, min(longest, limit - row.count - 1), acceptance) for row in self.active
        ]
        count = worthwhile([ngram_lengths for _, ngram_lengths in drafts], acceptance, overhead)
        return [(draft[:count], ngram_lengths[:count]) for draft, ngram_lengths in drafts]

    def _leaving(self) -> list[ActiveRow]:
        """Take finished rows out; returns them."""
        finished = [row for row in self.active if row.finished]
        for slot in reversed(range(len(self.active))):
            if self.active[slot].finished:
                self._note_finished(self.active[slot])
                self._take_out(slot)
        return finished

    def _take_out(self, slot: int) -> None:
        """Take a row out; the last row moves into its slot."""
        last = self.active.pop()
        if slot < len(self.active):
            self.cache.move(len(self.active), slot)
            self.active[slot] = last
        else:
            self.cache.leave([slot])
