"""Which prompts are in flight where answers are decoded as trees: each tree has a slot of the cache.

In: rows, tree by tree. Out: trees whose prompts are read, in slots with room for what a pass writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import Ends, PromptGroup
from sprint_lmeval.generation.fast.kv_cache import copied, rounded_up
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.shared_prefill import SharedPrefill
from sprint_lmeval.generation.fast.trees.tree import Tree, TreeRow
from sprint_lmeval.generation.rows import Row

ANSWERS_OF_A_TREE = 2  # of the longest kind, that there is room for where a tree begins


class TreeSlots:
    """At most `most_trees` trees in a cache of the device's size.

    Args:
        passes: forward passes of the model.
        choice: of the next tokens.
        ends: where texts end.
        prompts: each prompt's token ids.
        rows: the first ones; they show what the prompts have in common.
        most_trees: that may be in flight.
        max_new_tokens: of a row.

    Attributes:
        waiting: prompts that have not begun.
        trees: in flight; the index in the list is the slot in the cache.
        cache: their keys and values.
    """

    def __init__(
        self,
        passes: Passes,
        choice: TokenChoice,
        ends: Ends,
        prompts: dict[str, list[int]],
        rows: Sequence[Row],
        most_trees: int,
        max_new_tokens: int,
    ) -> None:
        self.passes, self.prompts, self.most_trees, self.max_new_tokens = passes, prompts, most_trees, max_new_tokens
        self.waiting: deque[Tree] = deque()
        self.trees: list[Tree] = []
        self._known: dict[tuple[str, Candidate], Tree] = {}
        self.add(rows)
        self.prefill = SharedPrefill(passes, choice, ends, [tree.group for tree in self.waiting])
        self.cache = passes.tree_cache(0)

    @property
    def rows(self) -> list[TreeRow]:
        """The rows that are in every pass."""
        return [row for tree in self.trees for row in tree.live]

    def add(self, rows: Sequence[Row]) -> None:
        """Put rows into the trees of their prompts and candidates."""
        for row in rows:
            key = row.prompt, row.candidate
            if key not in self._known:
                self._known[key] = Tree(PromptGroup(self.prompts[row.prompt], []), row.candidate, [])
                self.waiting.append(self._known[key])
            tree = self._known[key]
            tree.waiting.append(TreeRow.begin(row, tree.group))

    def _most(self, cells: int) -> int:
        """Return how many slots of so many cells there may be."""
        room = self.passes.limits.trees_bytes // max(1, rounded_up(cells) * self.prefill.bytes_per_position)
        return max(1, min(self.most_trees, room))

    def admit(self) -> None:
        """Fill free slots, after prompts were read; the first one alone tells how much memory a token takes."""
        while self.waiting:
            cells = max(tree.stem for tree in self.waiting) + ANSWERS_OF_A_TREE * self.max_new_tokens
            count = (self._most(cells) if self.prefill.bytes_per_position else 1) - len(self.trees)
            if count <= 0:
                return
            new = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
            if len(self.trees) + len(new) > self.cache.slots:
                positions = max(self.cache.positions, rounded_up(cells))
                self.cache.resize(len(self.trees) + len(new), positions, kept=len(self.trees))
            longest = max(1, *(tree.stem for tree in new))
            most = self.prefill.rows_of(longest, longest)
            for first in range(0, len(new), most):
                self._read_prompts(new[first : first + most])

    def _read_prompts(self, trees: list[Tree]) -> None:
        cache, stems = self.passes.cache(len(trees)), [tree.group.prompt[:-1] for tree in trees]
        candidates = [tree.candidate for tree in trees]
        self.prefill.put_starts(cache, candidates, None)
        begun = cache.lengths.tolist()
        width = max(len(stem) - start for stem, start in zip(stems, begun, strict=True))
        if width:
            tokens = [stem[n:] + [0] * (width - len(stem) + n) for stem, n in zip(stems, begun, strict=True)]
            self.passes.write(cache, tokens, candidates)
            self.passes.account.add("prompt", sum(map(len, stems)) - sum(begun))
            self.prefill.note_memory(cache)
        for slot, (tree, stem) in enumerate(zip(trees, stems, strict=True)):
            self.cache.put(len(self.trees), cache.take(slot, len(stem)), len(stem))
            self.trees.append(tree)

    def take_out(self) -> None:
        """Take out trees without rows; the last tree moves into the slot."""
        for slot in reversed(range(len(self.trees))):
            if not (self.trees[slot].live or self.trees[slot].waiting):
                gone = self._vacate(slot)
                self._known = {key: tree for key, tree in self._known.items() if tree is not gone}

    def _vacate(self, slot: int) -> Tree:
        tree, last = self.trees[slot], self.trees.pop()
        if slot < len(self.trees):
            self.cache.lengths[len(self.trees)] = last.size
            self.cache.move(len(self.trees), slot)
            self.trees[slot] = last
        else:
            self.cache.leave([slot])
        return tree

    def _preempt(self) -> None:
        """Let the last tree wait, and read again what it has written."""
        tree = self._vacate(len(self.trees) - 1)
        rows = [*tree.live, *tree.waiting]
        anew = Tree(tree.group, tree.candidate, rows)
        for row in rows:
            row.path = []
        self._known = {key: anew if known is tree else known for key, known in self._known.items()}
        self.waiting.appendleft(anew)

    def order(self) -> None:
        """Have the slots of trees that branch behind the others: a pass over neighbours copies no keys and values."""
        branched = [tree.branched for tree in self.trees]
        front, back = 0, len(branched) - 1
        while True:
            front = next((i for i in range(front, back) if branched[i]), back)
            back = next((i for i in range(back, front, -1) if not branched[i]), front)
            if front >= back:
                return
            kept = copied(self.cache.take(front, self.trees[front].size))
            self.cache.lengths[back] = self.trees[back].size
            self.cache.move(back, front)
            self.cache.put(back, kept, self.trees[front].size)
            self.trees[front], self.trees[back] = self.trees[back], self.trees[front]
            branched[front], branched[back] = False, True

    def make_room(self, cells: int) -> None:
        """Have so many cells in each slot; where memory does not suffice, the last trees wait."""
        if cells > self.cache.positions:
            count = self._most(rounded_up(cells))
            while len(self.trees) > count:
                self._preempt()
            self.cache.resize(len(self.trees), rounded_up(cells), kept=len(self.trees))
