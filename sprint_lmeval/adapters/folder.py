"""The folder of one adapter: two files, each written whole or not at all, and what is there already.

In: the files' names and contents. Out: the folder, or one sentence where another adapter is in it or the disk is full.
"""

from __future__ import annotations

import json
from pathlib import Path

from sprint_lmeval.errors import InputError
from sprint_lmeval.files import whole_file

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
MAX_CONFIG = 1 << 20  # bytes of a configuration that is read


def write_files(folder: Path, content: dict[str, bytes], overwrite: bool) -> bool:
    """Write an adapter's files; False where they are there already. InputError where another adapter's are."""
    if is_there(folder, content):
        return False
    if (folder / CONFIG_FILE).is_file() and not overwrite:  # without it: a run that was killed
        raise InputError(
            f"{folder} holds another adapter (of another model or version): give another folder, "
            "or remove it (on the command line: --overwrite)"
        )
    for name in (WEIGHTS_FILE, CONFIG_FILE):  # the configuration last: with it the adapter is whole
        with whole_file(folder / name, lasting=False) as stream:  # made again where it is not what it should be
            stream.write(content[name])
    return True


def is_there(folder: Path, content: dict[str, bytes]) -> bool:
    """Whether the folder's files have this content."""
    return all(_beginning(folder / name, len(data) + 1) == data for name, data in content.items())


def rank_there(folder: Path) -> int | None:
    """Return the rank of the adapter in the folder by its configuration; None where there is none."""
    try:
        rank = json.loads(_beginning(folder / CONFIG_FILE, MAX_CONFIG))["r"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return rank if type(rank) is int else None


def _beginning(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(length)
    except OSError:  # not there, a folder, not ours to read: writing says why
        return b""
