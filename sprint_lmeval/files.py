"""Files written whole or not at all: what was there stays until the new content is on the disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sprint_lmeval.errors import InputError


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Give a stream whose content becomes the file `path` at the end of the block; an error leaves `path` as it was.

    A link is replaced, and what it leads to stays. Folders on the way are made.

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
