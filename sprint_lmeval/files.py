"""Files read within limits, and written whole or not at all: the old content stays until the new one is on the disk."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sprint_lmeval.errors import InputError, cause

MAX_DIGITS = 300  # of a whole number in JSON: no float has more than 309
MAX_DEPTH = 100  # of lists and objects in JSON: Python itself cannot show a value that is nested a thousand times


@contextmanager
def open_regular(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a file for reading; links are followed. A pipe or a device, which could keep its reader waiting, is refused.

    Raises:
        InputError: it is no regular file, or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path} is no regular file (a folder, pipe or device): give a file that is on a disk")
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:  # a pipe put there since does not block
            yield stream
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None


def read_bounded(path: str | os.PathLike, limit: int, what: str) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: of the file.
        limit: the most bytes that are read.
        what: the kind of content, in the plural, for the sentence that refuses a larger file.

    Raises:
        InputError: it is larger, no regular file, or cannot be read.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(limit + 1) if size <= limit else b""
    if max(size, len(content)) > limit:
        raise InputError(f"{path} has {max(size, len(content)):,} bytes, {what} of at most {limit:,} are read")
    return content


def parse_json(content: str | bytes, standard: bool = False) -> object:
    """Return what JSON says; a whole number that no float can hold is infinite, as 1e999 is.

    Args:
        content: the text, or its bytes.
        standard: refuse NaN and Infinity, which Python writes and no standard knows.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        value = json.loads(content, parse_int=_whole_number, parse_constant=_refused if standard else None)
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None
    inner, depth = [value], 0
    while inner:
        parts = (part.values() if isinstance(part, dict) else part for part in inner if isinstance(part, dict | list))
        inner = [value for values in parts for value in values if isinstance(value, dict | list)]
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("lists or objects are nested too deeply")
    return value


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def read_json(path: str | os.PathLike, limit: int, what: str, standard: bool = False) -> object:
    """Return what a JSON file says; arguments and errors as of `read_bounded` and `parse_json`, as one InputError."""
    content = read_bounded(path, limit, what)
    try:
        return parse_json(content, standard)
    except ValueError as error:
        said = cause(error, 100)
        raise InputError(f"{path} is not JSON ({said}): it is damaged, or was not written to its end") from None


@contextmanager
def whole_file(path: str | os.PathLike, lasting: bool = True) -> Iterator[IO[bytes]]:
    """Give a stream whose content becomes the file `path` at the end of the block; an error leaves `path` as it was.

    A link is replaced, and what it leads to stays. Folders on the way are made.

    Args:
        path: of the file.
        lasting: whether the content must outlive a loss of power, for which the disk is waited for.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:100]}.", delete=False) as stream:
            part = Path(stream.name)
            yield stream
            stream.flush()
            if lasting:
                os.fsync(stream.fileno())
        part.chmod(0o666 & ~_umask())
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}): give another place") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike, text: str) -> int:
    """Write a text whole or not at all; returns its size in bytes.

    A device or a pipe (/dev/stdout) is written to, not replaced. What UTF-8 cannot hold is written as JSON escapes it.

    Raises:
        InputError: the file cannot be written.
    """
    content = text.encode("utf-8", "backslashreplace")
    path = Path(path)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            return path.write_bytes(content)
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{path} cannot be written ({error.strerror}): give another place") from error
    with whole_file(path) as stream:
        stream.write(content)
    return len(content)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
