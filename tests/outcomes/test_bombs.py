"""Small files that would unpack to gigabytes: refused in one sentence, before memory is taken."""

import json
import re
import subprocess
import sys

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from sprint_lmeval.outcomes.pages import Page, column_pages
from sprint_lmeval.outcomes.parquet import LISTS, META, TEXTS

MOST_BYTES = 160 << 20  # a small matrix takes 119 MiB, with the interpreter; what is packed below 160 MiB and more
LOAD = """
import sys
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
try:
    OutcomeMatrix.load(sys.argv[1])
except ValueError as error:
    print(" ".join(str(error).split()))
with open("/proc/self/status") as status:  # getrusage would count what the parent had taken before
    print(next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


def loaded(path) -> tuple[str, int]:
    """Load a file in a process of its own; returns its sentence and the most memory it took."""
    shown = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
    *said, peak = shown.stdout.splitlines()
    return "".join(said), int(peak)


def write(path, rows: int, width: int, text: str = "", numbers: object = None, **options) -> None:
    """Write a file like a matrix of zeros, whose checksum is wrong."""
    columns = {name: pyarrow.array(["0" if name == "id" else text] * rows) for name in TEXTS}
    columns["level"] = pyarrow.array(np.zeros(rows, np.int32))
    flat = pyarrow.array(np.zeros(rows * width, np.int8) if numbers is None else numbers)
    columns |= dict.fromkeys(LISTS, pyarrow.FixedSizeListArray.from_arrays(flat, width))
    candidates = [f"L{number // 1000}H{number % 1000}" for number in range(width)]
    meta = json.dumps({"format": 1, "candidates": candidates, "facts": {}, "sha256": ""})
    table = pyarrow.table(columns).replace_schema_metadata({META: meta})
    parquet.write_table(table, path, **{"compression": "zstd", **options})


BOMBS = {
    "many cells": (lambda p: write(p, 100_000, 400), "100,000 questions and 400 candidates: at most"),
    "many questions": (lambda p: write(p, 300_000, 1), "300,000 questions"),
    "long texts": (lambda p: write(p, 40, 1, "x" * (1 << 20), use_dictionary=False), "unpacks to more than is read"),
    "one text that stands everywhere": (lambda p: write(p, 150, 1, "x" * (1 << 20)), "a hash has 1,048,576 characters"),
    "texts that begin alike": (
        lambda p: write(p, 40, 1, "x" * (1 << 20), use_dictionary=False,
                        column_encoding=dict.fromkeys(TEXTS, "DELTA_BYTE_ARRAY")),
        "a page of encoding 7",
    ),
    "one page of numbers": (
        lambda p: write(p, 20_000, 1_000, use_dictionary=False, data_page_size=1 << 30), "unpacks to more than is read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_unpacks(name, tmp_path):
    make, sentence = BOMBS[name]
    make(tmp_path / "bomb.parquet")
    said, peak = loaded(tmp_path / "bomb.parquet")
    assert re.search(sentence, said), said
    assert said.startswith(str(tmp_path))
    assert peak < MOST_BYTES


def test_headers_say_what_a_decoder_finds(tmp_path):
    write(tmp_path / "m.parquet", 3, 5, "text", data_page_size=1)
    data = (tmp_path / "m.parquet").read_bytes()
    group = parquet.ParquetFile(tmp_path / "m.parquet").metadata.row_group(0)
    column = group.column(group.num_columns - 1)
    pages = list(column_pages(data, column.dictionary_page_offset, column.total_compressed_size))
    assert pages[0] == Page(dictionary=True, unpacked=4, values=1)
    assert sum(page.values for page in pages[1:]) == 15 and not any(page.dictionary for page in pages[1:])


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"", None),
        (b"\x15", "cut short"),
        (b"\x15" + b"\xff" * 12, "more than 64 bits"),
        (b"\x00", "a page of kind -1"),
        (b"\x15\x02\x15\x08\x15\x08\x00", "a page of kind 1"),
        (b"\x15\x00\x15\x08\x15\x08\x00", "a page of kind 0"),
        (b"\x15\x00\x15\x07\x15\x08\x2c\x15\x02\x15\x00\x00\x00", "a page of kind 0 and -4 bytes"),
        (b"\x15\x00\x15\x08\x15\x08\x2c\x15\x02\x15\x0a\x00\x00", "a page of encoding 5"),
        (b"\x15\x04\x15\x08\x15\x08\x4c\x15\x08\x15\x00\x00\x00", "a page of 4 bytes for 4 values"),
        (b"\x19\x00", "a field of type 9"),
        (b"\x1c" * 20, "a field of type 12"),
    ],
)
def test_headers_that_no_decoder_should_see(header, said):
    if said is None:
        assert list(column_pages(header, 0, 0)) == []
        return
    with pytest.raises(ValueError, match=said):
        list(column_pages(header, 0, len(header)))
