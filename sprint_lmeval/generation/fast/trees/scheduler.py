"""Decodes answers to one prompt that share beginnings (branches): as a tree, in one slot of the cache.

What the answers of one prompt and candidate share is computed once and kept once, and one pass reads the next tokens
and drafts of all of them. So their keys and values are read once for the prompt, not once for each answer, and a branch
of an answer that is in the tree begins with nothing to read. The mask shows each token its own path only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from sprint_lmeval.generation.fast.drafts import LONGEST_DRAFT, DraftRecord, most_worthwhile, worthwhile
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import Ends
from sprint_lmeval.generation.fast.lm_head import steps_of
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.shared_prefill import agreeing
from sprint_lmeval.generation.fast.trees.slots import TreeSlots
from sprint_lmeval.generation.fast.trees.tree import CELLS_OF_A_ROW, Tree, TreeRow
from sprint_lmeval.generation.rows import Response, Row, Settings, Step, response_of


class Draft(NamedTuple):
    """What a row reads next: its unread tokens, and tokens to verify with the n-gram length that each comes from."""

    known: list[int]
    tokens: list[int]
    lengths: list[int]


class Segment(NamedTuple):
    """What a pass reads of one row: at `first` of the line of tree `index` its `known` tokens, then a draft."""

    index: int
    row: TreeRow
    first: int
    known: list[int]
    draft: list[int]
    lengths: list[int]

    @property
    def last(self) -> int:
        return self.first + len(self.known) + len(self.draft)

    @property
    def chooses(self) -> int:
        """Behind which token of the line the row's next token is chosen."""
        return self.first + len(self.known) - 1


class TreeScheduler:
    """Decodes rows that share beginnings, at most `most_trees` prompts at a time, in a cache of the device's size."""

    def __init__(
        self,
        passes: Passes,
        tokenizer: PreTrainedTokenizerBase,
        settings: Settings,
        ends: Ends,
        prompts: dict[str, list[int]],
        rows: Sequence[Row],
        most_trees: int,
        choice: TokenChoice,
        top: Callable[[Row], int],
    ) -> None:
        self.passes, self.tokenizer, self.settings, self.ends = passes, tokenizer, settings, ends
        self.choice, self.top = choice, top
        self.slots = TreeSlots(passes, choice, ends, prompts, rows, most_trees, settings.max_new_tokens)
        self.record = DraftRecord()

    def add(self, rows: Sequence[Row]) -> None:
        """Decode these rows, too."""
        self.slots.add(rows)

    def run(self) -> Iterator[tuple[Row, Response]]:
        """Decode everything; yield each row as it is finished. Rows may be added meanwhile."""
        while True:
            self.slots.take_out()
            self.slots.admit()
            if not self.slots.trees:
                return
            for tree, row in self._step():
                tree.leave(row)
                yield row.row, self._response(row)

    def _response(self, row: TreeRow) -> Response:
        given = len(row.row.given)
        found = response_of(self.tokenizer, row.new, row.stopped, self.ends.ends, self.settings, given)
        return replace(found, steps=tuple(row.steps[: found.new_tokens]))

    # ---- one pass ----

    def _step(self) -> list[tuple[Tree, TreeRow]]:
        """Advance every live row by at least one token; returns those that are finished."""
        self.slots.order()
        trees = self.slots.trees
        for tree in trees:
            tree.begin_rows(self.slots.cache.positions - tree.used - CELLS_OF_A_ROW * len(tree.live))
        drafts = self._drafts()
        widths = {tree: sum(len(drafts[row].known) + len(drafts[row].tokens) for row in tree.live) for tree in trees}
        self.slots.make_room(max(tree.size + widths[tree] for tree in trees))
        ordered = sorted(trees, key=lambda tree: widths[tree])  # stable: neighbours stay neighbours
        for count in partition([widths[tree] for tree in ordered], self.passes.limits.free_tokens):
            while count:
                most = next((n for n in range(count, 1, -1) if self.choice.most(n) >= widths[ordered[n - 1]]), 1)
                self._pass(ordered[:most], drafts, widths[ordered[most - 1]])
                ordered, count = ordered[most:], count - most
        self.slots.prefill.note_memory(self.slots.cache)
        return [(tree, row) for tree in trees for row in list(tree.live) if row.finished]

    def _pass(self, trees: list[Tree], drafts: dict[TreeRow, Draft], width: int) -> None:
        """Read `width` tokens of each tree."""
        segments: list[Segment] = []
        lines = [self._line(index, tree, drafts, width, segments) for index, tree in enumerate(trees)]
        cells = [tree.take_cells(width) for tree in trees]
        self._plan(trees, segments, cells)
        states = self.choice.states(self.slots.cache, lines, [tree.candidate for tree in trees], width)
        self._advance(trees, segments, cells, states)

    def _drafts(self) -> dict[TreeRow, Draft]:
        """Return what each live row reads next: its unread tokens, and a draft where drafts are worth a wider pass."""
        rows, acceptance = self.slots.rows, self.record.acceptance()
        overhead = self.passes.limits.free_tokens
        longest = most_worthwhile(len(rows), max(acceptance.values()), overhead, LONGEST_DRAFT)
        if not (longest and self.choice.drafts):
            return {row: Draft(row.unread, [], []) for row in rows}
        found = [self._draft(row, longest, acceptance) for row in rows]
        count = worthwhile([lengths for _, lengths in found], acceptance, overhead)
        return {row: Draft(row.unread, *(of[:count] for of in draft)) for row, draft in zip(rows, found, strict=True)}

    def _draft(self, row: TreeRow, longest: int, acceptance: dict[int, float]) -> tuple[list[int], list[int]]:
        longest = min(longest, self.settings.max_new_tokens - row.count - 1)
        return row.group.ngrams.draft(row.written, longest, acceptance)

    def _line(self, index: int, tree: Tree, drafts: dict[TreeRow, Draft], width: int, segments: list) -> list[int]:
        """Return a tree's tokens of a pass; what would be padding is drafts."""
        line: list[int] = []
        spare = width - sum(map(len, (of for row in tree.live for of in drafts[row][:2])))
        acceptance = self.record.acceptance() if spare and self.choice.drafts else {}
        for left, row in zip(range(len(tree.live), 0, -1), tree.live, strict=True):
            known, tokens, lengths = drafts[row]
            if acceptance and (more := -(-spare // left)):
                longer = self._draft(row, min(LONGEST_DRAFT, len(tokens) + more), acceptance)
                spare -= len(longer[0]) - len(tokens)
                tokens, lengths = longer
            segments.append(Segment(index, row, len(line), known, tokens, lengths))
            line += [*known, *tokens]
        return line + [0] * (width - len(line))

    def _plan(self, trees: list[Tree], segments: list[Segment], cells: list[list[int]]) -> None:
        """Tell the cache where the tokens are written, what their positions are, and what they see."""
        width = len(cells[0])
        visible = np.zeros((len(trees), width, max(tree.size for tree in trees)), dtype=bool)
        positions, owners = np.zeros((len(trees), width), dtype=np.int64), np.full((len(trees), width), -1)
        for number, segment in enumerate(segments):
            index, row, first, last = segment.index, segment.row, segment.first, segment.last
            visible[index, first:last, row.path] = True
            owners[index, first:last] = number
            positions[index, first:last] = np.arange(last - first) + (trees[index].stem + len(row.path))
        earlier = np.tri(width, dtype=bool) & (owners[:, :, None] == owners[:, None])
        for index, tree in enumerate(trees):
            visible[index, :, : tree.stem] = True
            visible[index][:, cells[index]] = earlier[index]
        slots = [self.slots.trees.index(tree) for tree in trees]
        self.slots.cache.plan(slots, torch.tensor(cells), torch.from_numpy(positions), torch.from_numpy(visible))

    def _advance(
        self, trees: list[Tree], segments: list[Segment], cells: list[list[int]], states: torch.Tensor
    ) -> None:
        """Let each row write what it chooses behind its draft, and the tree keep what was read of it."""
        asked: list[tuple[Segment, list[int]]] = []
        ends = [0] * len(trees)
        for segment, chosen in zip(segments, self._chosen(segments, states), strict=True):
            tree, row, known = trees[segment.index], segment.row, len(segment.known)
            same = agreeing(chosen, segment.draft)
            self._account(known, len(segment.draft), same)
            self.record.note(segment.lengths, same)
            if self.top(row.row):
                asked.append((segment, chosen[: same + 1]))
            own = cells[segment.index][segment.first : segment.last]
            tree.keep(row, [*segment.known, *segment.draft[:same]], own[: known + same])
            tree.free(own[known + same :])
            row.advance(chosen[: same + 1], self.ends)
            ends[segment.index] = segment.last
        for index, tree in enumerate(trees):
            tree.free(cells[index][ends[index] :])
        self._note_steps(asked, states)

    def _chosen(self, segments: list[Segment], states: torch.Tensor) -> list[list[int]]:
        """Return what each row chooses behind its last known token and behind each token of its draft."""
        if not self.choice.drafts:
            indices = [s.index for s in segments], [s.last - 1 for s in segments]
            return self.choice.chosen(states[indices][:, None], [s.row for s in segments], [[] for _ in segments])
        best = self.choice.chosen(states, [], [])
        return [best[s.index][s.chooses : s.last] for s in segments]

    def _note_steps(self, asked: list[tuple[Segment, list[int]]], states: torch.Tensor) -> None:
        if not asked:
            return
        places = [(s.index, s.chooses + i) for s, tokens in asked for i in range(len(tokens))]
        tokens = [token for _, of_row in asked for token in of_row]
        top, most = max(self.top(s.row.row) for s, _ in asked), self.passes.most_logits(1)
        found: list[Step] = []
        for start in range(0, len(tokens), most):  # whole logits take more memory than everything else
            part = tuple(map(list, zip(*places[start : start + most], strict=True)))
            found += steps_of(self.choice.logits(states[part]), tokens[start : start + most], top)
        steps = iter(found)
        for segment, of_row in asked:
            segment.row.steps += [next(steps) for _ in of_row]

    def _account(self, known: int, drafted: int, accepted: int) -> None:
        account = self.passes.account
        account.add("given", known - 1)
        account.add("single", 1)
        account.add("draft_accepted", accepted)
        account.add("draft_rejected", drafted - accepted)


def partition(widths: Sequence[int], overhead: float) -> list[int]:
    """Return how many trees each pass takes, so that passes and their padding cost least.

    Args:
        widths: tokens to read of each tree, in ascending order; a pass reads as many of each tree as of its last.
        overhead: of a pass, in tokens.
    """
    last = [index for index, width in enumerate(widths) if widths[index + 1 : index + 2] != [width]]
    best: dict[int, tuple[float, list[int]]] = {-1: (0.0, [])}  # index of the last tree -> cost, sizes of the passes
    for end in last:
        best[end] = min(
            (cost + overhead + (end - before) * widths[end], [*sizes, end - before])
            for before, (cost, sizes) in best.items()
        )
    return best[len(widths) - 1][1]
