"""Files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from sprint_lmeval.errors import InputError


def write_whole(path: Path, text: str) -> int:
    """Write JSON beside its place, then move it there; returns its size in bytes.

    A link stays, and what it leads to is replaced; a device or a pipe (/dev/stdout) is written to, not replaced.
    """
    content = text.encode("utf-8", "backslashreplace")  # a name of a file that is not UTF-8: as JSON writes it
    try:
        if path.exists() and not path.is_file():
            return path.write_bytes(content)
        place = path.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        try:
            part.write_bytes(content)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): give another name") from None
    return len(content)
