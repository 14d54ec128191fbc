"""The process that compares answers with sympy: one JSON line in, two out per job, until its input ends.

Started by path, by worker_pool.py. Model output is hostile input for a symbolic parser, so every job runs under limits
that the operating system keeps: processor time (the process dies when a job exceeds it) and address space. A thread
ends the process when its parent has ended, however that came. What sympy prints goes nowhere; the protocol has its own
copies of the two pipes.

Jobs: {"gold": text} -> {"problem": text or null}; {"gold": text, "answer": text} -> {"same": bool};
      {"answer": text, "others": [texts]} -> {"index": the first equal one, or null}. All may hold "limit_s".
A job's first line says {"begun": true}; its second is the reply, {"raised": text} where it failed, with "retire": true
where the process has grown and should not be used again.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time

CPU_LIMIT_S = 2.0  # of one job; the slowest honest answer takes a tenth of it
MEMORY_LIMIT = 1_000_000_000  # bytes of address space of a worker
_LOOK_EVERY_S = 0.5
RETIRE_ABOVE = 400_000_000  # bytes ever resident: a worker that has grown to this is replaced after its job


def main() -> None:
    """Serve jobs on the pipes that were standard input and output."""
    jobs, replies = _take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter; its end closes our input
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        from sprint_lmeval.answers import symbolic
    except Exception as error:  # reported to the parent, which raises it
        _send(replies, {"failed": f"{type(error).__name__}: {error}"})
        return
    _limit_memory()
    _send(replies, {"ready": True})
    for line in jobs:
        _send(replies, {"begun": True})
        _send(replies, _serve(symbolic, json.loads(line)))


def _end_with(parent: int) -> None:
    """Also while the worker starts or computes, when nobody looks at the end of its input."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(0)


def _take_pipes():
    jobs, replies = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return jobs, replies


def _limit_memory() -> None:
    import resource

    for limit, value in ((resource.RLIMIT_AS, MEMORY_LIMIT), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # macOS keeps none on address space: there the parent watches
            resource.setrlimit(limit, (value, value))


def _serve(symbolic, job: dict) -> dict:
    signal.setitimer(signal.ITIMER_PROF, job.get("limit_s", CPU_LIMIT_S))
    try:
        reply = _answer(symbolic, job)
    except BaseException as error:  # third-party code on untrusted text: the failure becomes a verdict that is counted
        reply = {"raised": type(error).__name__}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    reply["retire"] = _peak_memory() > RETIRE_ABOVE or reply.get("raised") in ("MemoryError", "RecursionError")
    return reply


def _answer(symbolic, job: dict) -> dict:
    if "others" in job:
        pairs = ((index, other) for index, other in enumerate(job["others"]))
        same = (index for index, other in pairs if _either_way(symbolic, other, job["answer"]))
        return {"index": next(same, None)}
    if "answer" in job:
        return {"same": bool(symbolic.same_answer(job["gold"], job["answer"]))}
    return {"problem": symbolic.gold_problem(job["gold"])}


def _either_way(symbolic, left: str, right: str) -> bool:
    """Between two responses neither is the gold answer, and the comparison is not symmetric."""
    try:
        return symbolic.same_answer(left, right) or symbolic.same_answer(right, left)
    except (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError):
        return False  # one odd answer must not keep the others apart


def _peak_memory() -> int:
    """Bytes ever resident in this process. On Linux `ru_maxrss` starts at what the parent, with its model, holds."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _send(replies, reply: dict) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    main()
