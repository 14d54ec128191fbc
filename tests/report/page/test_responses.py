"""Single responses of a page: packed, deduplicated, bounded."""

import base64
import gzip
import json

import pytest

from sprint_lmeval.report.page.limits import ANSWER, PROBLEM, RESPONSE, shorten
from sprint_lmeval.report.page.mathematics import Mathematics
from sprint_lmeval.report.page.responses import pack, packed_blocks
from sprint_lmeval.runs.run import read_runs
from tests.shared.gate_examples import write_run
from tests.shared.page_examples import HOSTILE, write_runs


@pytest.fixture
def run(tmp_path):
    return next(run for run in read_runs([write_runs(tmp_path)]).runs if run.selector)


def unpacked(block: str) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(block)))


def test_a_block_holds_what_is_known_of_every_answer(run):
    [block] = map(unpacked, packed_blocks(run, Mathematics()))
    row = block["rows"][1]
    assert [block["candidates"][number] for number in row["candidates"]] == ["base", "L0H0", "L0H1", "L0H2"]
    assert row["scores"] == [0.9, 0.5, 0.25, 0.125] and row["tokens"] == [10, 20, 30, 40]
    assert row["truncated"] == [0, 1, 0, 0]
    assert row["answers"][2] == -1 and block["answers"][row["answers"][1]] == [HOSTILE]
    assert [block["texts"][number] for number in row["texts"]] == [HOSTILE, "so \\boxed{2}", "", "line\n3"]


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [("short", 5, "short"), ("0123456789ab", 10, "0123 … 2 characters left out … 6789ab"), ("", 3, "")],
)
def test_shortened_in_the_middle(text, length, expected):
    assert shorten(text, length) == expected


def test_a_block_is_bounded(tmp_path):
    changed = {"resps": [["x" * (RESPONSE + 5), "y"]], "answers": ["z" * (ANSWER + 7), None]}
    changed["arguments"] = [["p" * (PROBLEM + 3), {}]]  # as lm_eval 0.5 writes it
    write_run(tmp_path, ["ci"], changed={0: changed})
    [run] = read_runs([tmp_path]).runs
    [block] = map(unpacked, packed_blocks(run, Mathematics()))
    prompt, first, second = block["texts"]
    assert block["rows"][0]["prompt"] == 0 and "… 3 characters left out …" in prompt
    assert "… 5 characters left out …" in first and second == "y"
    assert "… 7 characters left out …" in block["answers"][0][0]


def test_a_run_of_many_questions_has_several_blocks(tmp_path):
    write_run(tmp_path, ["ci"] * 45)
    [run] = read_runs([tmp_path]).runs
    blocks = [unpacked(block) for block in packed_blocks(run, Mathematics())]
    assert [len(block["rows"]) for block in blocks] == [20, 20, 5]
    assert blocks[2]["texts"][blocks[2]["rows"][4]["texts"][1]] == "it is 44 1 #### 1"


def test_letters_that_end_no_element():
    packed = pack({"text": HOSTILE, "half": "\ud800"})
    assert not set(packed) & set("<>&\"'") and json.loads(gzip.decompress(base64.b64decode(packed)))["half"] == "?"
