"""Outcome matrices as parquet files: written whole or not at all, read with every size checked before it is unpacked.

One row a question: id, hash, text, subject, level, split, and the lists verdicts, truncated and new_tokens in the order
of the candidates. The schema's metadata holds, as JSON, the format's number, candidates, facts, and a sha256 over all
of it: a file that was edited by hand does not pass for one that a sweep wrote.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sprint_lmeval.candidates import MAX_CANDIDATES, Candidate
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.files import parse_json, whole_file
from sprint_lmeval.outcomes.pages import Page, column_pages
from sprint_lmeval.outcomes.question import Question

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ColumnChunkMetaData, ParquetFile

FORMAT = 1
MAGIC = b"PAR1"  # how a parquet file begins and ends
META = b"sprint_lmeval.outcomes"
MAX_BYTES = 256 << 20  # of the file
MAX_FOOTER_BYTES = 4 << 20  # 100,000 candidates take 1 MiB
MAX_STRUCTS = 1_000  # in any list of the footer: columns, parts
MAX_PAGES = 100_000
MAX_QUESTIONS = 200_000
MAX_CELLS = 1 << 25  # 200 MiB in memory; an answer a second for a year
MAX_TEXT = 1_000_000  # characters of one problem
MAX_TEXT_BYTES = 64 << 20  # of all texts of all questions; also of one page of numbers
CELLS_AT_ONCE = 1 << 20
TEXTS = ("id", "hash", "text", "subject", "split")
LISTS = {"verdicts": np.int8, "truncated": np.int8, "new_tokens": np.int32}
REMEDY = "make it anew with `sprint-lmeval sweep` or `sprint-lmeval matrix`"


class NotAMatrixError(InputError):
    """A parquet file that is no outcome matrix and never was one."""


def save_fields(fields: dict, path: Path, overwrite: bool) -> None:
    """Write the fields of an `OutcomeMatrix` to `path`; a link there is replaced. The same matrix is not written twice.

    Raises:
        InputError: it is larger than what `load_fields` reads, or `check_output` refuses the path.
    """
    import pyarrow.parquet as parquet

    _refuse_too_large(fields)
    if not overwrite and holds(path, fields_digest(fields)):
        return
    check_output(path, overwrite)
    table = _table(fields)
    with whole_file(path) as stream:
        parquet.write_table(table, stream, compression="zstd", use_dictionary=["subject", "split"])


def holds(path: Path, digest: str) -> bool:
    """Whether a file is a whole matrix with this digest."""
    try:
        return path.is_file() and fields_digest(load_fields(path)) == digest
    except (InputError, OSError):
        return False


def check_output(path: Path, overwrite: bool) -> None:
    """Find out, before there is anything to write, whether a matrix can be written to `path`; makes its folder.

    Raises:
        InputError: it is a folder, cannot be written, is there already and `overwrite` was not given, or is no matrix.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder: give the name of a file")
        if os.path.lexists(path):
            _check_replaceable(path, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}): give another place") from error


def _check_replaceable(path: Path, overwrite: bool) -> None:
    if not overwrite:
        raise InputError(f"{path} is there already: give another name, or --overwrite to replace a matrix")
    start = b""
    if path.is_file():
        with path.open("rb") as stream:
            start = stream.read(len(MAGIC))
    if start != MAGIC:
        raise InputError(f"{path} is there and is no matrix, so it is not overwritten: give another name, or remove it")


def _refuse_too_large(fields: dict) -> None:
    rows, width = len(fields["questions"]), len(fields["candidates"])
    _check_counts(rows, width)
    texts = [getattr(question, name) for question in fields["questions"] for name in TEXTS]
    longest, size = max(map(len, texts)), sum(len(text.encode()) + 8 for text in texts)
    if longest > MAX_TEXT or size > MAX_TEXT_BYTES:
        raise InputError(
            f"the questions' texts have {size:,} bytes, the longest {longest:,} characters; a matrix holds "
            f"{MAX_TEXT_BYTES:,} and {MAX_TEXT:,}: leave the texts out (--no-texts), or take fewer questions"
        )


def _check_counts(questions: int, candidates: int) -> None:
    if questions > MAX_QUESTIONS or questions * candidates > MAX_CELLS:
        raise InputError(
            f"has {questions:,} questions and {candidates:,} candidates: at most {MAX_QUESTIONS:,} questions and "
            f"{MAX_CELLS:,} cells are read"
        )


def _table(fields: dict) -> pyarrow.Table:
    import pyarrow

    width = len(fields["candidates"])
    columns = {name: pyarrow.array([getattr(q, name) for q in fields["questions"]], pyarrow.string()) for name in TEXTS}
    columns["level"] = pyarrow.array([q.level for q in fields["questions"]], pyarrow.int32())
    for name, kind in LISTS.items():
        flat = pyarrow.array(np.ascontiguousarray(fields[name], kind).ravel())
        columns[name] = pyarrow.FixedSizeListArray.from_arrays(flat, width)
    meta = {
        "format": FORMAT,
        "candidates": [str(c) for c in fields["candidates"]],
        "facts": fields["facts"],
        "sha256": fields_digest(fields),
    }
    text = json.dumps(meta, sort_keys=True, allow_nan=False)
    return pyarrow.table(columns).replace_schema_metadata({META: text.encode()})


def fields_digest(fields: dict) -> str:
    """Return the sha256 over everything that a file of the matrix holds."""
    questions = [[q.id, q.hash, q.text, q.subject, q.level, q.split] for q in fields["questions"]]
    content = [questions, [str(c) for c in fields["candidates"]], fields["facts"]]
    digest = hashlib.sha256()
    for part in json.JSONEncoder(sort_keys=True, allow_nan=False).iterencode(content):
        digest.update(part.encode())
    for name, kind in LISTS.items():
        digest.update(np.ascontiguousarray(fields[name], np.dtype(kind).newbyteorder("<")).tobytes())
    return digest.hexdigest()


def load_fields(path: Path) -> dict:
    """Return the fields of the `OutcomeMatrix` in a file. InputError, naming the file, for whatever is not one."""
    import pyarrow

    try:
        return _read(path)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (pyarrow.ArrowException, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        said = cause(error, 150)
        raise InputError(f"{path}: not an outcome matrix, or a damaged one ({said}); {REMEDY}") from None


def _read(path: Path) -> dict:
    import pyarrow.parquet as parquet

    _check_size(path)
    limits = {"thrift_string_size_limit": MAX_FOOTER_BYTES, "thrift_container_size_limit": MAX_STRUCTS}
    with parquet.ParquetFile(path, pre_buffer=False, **limits) as file:
        if META not in (file.schema_arrow.metadata or {}):
            raise NotAMatrixError(f"not an outcome matrix but another table; {REMEDY}")
    with parquet.ParquetFile(path, read_dictionary=list(TEXTS), pre_buffer=False, **limits) as file:
        meta = parse_json(file.schema_arrow.metadata[META])
        if meta["format"] != FORMAT:
            raise InputError(f"format {meta['format']!s:.20} given, this version reads {FORMAT}: update sprint-lmeval")
        candidates = _candidates(meta["candidates"])
        _check_unpacked(path, file, len(candidates))
        fields = {"questions": _questions(file), "candidates": candidates, "facts": _facts(meta["facts"])}
        fields |= {name: _array(file, name, len(candidates), kind) for name, kind in LISTS.items()}
    if fields_digest(fields) != meta["sha256"]:
        raise InputError(f"was changed after it had been written (its checksum does not fit): {REMEDY}")
    return fields


def _check_size(path: Path) -> None:
    """Look at the kind and size of the file and of its footer before a parser sees it."""
    if not path.is_file():
        raise InputError(f"no such file; {REMEDY}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"has {size:,} bytes, at most {MAX_BYTES:,} are read")
    with path.open("rb") as stream:
        start = stream.read(4)
        stream.seek(max(0, size - 8))
        end = stream.read(8)
    if size < 12 or start != MAGIC or end[4:] != MAGIC:
        raise InputError(f"not a parquet file, or one that was cut short; {REMEDY}")
    (footer,) = struct.unpack("<I", end[:4])
    if footer > min(MAX_FOOTER_BYTES, size):
        raise InputError(f"its description has {footer:,} bytes, at most {MAX_FOOTER_BYTES:,} are read")


def _check_unpacked(path: Path, file: ParquetFile, width: int) -> None:
    """Refuse what would unpack to more than a matrix holds, by the headers of all its pages."""
    meta = file.metadata
    names = [file.schema.column(number).path.partition(".")[0] for number in range(meta.num_columns)]
    if sorted(names) != sorted((*TEXTS, "level", *LISTS)):
        raise InputError(f"not an outcome matrix, for its columns are {', '.join(names)!s:.200}; {REMEDY}")
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    _check_counts(sum(group.num_rows for group in groups), width)
    text_bytes = pages = 0
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for group in groups:
            for number, name in enumerate(names):
                column = group.column(number)
                found = list(islice(_pages(data, column), MAX_PAGES + 1 - pages))
                pages += len(found)
                text_bytes += sum(page.unpacked for page in found) * (name not in LISTS)
                _check_values(name, column.num_values, found, group.num_rows, width)
                largest = max((page.unpacked for page in found), default=0)
                if pages > MAX_PAGES or max(text_bytes, largest) > MAX_TEXT_BYTES:
                    raise InputError("unpacks to more than is read")


def _pages(data: mmap.mmap, column: ColumnChunkMetaData) -> Iterator[Page]:
    """Yield the pages of a column where a decoder looks for them."""
    starts = [column.data_page_offset, column.dictionary_page_offset or 0]
    return column_pages(data, min(start for start in starts if start > 0), column.total_compressed_size)


def _check_values(name: str, claimed: int, pages: list[Page], rows: int, width: int) -> None:
    expected = rows * width if name in LISTS else rows
    if not claimed == sum(page.values for page in pages if not page.dictionary) == expected:
        what = f"not {width} numbers a question, one for each candidate" if name in LISTS else "not one for a question"
        raise InputError(f"its {name} are {what}")


def _candidates(names: list) -> tuple[Candidate, ...]:
    if not isinstance(names, list) or len(names) > MAX_CANDIDATES:
        raise InputError(f"its candidates must be a list of at most {MAX_CANDIDATES:,}")
    return tuple(Candidate.parse(name) for name in names)


def _facts(facts: object) -> dict:
    if not isinstance(facts, dict):
        raise InputError("its facts must be an object")
    return facts


def _questions(file: ParquetFile) -> tuple[Question, ...]:
    table = file.read(columns=[*TEXTS, "level"], use_threads=False)
    columns = {name: _texts(table.column(name), name) for name in TEXTS}
    columns["level"] = [int(level) for level in table.column("level").to_pylist()]
    rows = zip(*columns.values(), strict=True)
    return tuple(Question(**dict(zip(columns, row, strict=True))) for row in rows)


def _texts(column: pyarrow.ChunkedArray, name: str) -> list[str]:
    """Return the texts of a column; one that stands in several rows is kept once."""
    import pyarrow

    kind = column.type
    if not pyarrow.types.is_dictionary(kind) or not pyarrow.types.is_string(kind.value_type):
        raise InputError(f"its column {name} holds {kind}, and it must hold text: {REMEDY}")
    if column.null_count:
        raise InputError(f"a question has no {name}")
    texts = []
    for chunk in column.chunks:
        distinct = chunk.dictionary.to_pylist()
        texts += [distinct[index] for index in chunk.indices.to_pylist()]
    longest = max(map(len, texts), default=0)
    if longest > MAX_TEXT:
        raise InputError(f"a {name} has {longest:,} characters, at most {MAX_TEXT:,} are read")
    return texts


def _array(file: ParquetFile, name: str, width: int, kind: type) -> np.ndarray:
    """Return [questions, candidates] of one list column, which is unpacked some rows at a time."""
    parts = file.iter_batches(max(1, CELLS_AT_ONCE // max(width, 1)), columns=[name], use_threads=False)
    arrays = [_numbers(part.column(0), name, width, kind) for part in parts]
    return np.concatenate(arrays) if arrays else np.zeros((0, width), kind)


def _numbers(lists: pyarrow.Array, name: str, width: int, kind: type) -> np.ndarray:
    flat = lists.flatten()
    if lists.null_count or flat.null_count or len(flat) != len(lists) * width:
        raise InputError(f"its {name} are not {width} numbers a question, one for each candidate")
    array = flat.to_numpy(zero_copy_only=False)
    if array.dtype.kind != "i" or not np.array_equal(array.astype(kind), array):
        raise InputError(f"its {name} are not whole numbers of the right size")
    return array.astype(kind).reshape(len(lists), width)
