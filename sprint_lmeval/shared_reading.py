"""Read prompts, and the part of a leading answer that followers agree with, for many candidates at little cost.

All candidates of a question read the same tokens. Below the first layer that a candidate prunes, they compute the same
as the unpruned model: that trunk is computed once and shared. A beginning that all prompts have in common (worked
examples, a system prompt) is read once per candidate and kept. The leading answer is read behind the prompt in pieces:
as long as a follower would have written the same tokens, it has them from one pass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.passes import Passes
from sprint_lmeval.question_rows import ActiveRow, Ends, Question, Trunk, common_start, first_pruned
from sprint_lmeval.row_cache import Parts, RowCache
from sprint_lmeval.rows import Row

FIRST_PIECE, LONGEST_PIECE = 16, 128  # tokens of the leading answer per pass; each piece is twice the one before
LEAST_SHARED_START = 16  # tokens from which on a common beginning is kept
KEPT_START_BYTES = 256 << 20
PASS_TOKENS = 4096  # most tokens in one pass, which bounds its intermediate values

# (logits [rows, n, vocabulary] of the rows' next tokens, the rows, per row n - 1 tokens that may come) -> [rows, n]
Choose = Callable[[torch.Tensor, list[ActiveRow], list[list[int]]], list[list[int]]]


class SharedReading:
    """Reads the questions of one call of `generate`.

    Args:
        passes: forward passes of the model.
        choose: picks tokens from logits.
        ends: where texts end.
        questions: all of them, to see what their prompts and candidates have in common.
    """

    def __init__(self, passes: Passes, choose: Choose, ends: Ends, questions: Sequence[Question]) -> None:
        self.passes, self.choose, self.ends = passes, choose, ends
        self.last = len(passes.layers) - 1
        shared = common_start([q.prompt for q in questions]) if len(questions) > 1 else 0
        self.start = questions[0].prompt[:shared] if shared >= LEAST_SHARED_START else []
        self._layers = sorted({self._layer([row]) for question in questions for row in question.rows} - {0})
        self._start_trunk: Trunk | None = None
        self._start_parts: OrderedDict[tuple[Candidate, int], Parts] = OrderedDict()
        self._start_bytes = 0

    def read(self, question: Question, rows: Sequence[Row]) -> Iterator[tuple[ActiveRow, Parts]]:
        """Begin rows of a question; yield each once it is finished or writes its own text, with its cache."""
        widest = max(1, PASS_TOKENS // (len(question.prompt) - len(self.start) + FIRST_PIECE))
        for first in range(0, len(rows), widest):
            yield from self._read_together(question, rows[first : first + widest])

    def _read_together(self, question: Question, rows: Sequence[Row]) -> Iterator[tuple[ActiveRow, Parts]]:
        layer = 0 if question.trunk is None and len(rows) == 1 else self._layer(rows)
        trunk = self._question_trunk(question) if layer else None
        cache = self._cache(rows, layer)
        active = [ActiveRow.begin(row, question) for row in rows]
        lead = question.lead
        tokens, agreed, read, piece = question.prompt + lead, 0, len(self.start), FIRST_PIECE
        while active:
            more = max(0, min(piece, self.passes.most_logits(len(active)) - 1, len(lead) - agreed - 1))
            until = len(question.prompt) + agreed + more
            with self._beginning(trunk, layer, read, until, len(active)):
                logits = self.passes.run(
                    cache, [tokens[read:until]] * len(active), [a.row.candidate for a in active], more + 1
                )
            expected = lead[agreed : agreed + more + 1]
            chosen = self.choose(logits, active, [expected[:more]] * len(active))
            cache.lengths[: len(active)] = until
            staying = []
            for place, (row, tokens_chosen) in enumerate(zip(active, chosen, strict=True)):
                same = agreeing(tokens_chosen, expected)
                row.advance(tokens_chosen[: same + 1], self.ends)
                if same == more + 1 and not row.finished:
                    staying.append(place)
                else:
                    yield row, self._parts(cache, place, row, layer, trunk)
            active = _compacted(cache, active, staying)
            agreed, read, piece = agreed + more + 1, until, min(2 * piece, LONGEST_PIECE)

    def _layer(self, rows: Sequence[Row]) -> int:
        return min(self.last, *map(first_pruned, rows))

    def _beginning(
        self, trunk: Trunk | None, layer: int, read: int, until: int, rows: int
    ) -> AbstractContextManager[None]:
        if trunk is None:
            return nullcontext()
        hidden = trunk.hidden[layer][:, read - trunk.start : until - trunk.start]  # [1, tokens, width]
        return self.passes.beginning_at(layer, hidden.expand(rows, -1, -1))

    def _parts(self, cache: RowCache, place: int, row: ActiveRow, layer: int, trunk: Trunk | None) -> Parts:
        """Return the row's cache: its own layers, and the trunk's below."""
        if row.finished:
            return []
        own = cache.take(place, row.places)
        return [*(trunk.parts[:layer] if trunk else []), *own[layer:]]

    # ---- what is read once ----

    def _question_trunk(self, question: Question) -> Trunk:
        tokens = question.prompt + question.lead
        if question.trunk is None or question.trunk.until < len(tokens):
            question.trunk = self._trunk(tokens, self._shared_trunk() if self.start else None)
        return question.trunk

    def _shared_trunk(self) -> Trunk:
        if self._start_trunk is None:
            self._start_trunk = self._trunk(self.start, None)
        return self._start_trunk

    def _trunk(self, tokens: list[int], before: Trunk | None) -> Trunk:
        cache, start = self.passes.cache(1), before.until if before else 0
        if before:
            cache.put(0, before.parts, start)
        with self.passes.capturing(self._layers) as hidden:
            self.passes.run(cache, [tokens[start:]], [BASE], 1)
        return Trunk(hidden, cache.take(0, len(tokens)), start, len(tokens))

    def _cache(self, rows: Sequence[Row], layer: int) -> RowCache:
        """Return a cache whose rows have the common beginning of all prompts, each under its candidate."""
        cache = self.passes.cache(len(rows))
        if self.start:
            kept = self._starts([row.candidate for row in rows], layer)
            for place, row in enumerate(rows):
                cache.put(place, kept[row.candidate], len(self.start))
        return cache

    def _starts(self, candidates: Sequence[Candidate], layer: int) -> dict[Candidate, Parts]:
        missing = [c for c in dict.fromkeys(candidates) if (c, layer) not in self._start_parts]
        widest = max(1, PASS_TOKENS // len(self.start))
        found = {c: self._start_parts[c, layer] for c in candidates if c not in missing}
        for first in range(0, len(missing), widest):
            found |= self._read_start(missing[first : first + widest], layer)
        return found

    def _read_start(self, candidates: list[Candidate], layer: int) -> dict[Candidate, Parts]:
        trunk = self._shared_trunk() if layer else None
        cache = self.passes.cache(len(candidates))
        with self._beginning(trunk, layer, 0, len(self.start), len(candidates)):
            self.passes.run(cache, [self.start] * len(candidates), candidates, 1)
        read = {candidate: cache.take(place, len(self.start)) for place, candidate in enumerate(candidates)}
        for candidate, parts in read.items():
            self._start_parts[candidate, layer] = parts
            self._start_bytes += _bytes_of(parts)
        while self._start_bytes > KEPT_START_BYTES:
            self._start_bytes -= _bytes_of(self._start_parts.popitem(last=False)[1])
        return read


def agreeing(chosen: Sequence[int], expected: Sequence[int]) -> int:
    """Return how many first tokens are the same."""
    pairs = enumerate(zip(chosen, expected, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(chosen), len(expected)))


def _compacted(cache: RowCache, active: list[ActiveRow], staying: list[int]) -> list[ActiveRow]:
    """Keep some rows of a batch, in the first places of its cache."""
    for target, source in enumerate(staying):
        if target != source:
            cache.move(source, target)
    return [active[place] for place in staying]


def _bytes_of(parts: Parts) -> int:
    return sum(t.numel() * t.element_size() for part in parts if part is not None for t in part)
