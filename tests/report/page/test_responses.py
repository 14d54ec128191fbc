"""Single responses of a page: packed, deduplicated, shortened to the room there is."""

import base64
import gzip
import json

import pytest

from sprint_lmeval.report.page.mathematics import Mathematics
from sprint_lmeval.report.page.responses import SHORTEST, pack, pack_blocks, shorten
from sprint_lmeval.runs.run import read_runs
from tests.shared.page_examples import HOSTILE, write_runs

LONG = "A long response that says the same again and again, and then something else. " * 40


@pytest.fixture
def run(tmp_path):
    return next(run for run in read_runs([write_runs(tmp_path)], []) if run.selector)


def unpacked(block: str) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(block)))


class LongTexts:
    """A run whose texts are long, and all different."""

    def __init__(self, run):
        self._run = run

    def __getattr__(self, name):
        return getattr(self._run, name)

    def responses(self, question):
        return [LONG + "".join(f"{question * 7919 + k * place:x} " for k in range(400)) for place in range(4)]


def test_a_block_holds_what_is_known_of_every_answer(run):
    blocks = pack_blocks([run], 10**6, Mathematics())
    [block] = map(unpacked, blocks.packed[0])
    row = block["rows"][1]
    assert [block["candidates"][number] for number in row["candidates"]] == ["base", "L0H0", "L0H1", "L0H2"]
    assert row["scores"] == [0.9, 0.5, 0.25, 0.125] and row["tokens"] == [10, 20, 30, 40]
    assert row["truncated"] == [0, 1, 0, 0]
    assert row["answers"][2] == -1 and block["answers"][row["answers"][1]] == [HOSTILE]
    assert [block["texts"][number] for number in row["texts"]] == [HOSTILE, "so \\boxed{2}", "", "line\n3"]
    assert (blocks.shortened, blocks.left_out, blocks.shown) == (0, 0, 48)


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [("short", 5, "short"), ("0123456789ab", 10, ["0123", 2, "6789ab"]), ("", 3, ""), ("abc", 1, ["", 2, "c"])],
)
def test_shortened_in_the_middle(text, length, expected):
    assert shorten(text, length) == expected


def test_the_less_room_the_less_text(run):
    runs = [LongTexts(run)]
    seen = []
    for room in (10**6, 80_000, 40_000, 20_000, 12_000, 10):
        blocks = pack_blocks(runs, room, Mathematics())
        assert blocks.size <= room or blocks.answers == 0
        seen.append((min(blocks.answers, 4), blocks.length))
        assert blocks.length >= SHORTEST and blocks.shown + blocks.left_out in (48, 0)
        assert blocks.shortened == (blocks.shown if blocks.length < 6_000 else 0)
    assert seen == sorted(seen, reverse=True) and len(set(seen)) >= 5
    assert seen[-1] == (0, SHORTEST)


def test_answers_stay_where_no_text_fits(run):
    blocks = pack_blocks([LongTexts(run)], 10, Mathematics())
    [block] = map(unpacked, blocks.packed[0])
    assert block["texts"] == [] and block["rows"][0]["texts"] is None and len(block["rows"]) == 12


def test_letters_that_end_no_element():
    packed = pack({"text": HOSTILE, "half": "\ud800"})
    assert not set(packed) & set("<>&\"'") and json.loads(gzip.decompress(base64.b64decode(packed)))["half"] == "?"
