"""Answer workers: jobs in, replies out, from processes that can be killed. Standard library only.

A worker is a fresh Python process (never a fork of this one: the caller may hold torch threads or a CUDA context, and
its script may be unguarded). It is started when first needed, does one job at a time, dies when a job takes too much
processor time or memory, and is replaced when next needed. Callers may be threads; a forked child starts its own
workers. All end with this process, however it ends.

A job's limit is the worker's processor time. The clock is a backstop for a worker that neither computes nor ends: it
counts only while this process waits (not while the whole job is paused) and, on Linux, while the worker neither
computes nor waits for a processor (not while it gets little on a busy machine); then the job is tried once more.
"""

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sprint_lmeval.answers.worker import CPU_LIMIT_S, MEMORY_LIMIT
from sprint_lmeval.errors import InputError, cause

WALL_LIMIT_S = 5 * CPU_LIMIT_S  # of waiting for a worker that does nothing
START_LIMIT_S = 120  # the same while it starts, which is no job's fault
MAX_WORKERS = 8
ATTEMPTS = 3  # to start a worker, with a pause between them that grows
_PAUSE_S = 0.5
_WATCHES_MEMORY = sys.platform != "linux"  # elsewhere the worker's own limit on address space is not kept
_LOOK_EVERY_S = 0.1 if _WATCHES_MEMORY else 0.5


class NoWorkersError(InputError):
    """No worker can be had: this is nobody's wrong answer, so judging stops."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"answers cannot be compared: {problem}; responses in a store (store=FILE) are kept, and the same command "
            "run again goes on from there"
        )


class WorkerLostError(Exception):
    """The worker died before it began the job, which can go to another one."""


class Worker:
    """One worker process and its two pipes."""

    def __init__(self) -> None:
        path = json.dumps([str(entry) for entry in sys.path if entry])
        command = [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), path]
        environment = os.environ | {"SPRINT_LMEVAL_AUTOLOAD": "0"}
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, bufsize=0
            )
        except OSError as error:  # no descriptors, processes or memory left
            raise WorkerLostError(f"a worker process cannot be started ({cause(error)})") from error
        self.received = b""
        self._wait_until_ready()

    def run(self, job: dict) -> dict:
        """The reply to a job; {"timeout": True}, {"waited": True} or {"died": exit status} where the worker ended."""
        try:
            self.process.stdin.write(json.dumps(job | {"limit_s": CPU_LIMIT_S}).encode() + b"\n")
        except OSError as error:
            raise WorkerLostError("its workers are ended from outside before they begin") from error
        reply = self._receive(WALL_LIMIT_S)
        if reply and "died" in reply and not reply.get("too_large"):
            raise WorkerLostError("its workers are ended from outside before they begin")
        if reply and reply.get("begun"):
            reply = self._receive(WALL_LIMIT_S)
        if reply is None or "died" in reply or reply.get("retire"):
            self.end()
        if reply is None:
            return {"waited": True}
        return {"timeout": True} if reply.get("died") == -signal.SIGPROF else reply

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """Kill the process, close its pipes and leave no zombie."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def forget(self) -> None:
        """In a forked child: close our copies of the pipes; the process belongs to the parent."""
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        self.process.returncode = 0  # so that nothing here ever waits for it

    def _wait_until_ready(self) -> None:
        reply = self._receive(START_LIMIT_S) or {}
        if reply.get("ready"):
            return
        self.end()
        if "failed" in reply:
            raise NoWorkersError(f"their worker process fails ({reply['failed']}): is math-verify installed?")
        raise WorkerLostError(f"a worker process ends while it starts (exit status {self.process.returncode})")

    def _receive(self, limit_s: float) -> dict | None:
        """The next line, {"died": exit status} at the end of the pipe, None after `limit_s` of standing still."""
        looks, seen = max(1, round(limit_s / _LOOK_EVERY_S)), None
        while b"\n" not in self.received:
            if not _readable(self.process.stdout, _LOOK_EVERY_S):
                before, seen = seen, _activity(self.process.pid)
                looks -= seen is None or (seen == before and not seen.runnable)
                if looks <= 0:
                    return None
                if _WATCHES_MEMORY and _resident_bytes(self.process.pid) > MEMORY_LIMIT:
                    self.process.kill()
                    return {"died": self.process.wait(), "too_large": True}
                continue
            received = os.read(self.process.stdout.fileno(), 65536)
            if not received:
                return {"died": self.process.wait()}
            self.received += received
        line, self.received = self.received.split(b"\n", 1)
        return json.loads(line)


class WorkerPool:
    """At most one worker per core (and eight), shared by all threads of the process."""

    def __init__(self) -> None:
        self.size = max(1, min(MAX_WORKERS, _cores()))
        self._free = threading.Semaphore(self.size)
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()

    def run(self, job: dict) -> dict:
        """One job, in a free worker or a new one; again, twice at most, where somebody else killed the worker.

        Raises:
            NoWorkersError: no worker starts, or each one dies before it begins.
        """
        with self._free:
            for _ in range(ATTEMPTS):
                reply = self._run(job)
                if reply.get("died") != -signal.SIGKILL or reply.get("too_large"):  # not killed for want of memory, say
                    break
            return self._again(job) if reply.get("waited") else reply

    def _again(self, job: dict) -> dict:
        reply = self._run(job)
        return {"timeout": True} if reply.get("waited") else reply

    def _run(self, job: dict) -> dict:
        for attempt in range(ATTEMPTS):
            try:
                worker = self._start() if attempt else self._take()
                return self._ask(worker, job)
            except WorkerLostError as error:  # killed while it started, or between its last job and this one
                problem = str(error)
                time.sleep(_PAUSE_S * attempt)
        raise NoWorkersError(problem)

    def _ask(self, worker: Worker, job: dict) -> dict:
        try:
            return worker.run(job)
        except WorkerLostError:
            raise
        except BaseException:  # interrupted: its reply would be taken for the next job's
            worker.end()
            raise
        finally:
            self._give_back(worker)

    def each(self, function, items: list) -> list:
        """The function of every item, in as many threads as there are workers."""
        if len(items) < 2:
            return [function(item) for item in items]
        try:
            with ThreadPoolExecutor(max_workers=min(self.size, len(items))) as threads:
                return list(threads.map(function, items))
        except RuntimeError as error:
            if "start new thread" not in str(error):
                raise
            raise NoWorkersError(cause(error)) from error

    def end(self) -> None:
        """End every worker."""
        with self._lock:
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.end()

    def forget(self) -> None:
        """In a forked child: drop the parent's workers without touching them."""
        for worker in self._all:
            worker.forget()

    def _take(self) -> Worker:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is not None and worker.alive:
            return worker
        if worker is not None:
            self._give_back(worker)
        return self._start()

    def _start(self) -> Worker:
        worker = Worker()
        with self._lock:
            self._all.add(worker)
        return worker

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            if worker.alive and worker in self._all:
                if worker not in self._idle:
                    self._idle.append(worker)
                return
            self._all.discard(worker)
        worker.end()


_pool: WorkerPool | None = None
_pool_lock = threading.Lock()


def pool() -> WorkerPool:
    """The pool of this process."""
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = WorkerPool()
        return _pool


def _end_pool() -> None:
    if _pool is not None:
        _pool.end()


def _after_fork() -> None:
    global _pool, _pool_lock
    inherited, _pool, _pool_lock = _pool, None, threading.Lock()
    if inherited is not None:
        inherited.forget()


def _readable(pipe, timeout_s: float) -> bool:
    with selectors.PollSelector() as selector:  # takes no descriptor of its own
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))


class _Activity(NamedTuple):
    """What a process did: ticks it has computed, and whether it computes or waits for a processor now."""

    ticks: int
    runnable: bool


def _activity(process_id: int) -> _Activity | None:
    """None where the system does not say."""
    try:
        with open(f"/proc/{process_id}/stat", encoding="ascii", errors="replace") as shown:
            fields = shown.read().rpartition(")")[2].split()
        return _Activity(sum(map(int, fields[11:13])), fields[0] == "R")
    except (OSError, ValueError, IndexError):
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _resident_bytes(process_id: int) -> int:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(process_id)], capture_output=True, text=True).stdout.strip()
    return int(shown) * 1024 if shown.isdigit() else 0


atexit.register(_end_pool)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
