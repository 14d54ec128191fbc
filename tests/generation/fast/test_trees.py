"""Trees: which passes they share, and that little memory changes no text."""

from dataclasses import replace

import pytest

from sprint_lmeval.candidates import BASE
from sprint_lmeval.generation import decode
from sprint_lmeval.generation.fast.in_flight import PromptGroup
from sprint_lmeval.generation.fast.trees import slots
from sprint_lmeval.generation.fast.trees.scheduler import partition
from sprint_lmeval.generation.fast.trees.tree import Tree, TreeRow
from sprint_lmeval.generation.rows import Row
from tests.shared.decoding_examples import fast, prompts
from tests.shared.decoding_examples import tiny as tiny


@pytest.mark.parametrize(
    ("widths", "overhead", "passes"),
    [
        ([1, 1, 1], 90, [3]),
        ([1, 1, 16], 90, [3]),  # 30 tokens of padding cost less than a pass
        ([1, 1, 16], 20, [2, 1]),
        ([1, 4, 4, 64], 10, [3, 1]),
        ([5], 90, [1]),
    ],
)
def test_passes_cost_least(widths, overhead, passes):
    assert partition(widths, overhead) == passes


def test_cells_go_back_and_what_rows_share_is_in_one():
    group = PromptGroup([5, 6, 7], [])
    rows = [TreeRow.begin(Row("p", BASE, given=given), group) for given in ((1, 2, 3), (1, 2, 4), (1, 9))]
    tree = Tree(group, BASE, list(rows))
    tree.begin_rows(room=1000)
    assert tree.live == rows[:1] or tree.live == rows[1:2], "one reads what they share"
    reader = tree.live[0]
    tree.keep(reader, reader.unread[:-1], tree.take_cells(3))  # the prompt's last token, 1, 2
    tree.begin_rows(room=1000)
    other = next(row for row in rows[:2] if row is not reader)
    assert other.path == reader.path and rows[2].path == reader.path[:2] and other.unread == [other.written[-1]]
    assert (tree.stem, tree.used) == (2, 5)
    tree.leave(reader)
    assert tree.used == 5
    tree.leave(other)
    tree.leave(rows[2])
    assert tree.used == tree.stem and tree.take_cells(1)[0] < 5


def test_little_memory_changes_no_text(tiny, monkeypatch):
    rows = [Row(p, BASE, given=(first, second)) for p in prompts(5) for first in (40, 50) for second in (41, 60, 77)]
    expected, preempted = fast(tiny, rows, max_new_tokens=30), []
    limits, preempt = decode.limits_of(tiny[0]), slots.TreeSlots._preempt
    monkeypatch.setattr(decode, "limits_of", lambda *_: replace(limits, trees_bytes=1 << 20))
    monkeypatch.setattr(slots, "ANSWERS_OF_A_TREE", 0)
    monkeypatch.setattr(slots.TreeSlots, "_preempt", lambda self: (preempted.append(1), preempt(self)))
    assert fast(tiny, rows, max_new_tokens=30) == expected and preempted
