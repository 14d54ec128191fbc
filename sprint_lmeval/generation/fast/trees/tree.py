"""The answers of one prompt and candidate as a tree: which cell of its slot holds which token, and who needs it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.generation.fast.in_flight import ActiveRow, PromptGroup
from sprint_lmeval.generation.rows import Step

FEW = 16  # unread tokens of a row with which it begins at once
CELLS_OF_A_ROW = 20  # that there is room for where it does
ROOT = -1  # stands for the cell of the prompt's last token but one


@dataclass(eq=False)
class TreeRow(ActiveRow):
    """A row in a tree.

    Attributes:
        path: the cells of its tokens that are read, from the prompt's last token on.
        steps: what else there was to choose at its generated tokens.
    """

    path: list[int] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def unread(self) -> list[int]:
        """Its tokens, from the prompt's last one on, that are in no cell; always the last of them."""
        return self.written[self.context - 1 + len(self.path) :]


@dataclass(eq=False)
class Tree:
    """The answers of one prompt and candidate, in one slot.

    Attributes:
        group: the prompt; its rows are begun.
        waiting, live: rows that are not yet, and that are in every pass.
        size: how many cells have been in use.
    """

    group: PromptGroup
    candidate: Candidate
    waiting: list[TreeRow]
    live: list[TreeRow] = field(default_factory=list)
    _cells: dict[tuple[int, int], int] = field(default_factory=dict)  # (cell before, token) -> cell
    _keys: dict[int, tuple[int, int]] = field(default_factory=dict)
    _users: Counter = field(default_factory=Counter)  # cell -> rows whose path it is on
    _free: list[int] = field(default_factory=list)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.stem

    @property
    def stem(self) -> int:
        """How many cells all rows see: the prompt without its last token."""
        return len(self.group.prompt) - 1

    @property
    def used(self) -> int:
        """How many cells hold something."""
        return self.size - len(self._free)

    @property
    def branched(self) -> bool:
        return any(row.row.given for row in (*self.live, *self.waiting))

    def begin_rows(self, room: int) -> None:
        """Let waiting rows into the next passes, as many as `room` cells are for.

        Where several have much to read, one reads, and the others wait.
        """
        most = max(room // CELLS_OF_A_ROW, 0 if self.live else 1)
        if not self.waiting or not most:
            return
        for row in self.waiting:
            self._find(row)
        self.waiting.sort(key=lambda row: len(row.unread))
        first = not self.live and not self._cells
        few = [row for row in self.waiting if len(row.unread) <= (1 if first else FEW)]
        begun = (few if len(few) == len(self.waiting) else [self.waiting[-1], *few])[:most]
        self.live += begun
        self.waiting = [row for row in self.waiting if row not in begun]

    def _find(self, row: TreeRow) -> None:
        """Lead a row along the cells that hold its tokens already."""
        before = row.path[-1] if row.path else ROOT
        for token in row.unread[:-1]:
            if (cell := self._cells.get((before, token))) is None:
                return
            row.path.append(cell)
            self._users[cell] += 1
            before = cell

    def take_cells(self, count: int) -> list[int]:
        while len(self._free) < count:
            heapq.heappush(self._free, self.size)
            self.size += 1
        return [heapq.heappop(self._free) for _ in range(count)]

    def keep(self, row: TreeRow, tokens: Sequence[int], cells: Sequence[int]) -> None:
        """Put tokens that were read onto a row's path."""
        before = row.path[-1] if row.path else ROOT
        for token, cell in zip(tokens, cells, strict=True):
            key = before, token
            if key not in self._cells:  # else two rows have read the same in one pass
                self._cells[key], self._keys[cell] = cell, key
            self._users[cell] += 1
            before = cell
        row.path += cells

    def free(self, cells: Sequence[int]) -> None:
        for cell in cells:
            heapq.heappush(self._free, cell)

    def leave(self, row: TreeRow) -> None:
        """Take a row out, with the cells that no other row needs; those of the answer that others branch off stay."""
        self.live.remove(row)
        if row.row.given:
            self._users.subtract(row.path)
            unused = [cell for cell in row.path if not self._users[cell]]
            for cell in unused:
                del self._users[cell]
                self._cells.pop(self._keys.pop(cell, None), None)
            self.free(unused)
