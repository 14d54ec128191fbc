"""Prefill: reads prompts, and the reference answer behind them, for many candidates at little cost.

All candidates of a prompt read the same tokens. Layers below the first pruned one are computed once for all of them
(`shared_layers.py`). A beginning that all prompts share (worked examples, a system prompt) is read once per candidate
and kept. The reference answer is read behind the prompt, piece by piece: each row takes from one pass all tokens in
which it agrees with the reference answer. Rows of several prompts share passes; shorter ones are padded on the right,
and nothing of the padding is kept. Where no logits are needed, a pass ends at the keys and values of the last layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.generation.fast.drafts import ReferenceAgreement, most_worthwhile
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import ActiveRow, Ends, PromptGroup, common_start, first_pruned
from sprint_lmeval.generation.fast.kv_cache import KeysValues, RowCache, bytes_of, copied
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.shared_layers import SharedLayers, padded
from sprint_lmeval.generation.rows import Row

LONGEST_PIECE = 128  # tokens of the reference answer per pass; each piece is twice the one before
LEAST_SHARED_START = 16  # tokens from which on a common beginning is kept
PREFILL_SHARE, KEPT_STARTS_SHARE = 8, 4  # of the memory of rows in flight: an eighth for prefill, a quarter for starts
LEAST_PREFILL_BYTES = 16 << 20  # where an eighth is less

Cohort = tuple[PromptGroup, list[Row]]  # rows of one prompt that are prefilled together


class SharedPrefill:
    """Prefills the rows of one call of `generate`.

    Args:
        passes: forward passes of the model.
        choice: of the next tokens.
        ends: where texts end.
        groups: all prompts with their rows, to see what they have in common.
    """

    def __init__(self, passes: Passes, choice: TokenChoice, ends: Ends, groups: Sequence[PromptGroup]) -> None:
        self.passes, self.choice, self.ends = passes, choice, ends
        self.last = len(passes.layers) - 1
        shared = common_start([group.prompt for group in groups]) if len(groups) > 1 else 0
        self.start = groups[0].prompt[:shared] if shared >= LEAST_SHARED_START else []
        self._layers = sorted({self._layer([row]) for group in groups for row in group.remaining})
        self._start_layers: SharedLayers | None = None
        self._starts: dict[tuple[Candidate, int | None], KeysValues] = {}
        self._starts_bytes = 0
        self._bytes = max(LEAST_PREFILL_BYTES, passes.limits.cache_bytes // PREFILL_SHARE)
        self._cache = passes.cache(0, self._bytes)
        self._other_bytes_per_position = 0
        self.agreement = ReferenceAgreement()
        self.first_own_layer = 0  # of the rows prefilled last: the layers below are shared

    def read(self, cohorts: Sequence[Cohort]) -> Iterator[tuple[ActiveRow, KeysValues]]:
        """Prefill cohorts that fit together; yield each row once it is finished or leaves the reference answer.

        Its keys and values are views: from layer `first_own_layer` on they hold until the next row is asked for.
        """
        layer = self._layer_of(*cohorts[0])
        rows = [ActiveRow.begin(row, group) for group, cohort in cohorts for row in cohort]
        widest = self._widest(cohorts)
        for first in range(0, len(rows), widest):
            yield from self._read_together(rows[first : first + widest], layer)
        for group, _ in cohorts:
            if group.shared_layers:
                group.shared_layers.keep(self._layers_of(group))

    def fits_together(self, cohorts: Sequence[Cohort]) -> bool:
        """Return whether the cohorts start at the same layer and are not too much for one pass."""
        same_layer = len({self._layer_of(*cohort) for cohort in cohorts}) == 1
        return same_layer and sum(len(rows) for _, rows in cohorts) <= self._widest(cohorts)

    @property
    def bytes_per_position(self) -> int:
        """Return the memory of one token of one row; 0 before anything has been read."""
        return self._cache.bytes_per_position or self._other_bytes_per_position

    def note_memory(self, cache: RowCache) -> None:
        """Learn from a cache that has been written how much memory a token takes."""
        self._other_bytes_per_position = cache.bytes_per_position

    def _widest(self, cohorts: Sequence[Cohort]) -> int:
        """Return how many rows of these cohorts one pass takes."""
        positions = max(_positions(group) for group, _ in cohorts)
        longest = max(len(group.prompt) for group, _ in cohorts)
        piece = self._first_piece(sum(len(rows) for _, rows in cohorts))
        return self.rows_of(longest - len(self.start) + piece, positions)

    def _first_piece(self, rows: int) -> int:
        """Return how many tokens of the reference answer the first pass reads."""
        free = self.passes.limits.free_tokens
        return max(1, most_worthwhile(rows, self.agreement.acceptance, free, LONGEST_PIECE))

    def rows_of(self, tokens: int, positions: int) -> int:
        """Return how many rows of `tokens` tokens one pass takes, each with `positions` positions in the cache."""
        limits, size = self.passes.limits, self.bytes_per_position
        fitting = self._bytes // (positions * size) if size else limits.pass_tokens
        return max(1, min(limits.pass_tokens // tokens, fitting))

    def _read_together(self, active: list[ActiveRow], layer: int | None) -> Iterator[tuple[ActiveRow, KeysValues]]:
        cache, inputs = self._cache, self.passes.inputs
        self.first_own_layer = 0 if layer is None else layer + inputs.share_heads
        cache.begin_anew(len(active), max(_positions(row.group) for row in active))
        texts = {row.group: row.group.prompt + row.group.reference for row in active}
        if layer is not None:
            self._share_layers(texts, layer)
        self._begin_prompts(active, layer)
        piece = self._first_piece(len(active))
        while active:
            most = min(piece, self.choice.most(len(active)) - 1)
            expected = [row.group.reference[row.count : row.count + most + 1] for row in active]
            drafts = [tokens[:-1] for tokens in expected]  # the last one is not read: the next pass begins with it
            longest = max(map(len, drafts))
            read = cache.lengths[: len(active)].tolist()
            until = [len(row.group.prompt) + row.count + len(d) for row, d in zip(active, drafts, strict=True)]
            chosen = self._run(active, [texts[row.group] for row in active], read, until, layer, longest + 1)
            cache.lengths[: len(active)] = torch.tensor(until)
            self._account_pieces(active, drafts, expected, chosen, read)
            staying = []
            for slot, row in enumerate(active):
                same = agreeing(chosen[slot][: len(drafts[slot]) + 1], expected[slot])
                row.advance(chosen[slot][: same + 1][: len(drafts[slot]) + 1], self.ends, known=same)
                if expected[slot]:
                    self.agreement.note(same, same < len(expected[slot]))
                if same == len(drafts[slot]) + 1 and not row.finished:
                    staying.append(slot)
                else:
                    yield row, self._keys_values(slot, row)
            active = _compacted(cache, active, staying)
            piece = min(2 * piece, LONGEST_PIECE)

    def _account_pieces(self, rows: list[ActiveRow], drafts, expected, chosen, read: list[int]) -> None:
        """Say what a pass over prompts' ends and pieces of reference answers was for."""
        account = self.passes.account
        for row, draft, other, own, begun in zip(rows, drafts, expected, chosen, read, strict=True):
            kept = min(len(draft), agreeing(own, other))
            prompt = max(0, len(row.group.prompt) - begun)
            account.add("prompt", prompt)
            account.add("reference_kept", kept + (not prompt))  # behind the prompt, the last token of the piece before
            account.add("reference_rejected", len(draft) - kept)

    def _begin_prompts(self, rows: list[ActiveRow], layer: int | None) -> None:
        """Fill the cache's slots with as much of the prompts as needs no logits."""
        ends = [len(row.group.prompt) - 1 for row in rows]
        if self.first_own_layer > self.last:  # all keys and values are those of the shared layers
            self._cache.lengths[: len(rows)] = torch.tensor(ends)
            return
        self.put_starts(self._cache, [row.row.candidate for row in rows], layer)
        read, layers = len(self.start), self.last + 1 - (layer or 0)
        if max(ends) <= read:
            return
        one_prompt = len({row.group for row in rows}) == 1
        if one_prompt and (ends[0] - read) * len(rows) <= self.passes.limits.free_tokens * layers:
            return  # leaving the last layer out saves less than another pass costs
        self._run(rows, [row.group.prompt for row in rows], [read] * len(rows), ends, layer, 0)
        self.passes.account.add("prompt", sum(ends) - read * len(rows))
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
        with self._starting(rows, layer, read, until, width):
            if count:
                return self.choice.read(self._cache, tokens, rows, count)
            self.passes.write(self._cache, tokens, [row.row.candidate for row in rows])
        return []

    def _layer(self, rows: Sequence[Row]) -> int:
        return min(self.last, *map(first_pruned, rows))

    def _layers_of(self, group: PromptGroup) -> set[int]:
        """Return the layers at which the group's remaining rows start."""
        return {self._layer([row]) for row in group.remaining}

    def _layer_of(self, group: PromptGroup, rows: Sequence[Row]) -> int | None:
        """Return the layer at which these rows start; None where no other row would share the layers below."""
        layer, alone = self._layer(rows), group.shared_layers is None and len(rows) == 1
        return None if alone or not (layer or self.passes.inputs.share_heads) else layer

    def _starting(
        self, rows: list[ActiveRow], layer: int | None, read: list[int], until: list[int], width: int
    ) -> AbstractContextManager[None]:
        if layer is None:
            return nullcontext()
        shared = [row.group.shared_layers for row in rows]
        inputs = [layers.between(layer, a, b) for layers, a, b in zip(shared, read, until, strict=True)]
        one = len(set(map(id, shared))) == 1
        return self.passes.inputs.starting_at(layer, inputs[0].rows(len(rows)) if one else padded(inputs, width))

    def _keys_values(self, slot: int, row: ActiveRow) -> KeysValues:
        """Return the row's keys and values: of the shared layers, and of its own above them."""
        if row.finished:
            return []
        below = row.group.shared_layers.keys_values[: self.first_own_layer] if self.first_own_layer else []
        return [*below, *self._cache.take(slot, row.cached)[self.first_own_layer :]]

    # ---- what is computed once ----

    def _share_layers(self, texts: dict[PromptGroup, list[int]], layer: int) -> None:
        """Compute the lower layers of groups whose whole text so far they do not cover, as far up as needed."""
        missing = [g for g, text in texts.items() if g.shared_layers is None or g.shared_layers.until < len(text)]
        if not missing:
            return
        before = self._layers_of_start() if self.start else None
        numbers = sorted({layer}.union(*map(self._layers_of, missing)))
        computed = self._computed([texts[group] for group in missing], numbers, before)
        for group, layers in zip(missing, computed, strict=True):
            group.shared_layers = layers
            prompt = len(group.prompt) - layers.start
            self.passes.account.add("prompt", prompt)
            self.passes.account.add("reference_shared", layers.until - layers.start - prompt)

    def _layers_of_start(self) -> SharedLayers:
        if self._start_layers is None:
            (self._start_layers,) = self._computed([self.start], self._layers, None)
            self.passes.account.add("prompt", len(self.start))
        return self._start_layers

    def _computed(self, texts: list[list[int]], numbers: list[int], before: SharedLayers | None) -> list[SharedLayers]:
        """Read texts unpruned up to the last of the layers `numbers`; behind `before`, where that is given."""
        cache, start = self.passes.cache(len(texts)), before.until if before else 0
        longest = max(map(len, texts))
        if before:
            above = self.last - numbers[-1]
            for slot in range(len(texts)):
                cache.put(slot, before.keys_values[: numbers[-1] + 1] + [None] * above, start)
        tokens = [text[start:] + [0] * (longest - len(text)) for text in texts]
        inputs = self.passes.enter(cache, tokens, numbers)
        self.note_memory(cache)
        computed = [
            SharedLayers({}, copied(cache.take(n, len(text))), start, len(text)) for n, text in enumerate(texts)
        ]
        for number in numbers:
            of_layer = inputs.pop(number)
            for index, layers in enumerate(computed):
                layers.inputs[number] = of_layer.row(index, layers.until - start)
        return computed

    def put_starts(self, cache: RowCache, candidates: Sequence[Candidate], layer: int | None) -> None:
        """Fill the cache's slots with the common beginning of all prompts, each under its candidate."""
        if not self.start:
            return
        known = {c: self._starts.get((c, layer)) for c in candidates}
        missing = [candidate for candidate, start in known.items() if start is None]
        widest = self.rows_of(len(self.start), len(self.start))
        for first in range(0, len(missing), widest):
            known |= self._read_starts(missing[first : first + widest], layer)
        for slot, candidate in enumerate(candidates):
            cache.put(slot, known[candidate], len(self.start))

    def _read_starts(self, candidates: list[Candidate], layer: int | None) -> dict[Candidate, KeysValues]:
        cache, length, starting = self.passes.cache(len(candidates)), len(self.start), nullcontext()
        if layer is not None:
            given = self._layers_of_start().between(layer, 0, length)
            starting = self.passes.inputs.starting_at(layer, given.rows(len(candidates)))
        with starting:
            self.passes.write(cache, [self.start] * len(candidates), candidates)
        self.passes.account.add("prompt", length * len(candidates))
        read = {candidate: copied(cache.take(slot, length)) for slot, candidate in enumerate(candidates)}
        for candidate, start in read.items():  # no eviction: candidates come in turns, each would be evicted before use
            if self._starts_bytes + bytes_of(start) <= self.passes.limits.cache_bytes // KEPT_STARTS_SHARE:
                self._starts[candidate, layer] = start
                self._starts_bytes += bytes_of(start)
        return read


def _positions(group: PromptGroup) -> int:
    """Return how many positions a row of the group needs while it is prefilled."""
    return len(group.prompt) + len(group.reference) + 1


def agreeing(chosen: Sequence[int], expected: Sequence[int]) -> int:
    """Return how many first tokens are the same."""
    pairs = enumerate(zip(chosen, expected, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(chosen), len(expected)))


def _compacted(cache: RowCache, active: list[ActiveRow], staying: list[int]) -> list[ActiveRow]:
    """Move the rows that stay to the first slots."""
    for target, source in enumerate(staying):
        if target != source:
            cache.move(source, target)
    return [active[slot] for slot in staying]
