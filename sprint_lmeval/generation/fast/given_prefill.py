"""Prefill of rows that have answer tokens already (branches): shared tokens are read once.

All rows of a group have one prompt and one candidate. A round reads the longest row, with the prompt. Rows that differ
from the longest one in at most `FEW` tokens copy the keys and values of the tokens that they share with it, and read
the few others. The remaining rows wait for the next round, whose longest row reuses what earlier rounds have read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sprint_lmeval.generation.fast.in_flight import ActiveRow, PromptGroup
from sprint_lmeval.generation.fast.kv_cache import KeysValues
from sprint_lmeval.generation.fast.shared_prefill import Cohort, SharedPrefill, agreeing

FEW = 16  # tokens in which a row may differ from the longest one of its round


class GivenPrefill:
    """Prefills rows that have answer tokens, by the passes of `prefill` and behind its common beginning of all prompts.

    Attributes:
        first_own_layer: behind the last layer: what was read is not overwritten, so no row needs a copy.
    """

    def __init__(self, prefill: SharedPrefill) -> None:
        self.prefill, self.passes = prefill, prefill.passes
        self.first_own_layer = prefill.last + 1

    def fits_together(self, cohorts: Sequence[Cohort]) -> bool:
        """Return whether one pass takes the longest row of each cohort."""
        longest = max(len(group.prompt) + len(row.given) for group, rows in cohorts for row in rows)
        return len(cohorts) <= self.prefill.rows_of(longest - len(self.prefill.start), longest)

    def read(self, cohorts: Sequence[Cohort]) -> Iterator[tuple[ActiveRow, KeysValues]]:
        """Read all but the last token of each row; yield the row and its keys and values, which rows may share."""
        read: dict[PromptGroup, list[tuple[list[int], KeysValues]]] = {group: [] for group, _ in cohorts}
        waiting = {group: [ActiveRow.begin(row, group) for row in rows] for group, rows in cohorts}
        while waiting:
            longest = {group: max(rows, key=lambda row: row.count) for group, rows in waiting.items()}
            for row, keys_values in self._read(list(longest.values()), read):
                read[row.group].append((row.tokens[: row.cached], keys_values))
            near = [row for group, rows in waiting.items() for row in rows if _own(row, longest[group]) <= FEW]
            yield from self._read(near, read)
            left = {group: [row for row in rows if _own(row, longest[group]) > FEW] for group, rows in waiting.items()}
            waiting = {group: rows for group, rows in left.items() if rows}

    def _read(
        self, rows: list[ActiveRow], read: dict[PromptGroup, list[tuple[list[int], KeysValues]]]
    ) -> list[tuple[ActiveRow, KeysValues]]:
        """Return rows with keys and values of all but their last token; each starts from the text that shares most."""
        found: list[tuple[ActiveRow, KeysValues]] = []
        missing: list[tuple[ActiveRow, int, KeysValues | None]] = []
        for row in rows:
            shared = [(min(agreeing(row.tokens, text), row.cached), kv) for text, kv in read[row.group]]
            length, keys_values = max(shared, key=lambda pair: pair[0], default=(0, None))
            if length == row.cached:
                found.append((row, keys_values))
            else:
                missing.append((row, length, keys_values))
        while missing:
            tokens = max(row.cached - length for row, length, _ in missing)
            widest = self.prefill.rows_of(tokens, max(row.cached for row, _, _ in missing))
            found += self._pass(missing[:widest])
            missing = missing[widest:]
        return found

    def _pass(self, rows: list[tuple[ActiveRow, int, KeysValues | None]]) -> list[tuple[ActiveRow, KeysValues]]:
        cache = self.passes.cache(len(rows))
        candidates = [row.row.candidate for row, _, _ in rows]
        self.prefill.put_starts(cache, candidates, None)
        for slot, (_, length, keys_values) in enumerate(rows):
            if keys_values is not None:
                cache.put(slot, keys_values, length)
        begun = cache.lengths.tolist()
        texts = [row.tokens[start : row.cached] for (row, _, _), start in zip(rows, begun, strict=True)]
        width = max(map(len, texts))
        self.passes.write(cache, [text + [0] * (width - len(text)) for text in texts], candidates)
        self.prefill.note_memory(cache)
        for (row, _, _), start in zip(rows, begun, strict=True):
            prompt = max(0, len(row.group.prompt) - start)
            self.passes.account.add("prompt", prompt)
            self.passes.account.add("given", row.cached - start - prompt)
        return [(row, cache.take(slot, row.cached)) for slot, (row, _, _) in enumerate(rows)]


def _own(row: ActiveRow, longest: ActiveRow) -> int:
    """Return in how many tokens the row differs from the longest one."""
    return row.count - agreeing(row.new, longest.new)
