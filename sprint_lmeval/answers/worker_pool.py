"""Answer workers: jobs in, replies out, from processes that can be killed. Standard library only.

A worker is a fresh Python process (never a fork of this one: the caller may hold torch threads or a CUDA context, and
its script may be unguarded). It is started when first needed, does one job at a time, is killed when a job takes too
long or too much memory, and is replaced when next needed. Callers may be threads; a forked child starts its own
workers. All end with this process: orderly at exit, else because their input ends.
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

from sprint_lmeval.answers.worker import CPU_LIMIT_S, MEMORY_LIMIT

WALL_LIMIT_S = 2 * CPU_LIMIT_S  # of one job, for a worker that waits instead of computing
START_LIMIT_S = 120  # of a worker's start, which is no job's fault
MAX_WORKERS = 8
_WATCH_EVERY_S = 0.1
_WATCHES_MEMORY = sys.platform != "linux"  # elsewhere the worker's own limit on address space is not kept


class WorkerLostError(Exception):
    """The worker died before it began the job, which can go to another one."""


class Worker:
    """One worker process and its two pipes."""

    def __init__(self) -> None:
        path = json.dumps([str(entry) for entry in sys.path if entry])
        command = [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), path]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"SPRINT_LMEVAL_AUTOLOAD": "0"},
            bufsize=0,
        )
        self.received = b""
        self._wait_until_ready()

    def run(self, job: dict) -> dict:
        """The reply to a job; {"timeout": True} or {"died": exit status} where it ended the worker."""
        try:
            self.process.stdin.write(json.dumps(job | {"limit_s": CPU_LIMIT_S}).encode() + b"\n")
        except OSError as error:
            raise WorkerLostError from error
        deadline = time.monotonic() + WALL_LIMIT_S
        reply = self._receive(deadline)
        if reply and "died" in reply and not reply.get("too_large"):
            raise WorkerLostError
        if reply and reply.get("begun"):
            reply = self._receive(deadline)
        if reply is None or "died" in reply or reply.get("retire"):
            self.end()
        return {"timeout": True} if reply is None or reply.get("died") == -signal.SIGPROF else reply

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
        reply = self._receive(time.monotonic() + START_LIMIT_S)
        if not (reply and reply.get("ready")):
            self.end()
            cause = (reply or {}).get("failed") or f"no sign of life, exit status {self.process.returncode}"
            raise RuntimeError(f"the process that compares answers cannot start ({cause}): is math-verify installed?")

    def _receive(self, deadline: float) -> dict | None:
        """The next line, {"died": exit status} at the end of the pipe, None past the deadline."""
        while b"\n" not in self.received:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            if not _readable(self.process.stdout, min(left_s, _WATCH_EVERY_S) if _WATCHES_MEMORY else left_s):
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
        """One job, in a worker that is free or a new one."""
        with self._free:
            for attempt in range(3):
                worker = self._start() if attempt else self._take()
                try:
                    return worker.run(job)
                except WorkerLostError:  # it died between its last job and this one
                    continue
                except BaseException:  # interrupted: its reply would be taken for the next job's
                    worker.end()
                    raise
                finally:
                    self._give_back(worker)
        raise RuntimeError("the processes that compare answers die before they begin: something ends them from outside")

    def run_many(self, jobs: list[dict]) -> list[dict]:
        """The replies to independent jobs, in order, from all cores."""
        return self.each(self.run, jobs)

    def each(self, function, items: list) -> list:
        """The function of every item, in as many threads as there are workers."""
        if len(items) < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(max_workers=min(self.size, len(items))) as threads:
            return list(threads.map(function, items))

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
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _resident_bytes(process_id: int) -> int:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(process_id)], capture_output=True, text=True).stdout.strip()
    return int(shown) * 1024 if shown.isdigit() else 0


atexit.register(_end_pool)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
