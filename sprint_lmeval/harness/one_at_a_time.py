"""Lets one sweep at a time fill a store: a second one waits, and then finds the answers of the first."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sprint_lmeval.errors import InputError

log = logging.getLogger(f"lm_eval.{__name__}")


@contextmanager
def alone_with(store: Path) -> Iterator[None]:
    """Hold the lock of a store, a file beside it that is gone at the end; the processes of one launch share it.

    The operating system frees the lock of a process that is killed; the next sweep removes its file.

    Raises:
        InputError: the lock's file cannot be made.
    """
    if os.environ.get("RANK", "0") != "0":  # torch.distributed: another process of the sweep that rank 0 is part of
        yield
        return
    path = store.with_name(f"{store.name}.lock")
    try:
        lock = _locked(path, store)
    except OSError as error:
        raise InputError(f"{path} cannot be made ({error.strerror}): give another --store") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is freed: whoever has waited sees that the file is another one
        os.close(lock)


def _locked(path: Path, store: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            _wait_for(lock, store)
            with suppress(FileNotFoundError):  # another sweep may remove it at any moment
                if os.path.samestat(os.fstat(lock), path.stat()):
                    return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _wait_for(lock: int, store: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("another sweep fills %s: waiting for its end, its answers serve this one too", store)
        fcntl.flock(lock, fcntl.LOCK_EX)
