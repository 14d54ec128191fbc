"""Outcome matrices as parquet files: written whole or not at all, read with every size and shape checked first.

One row a question: id, hash, text, subject, level, split, and the lists verdicts, truncated and new_tokens in the order
of the candidates. The schema's metadata holds, as JSON, the format's number, candidates, facts, and a sha256 over all
of it, so that a file that was edited by hand is told from one that a sweep wrote.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sprint_lmeval.candidates import MAX_CANDIDATES, Candidate
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.outcomes.question import Question

if TYPE_CHECKING:
    import pyarrow

FORMAT = 1
MAGIC = b"PAR1"  # how a parquet file begins and ends
META = b"sprint_lmeval.outcomes"
MAX_BYTES = 512 << 20
MAX_FOOTER_BYTES = 32 << 20
MAX_QUESTIONS = 1_000_000
MAX_CELLS = 200_000_000
MAX_TEXT = 1_000_000  # characters of one problem
TEXTS = ("id", "hash", "text", "subject", "split")
LISTS = {"verdicts": np.int8, "truncated": np.int8, "new_tokens": np.int32}
REMEDY = "make it anew with `sprint-lmeval sweep` or `sprint-lmeval matrix`"


def save_fields(fields: dict, path: Path, overwrite: bool) -> None:
    """Write the fields of an `OutcomeMatrix` to `path` through a temporary file beside it."""
    import pyarrow.parquet as parquet

    table = _table(fields)
    temporary = None
    check_output(path, overwrite)
    try:
        with tempfile.NamedTemporaryFile(**_beside(path), delete=False) as stream:
            temporary = Path(stream.name)
            parquet.write_table(table, stream, compression="zstd", use_dictionary=["subject", "split"])
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
        with tempfile.TemporaryFile(**_beside(path)):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_replaceable(path: Path, overwrite: bool) -> None:
    if not overwrite:
        raise InputError(f"{path} is there already: give another name, or --overwrite to replace a matrix")
    start = b""
    if path.is_file():
        with path.open("rb") as stream:
            start = stream.read(len(MAGIC))
    if start != MAGIC:
        raise InputError(f"{path} is there and is no matrix, so it is not overwritten: give another name, or remove it")


def _beside(path: Path) -> dict:
    return {"dir": path.parent, "prefix": f".{path.name}."}


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} could not be written ({error.strerror or error}): give another place")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
        "sha256": _digest(fields),
    }
    text = json.dumps(meta, sort_keys=True, allow_nan=False)
    return pyarrow.table(columns).replace_schema_metadata({META: text.encode()})


def _digest(fields: dict) -> str:
    """sha256 over everything."""
    questions = [[q.id, q.hash, q.text, q.subject, q.level, q.split] for q in fields["questions"]]
    content = [questions, [str(c) for c in fields["candidates"]], fields["facts"]]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode())
    for name, kind in LISTS.items():
        digest.update(np.ascontiguousarray(fields[name], np.dtype(kind).newbyteorder("<")).tobytes())
    return digest.hexdigest()


def load_fields(path: Path) -> dict:
    """Return the fields of the `OutcomeMatrix` in a file. InputError, naming the file, for whatever is not one."""
    import pyarrow

    try:
        return _read(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (pyarrow.ArrowException, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        said = cause(error, 150)
        raise InputError(f"{path}: not an outcome matrix, or a damaged one ({said}); {REMEDY}") from None


def _read(path: Path) -> dict:
    import pyarrow.parquet as parquet

    _check_size(path)
    limits = {"thrift_string_size_limit": MAX_FOOTER_BYTES, "thrift_container_size_limit": 1_000_000}
    with parquet.ParquetFile(path, read_dictionary=list(TEXTS), **limits) as file:
        meta = json.loads((file.schema_arrow.metadata or {})[META])
        if meta["format"] != FORMAT:
            raise InputError(f"format {meta['format']} given, this version reads {FORMAT}: update sprint-lmeval")
        candidates = _candidates(meta["candidates"])
        _check_shape(file, len(candidates))
        table = file.read(columns=[*TEXTS, "level", *LISTS], use_threads=False)
    fields = {"questions": _questions(table), "candidates": candidates, "facts": _facts(meta["facts"])}
    fields |= {name: _array(table, name, len(candidates), kind) for name, kind in LISTS.items()}
    if _digest(fields) != meta["sha256"]:
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


def _check_shape(file, width: int) -> None:
    meta = file.metadata
    if meta.num_rows > MAX_QUESTIONS or meta.num_rows * width > MAX_CELLS:
        raise InputError(f"has {meta.num_rows:,} questions and {width:,} candidates, more than are read")
    columns = [meta.row_group(g).column(c) for g in range(meta.num_row_groups) for c in range(meta.num_columns)]
    values = max((column.num_values for column in columns), default=0)
    if sum(column.total_uncompressed_size for column in columns) > 4 * MAX_BYTES or values > MAX_CELLS:
        raise InputError("unpacks to more than is read")


def _candidates(names: list) -> tuple[Candidate, ...]:
    if not isinstance(names, list) or len(names) > MAX_CANDIDATES:
        raise InputError(f"its candidates must be a list of at most {MAX_CANDIDATES:,}")
    return tuple(Candidate.parse(name) for name in names)


def _facts(facts: object) -> dict:
    if not isinstance(facts, dict):
        raise InputError("its facts must be an object")
    return facts


def _questions(table: pyarrow.Table) -> tuple[Question, ...]:
    columns = {name: _texts(table.column(name), name) for name in TEXTS}
    columns["level"] = [int(level) for level in table.column("level").to_pylist()]
    rows = zip(*columns.values(), strict=True)
    return tuple(Question(**dict(zip(columns, row, strict=True))) for row in rows)


def _texts(column, name: str) -> list[str]:
    """The texts of a dictionary-encoded column, whose distinct texts are measured before they are multiplied."""
    import pyarrow
    import pyarrow.compute as compute

    kind = column.type
    if not pyarrow.types.is_dictionary(kind) or not pyarrow.types.is_string(kind.value_type):
        raise InputError(f"its column {name} holds {kind}, and it must hold text: {REMEDY}")
    longest = max((compute.max(compute.binary_length(c.dictionary)).as_py() or 0 for c in column.chunks), default=0)
    if longest > 4 * MAX_TEXT or longest * len(column) > 16 * MAX_BYTES:
        raise InputError(f"a {name} has {longest:,} bytes, more than is read")
    texts = column.to_pylist()
    if any(text is None for text in texts):
        raise InputError(f"a question has no {name}")
    return texts


def _array(table: pyarrow.Table, name: str, width: int, kind: type) -> np.ndarray:
    column = table.column(name).combine_chunks()
    flat = column.flatten()
    if column.null_count or flat.null_count or len(flat) != len(table) * width:
        raise InputError(f"its {name} are not {width} numbers a question, one for each candidate")
    array = flat.to_numpy(zero_copy_only=False)
    if array.dtype.kind != "i" or (len(array) and not np.array_equal(array.astype(kind), array)):
        raise InputError(f"its {name} are not whole numbers of the right size")
    return array.astype(kind).reshape(len(table), width)
