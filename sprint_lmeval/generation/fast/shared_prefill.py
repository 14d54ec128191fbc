"""Read prompts, and the part of a leading answer that followers agree with, for many candidates at little cost.

All candidates of a question read the same tokens. Up to the output projection of the first layer that a candidate
prunes, it computes the same as the unpruned model: that trunk is computed once and shared, keys and values included. A
beginning that all prompts have in common (worked examples, a system prompt) is read once per candidate and kept. The
leading answer is read behind the prompt in pieces: as long as a follower would write the same tokens, it has them
from one pass. Rows of several questions share passes; shorter ones are padded on the right, where nothing of theirs is
kept. Where no logits are asked for, a pass ends at the keys and values of the last layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.generation.fast.drafts import Agreement, most_worthwhile
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import ActiveRow, Ends, Question, Trunk, common_start, first_pruned
from sprint_lmeval.generation.fast.kv_cache import Parts, RowCache, bytes_of, copied
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.shared_layers import padded
from sprint_lmeval.generation.rows import Row

LONGEST_PIECE = 128  # tokens of the leading answer per pass; each piece is twice the one before
LEAST_SHARED_START = 16  # tokens from which on a common beginning is kept
READ_TOGETHER, KEPT_STARTS = 8, 4  # of the memory of rows in flight, an eighth for reading, a quarter for beginnings
LEAST_TOGETHER = 16 << 20  # bytes; where an eighth is less

Group = tuple[Question, list[Row]]  # rows of a question that are begun together


class SharedReading:
    """Reads the questions of one call of `generate`.

    Args:
        passes: forward passes of the model.
        choice: of the next tokens.
        ends: where texts end.
        questions: all of them, to see what their prompts and candidates have in common.
    """

    def __init__(self, passes: Passes, choice: TokenChoice, ends: Ends, questions: Sequence[Question]) -> None:
        self.passes, self.choice, self.ends = passes, choice, ends
        self.last = len(passes.layers) - 1
        shared = common_start([q.prompt for q in questions]) if len(questions) > 1 else 0
        self.start = questions[0].prompt[:shared] if shared >= LEAST_SHARED_START else []
        self._layers = sorted({self._layer([row]) for question in questions for row in question.rows})
        self._start_trunk: Trunk | None = None
        self._start_parts: dict[tuple[Candidate, int | None], Parts] = {}
        self._start_bytes = 0
        self._bytes = max(LEAST_TOGETHER, passes.rules.cache_bytes // READ_TOGETHER)
        self._cache = passes.cache(0, self._bytes)
        self._trunk_bytes_per_place = 0
        self.agreement = Agreement()
        self.shared_layers = 0  # of the rows read last

    def read(self, groups: Sequence[Group]) -> Iterator[tuple[ActiveRow, Parts]]:
        """Begin rows of groups that fit together; yield each once it is finished or writes its own text.

        Its keys and values beside it are views: from layer `shared_layers` on they hold until the next row is read.
        """
        layer = self._layer_of(*groups[0])
        rows = [ActiveRow.begin(row, question) for question, group in groups for row in group]
        widest = self._widest(groups)
        for first in range(0, len(rows), widest):
            yield from self._read_together(rows[first : first + widest], layer)
        for question, _ in groups:
            if question.trunk:
                question.trunk.keep(self._layers_of(question))

    def fits_together(self, groups: Sequence[Group]) -> bool:
        """Return whether the groups begin at the same layer and are not too much for one pass."""
        same_layer = len({self._layer_of(*group) for group in groups}) == 1
        return same_layer and sum(len(rows) for _, rows in groups) <= self._widest(groups)

    @property
    def bytes_per_place(self) -> int:
        """Return what a place of one row takes in memory; 0 before anything has been read."""
        return self._cache.bytes_per_place or self._trunk_bytes_per_place

    def _widest(self, groups: Sequence[Group]) -> int:
        """Return how many rows of these groups are read together."""
        places = max(_places(question) for question, _ in groups)
        longest = max(len(question.prompt) for question, _ in groups)
        piece = self._first_piece(sum(len(rows) for _, rows in groups), longest)
        return self._rows_of(longest - len(self.start) + piece, places)

    def _first_piece(self, rows: int, places: int) -> int:
        """Return how many tokens of the leading answer rows read first, behind a prompt of `places` tokens."""
        overhead = self.passes.rules.overhead(rows * places * self.bytes_per_place)
        return max(1, most_worthwhile(rows, self.agreement.chance, overhead, LONGEST_PIECE))

    def _rows_of(self, tokens: int, places: int) -> int:
        """Return how many rows one pass of `tokens` tokens each and their share of the cache allow."""
        rules, place = self.passes.rules, self.bytes_per_place
        fitting = self._bytes // (places * place) if place else rules.pass_tokens
        return max(1, min(rules.pass_tokens // tokens, fitting))

    def _read_together(self, active: list[ActiveRow], layer: int | None) -> Iterator[tuple[ActiveRow, Parts]]:
        cache, entries = self._cache, self.passes.entries
        self.shared_layers = 0 if layer is None else layer + entries.share_heads
        cache.begin_anew(len(active), max(_places(row.question) for row in active))
        texts = {row.question: row.question.prompt + row.question.lead for row in active}
        if layer is not None:
            self._begin_trunks(texts, layer)
        self._begin_prompts(active, layer)
        piece = self._first_piece(len(active), max(len(row.question.prompt) for row in active))
        while active:
            most = min(piece, self.choice.most(len(active)) - 1)
            expected = [row.question.lead[row.count : row.count + most + 1] for row in active]
            guessed = [tokens[:-1] for tokens in expected]  # the last one is not read: the next pass begins with it
            longest = max(map(len, guessed))
            read = cache.lengths[: len(active)].tolist()
            until = [len(row.question.prompt) + row.count + len(g) for row, g in zip(active, guessed, strict=True)]
            chosen = self._run(active, [texts[row.question] for row in active], read, until, layer, longest + 1)
            cache.lengths[: len(active)] = torch.tensor(until)
            staying = []
            for place, row in enumerate(active):
                same = agreeing(chosen[place][: len(guessed[place]) + 1], expected[place])
                row.advance(chosen[place][: same + 1][: len(guessed[place]) + 1], self.ends, known=same)
                if expected[place]:
                    self.agreement.note(same, same < len(expected[place]))
                if same == len(guessed[place]) + 1 and not row.finished:
                    staying.append(place)
                else:
                    yield row, self._parts(place, row)
            active = _compacted(cache, active, staying)
            piece = min(2 * piece, LONGEST_PIECE)

    def _begin_prompts(self, rows: list[ActiveRow], layer: int | None) -> None:
        """Begin the cache's rows with as much of their prompts as needs no logits."""
        ends = [len(row.question.prompt) - 1 for row in rows]
        if self.shared_layers > self.last:  # there are no keys and values but the trunk's
            self._cache.lengths[: len(rows)] = torch.tensor(ends)
            return
        self._put_starts([row.row.candidate for row in rows], layer)
        read, layers = len(self.start), self.last + 1 - (layer or 0)
        if max(ends) <= read:
            return
        one_question = len({row.question for row in rows}) == 1
        if one_question and (ends[0] - read) * len(rows) <= self.passes.rules.free_tokens * layers:
            return  # leaving the last layer out saves less than another pass costs
        self._run(rows, [row.question.prompt for row in rows], [read] * len(rows), ends, layer, 0)
        self._cache.lengths[: len(rows)] = torch.tensor(ends)

    def _run(
        self,
        rows: list[ActiveRow],
        texts: list[list[int]],
        read: list[int],
        until: list[int],
        layer: int | None,
        count: int,
    ) -> list[list[int]]:
        """Read tokens `read` to `until` of each text in one pass; returns what is chosen behind the last `count`."""
        width = max(b - a for a, b in zip(read, until, strict=True))
        tokens = [text[a:b] + [0] * (width - b + a) for text, a, b in zip(texts, read, until, strict=True)]
        with self._beginning(rows, layer, read, until, width):
            if count:
                return self.choice.read(self._cache, tokens, rows, count)
            self.passes.write(self._cache, tokens, [row.row.candidate for row in rows])
        return []

    def _layer(self, rows: Sequence[Row]) -> int:
        return min(self.last, *map(first_pruned, rows))

    def _layers_of(self, question: Question) -> set[int]:
        """Return where the question's rows that wait begin on their own."""
        return {self._layer([row]) for row in question.rows}

    def _layer_of(self, question: Question, rows: Sequence[Row]) -> int | None:
        """Return the layer at which these rows begin on their own; None where a trunk would serve nobody."""
        layer, alone = self._layer(rows), question.trunk is None and len(rows) == 1
        return None if alone or not (layer or self.passes.entries.share_heads) else layer

    def _beginning(
        self, rows: list[ActiveRow], layer: int | None, read: list[int], until: list[int], width: int
    ) -> AbstractContextManager[None]:
        if layer is None:
            return nullcontext()
        trunks = [row.question.trunk for row in rows]
        entries = [trunk.between(layer, a, b) for trunk, a, b in zip(trunks, read, until, strict=True)]
        one = len(set(map(id, trunks))) == 1
        return self.passes.entries.beginning_at(layer, entries[0].rows(len(rows)) if one else padded(entries, width))

    def _parts(self, place: int, row: ActiveRow) -> Parts:
        """Return the row's keys and values: its own layers, and the trunk's below."""
        if row.finished:
            return []
        below = row.question.trunk.parts[: self.shared_layers] if self.shared_layers else []
        return [*below, *self._cache.take(place, row.places)[self.shared_layers :]]

    # ---- what is read once ----

    def _begin_trunks(self, texts: dict[Question, list[int]], layer: int) -> None:
        """Compute the trunks of questions that have none of their whole text so far, together, as far as needed."""
        missing = [q for q, text in texts.items() if q.trunk is None or q.trunk.until < len(text)]
        if not missing:
            return
        before = self._shared_trunk() if self.start else None
        layers = sorted({layer}.union(*map(self._layers_of, missing)))
        trunks = self._trunks([texts[q] for q in missing], layers, before)
        for question, trunk in zip(missing, trunks, strict=True):
            question.trunk = trunk

    def _shared_trunk(self) -> Trunk:
        if self._start_trunk is None:
            (self._start_trunk,) = self._trunks([self.start], self._layers, None)
        return self._start_trunk

    def _trunks(self, texts: list[list[int]], layers: list[int], before: Trunk | None) -> list[Trunk]:
        cache, start = self.passes.cache(len(texts)), before.until if before else 0
        longest = max(map(len, texts))
        if before:
            above = self.last - layers[-1]
            for place in range(len(texts)):
                cache.put(place, before.parts[: layers[-1] + 1] + [None] * above, start)
        tokens = [text[start:] + [0] * (longest - len(text)) for text in texts]
        entries = self.passes.enter(cache, tokens, layers)
        self._trunk_bytes_per_place = cache.bytes_per_place
        trunks = [Trunk({}, copied(cache.take(n, len(text))), start, len(text)) for n, text in enumerate(texts)]
        for layer in layers:
            entry = entries.pop(layer)
            for place, trunk in enumerate(trunks):
                trunk.entries[layer] = entry.row(place, trunk.until - start)
        return trunks

    def _put_starts(self, candidates: Sequence[Candidate], layer: int | None) -> None:
        """Begin the cache's rows with the common beginning of all prompts, each under its candidate."""
        if not self.start:
            return
        known = {c: self._start_parts.get((c, layer)) for c in candidates}
        missing = [candidate for candidate, parts in known.items() if parts is None]
        widest = self._rows_of(len(self.start), len(self.start))
        for first in range(0, len(missing), widest):
            known |= self._read_starts(missing[first : first + widest], layer)
        for place, candidate in enumerate(candidates):
            self._cache.put(place, known[candidate], len(self.start))

    def _read_starts(self, candidates: list[Candidate], layer: int | None) -> dict[Candidate, Parts]:
        cache, length, beginning = self.passes.cache(len(candidates)), len(self.start), nullcontext()
        if layer is not None:
            entry = self._shared_trunk().between(layer, 0, length)
            beginning = self.passes.entries.beginning_at(layer, entry.rows(len(candidates)))
        with beginning:
            self.passes.write(cache, [self.start] * len(candidates), candidates)
        read = {candidate: copied(cache.take(place, length)) for place, candidate in enumerate(candidates)}
        for candidate, parts in read.items():  # no eviction: in turns, none would be met again
            if self._start_bytes + bytes_of(parts) <= self.passes.rules.cache_bytes // KEPT_STARTS:
                self._start_parts[candidate, layer] = parts
                self._start_bytes += bytes_of(parts)
        return read


def _places(question: Question) -> int:
    """Return how many places a row of the question has while it is read."""
    return len(question.prompt) + len(question.lead) + 1


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
