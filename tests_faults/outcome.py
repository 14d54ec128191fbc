"""What came of one kind of fault, and work in a process that may be killed."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Counts of one kind of fault.

    Attributes:
        name: the fault.
        tried: how many times.
        survived: how many of them ended as they should.
        lost: answers that were lost, doubled or changed; must be 0.
        said: what there is to tell beyond the counts.
        failures: one line for each that did not end as it should.
    """

    name: str
    tried: int = 0
    survived: int = 0
    lost: int = 0
    said: str = ""
    failures: list[str] = field(default_factory=list)

    def note(self, problem: str | None, lost: int = 0) -> None:
        """Count one try; `problem` is None where it ended as it should."""
        self.tried += 1
        self.lost += lost
        if problem is None and not lost:
            self.survived += 1
        else:
            self.failures.append(problem or f"{lost} answers lost")


class Child:
    """A copy of this process that runs one function; its last line of standard error says how it ended."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.reading)
            _work_and_end(work, writing)
        os.close(writing)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = 120) -> int:
        """Return the exit status, minus the signal where one ended it."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        self.signal(signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise TimeoutError(f"a process did not end within {timeout_s} s")

    def output(self) -> str:
        """Return what it said; call it once, after `wait`."""
        with os.fdopen(self.reading, "rb") as stream:
            return stream.read().decode("utf-8", "replace")


def _work_and_end(work: Callable[[], object], writing: int) -> None:
    """Never returns: a copy of a process must not run what stands behind the fork."""
    status = 1
    try:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
