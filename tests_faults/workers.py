"""Graders' worker processes that are killed, stopped or starved, and a job that is paused: no verdict changes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import psutil

from sprint_lmeval.answers.verdicts import Verdict, judge_many
from tests_faults.outcome import Child, Outcome

QUESTIONS = [  # gold, and an answer that needs algebra: right and wrong in turns
    (
        [rf"\boxed{{(x+{i})^2 - {i}^2}}", rf"\boxed{{x^2+{2 * i + 1}x}}", rf"\boxed{{x(x+{2 * i})}}"],
        rf"x^2 + {2 * i}x",
        "math",
    )
    for i in range(1, 61)
]
EXPECTED = [[Verdict.correct, Verdict.incorrect, Verdict.correct]] * len(QUESTIONS)


def _judged_while(disturb: Callable[[threading.Event], None], questions: int = len(QUESTIONS)) -> str | None:
    """Judge the first questions while `disturb` runs; returns what is wrong."""
    done = threading.Event()
    thread = threading.Thread(target=disturb, args=(done,))
    thread.start()
    try:
        found = [judgement.verdicts for judgement in judge_many(QUESTIONS[:questions])]
    finally:
        done.set()
        thread.join()
    wrong = [number for number, verdicts in enumerate(found) if verdicts != EXPECTED[number]]
    return f"questions {wrong[:5]} have other verdicts: {[found[n] for n in wrong[:2]]}" if wrong else None


def _workers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if any(part.endswith("worker.py") for part in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def killed(times: int) -> Outcome:
    """Kill the workers again and again while they judge; a worker that is killed in its start too."""
    outcome = Outcome("grader workers killed")
    for _ in range(times):
        count = [0]

        def kill(done: threading.Event, count=count) -> None:
            while not done.wait(0.4) and count[0] < 4:
                for worker in _workers()[:1]:
                    worker.kill()
                    count[0] += 1

        outcome.note(_judged_while(kill))
    return outcome


def stopped(times: int) -> Outcome:
    """Stop the workers (SIGSTOP) for longer than any limit by the clock, then let them go on."""
    outcome = Outcome("grader workers stopped for 6 s")
    for _ in range(times):

        def stop(done: threading.Event) -> None:
            done.wait(0.2)
            held = _workers()
            for worker in held:
                worker.suspend()
            time.sleep(6)
            for worker in held:
                if worker.is_running():
                    worker.resume()

        outcome.note(_judged_while(stop))
    return outcome


def starved(times: int) -> Outcome:
    """Run the workers at a low priority beside busy processes, where each gets about a twentieth of a core."""
    outcome = Outcome("grader workers starved")
    for _ in range(times):
        busy = [Child(_busy) for _ in range(2 * (psutil.cpu_count() or 1))]

        def starve(done: threading.Event) -> None:
            while not done.wait(0.1):
                for worker in _workers():
                    if worker.nice() < 10:
                        worker.nice(10)

        try:
            outcome.note(_judged_while(starve, questions=10))
        finally:
            for child in busy:
                child.signal(signal.SIGKILL)
                child.wait()
                child.output()
    return outcome


def _busy() -> None:
    while True:
        pass


def paused_job(times: int) -> Outcome:
    """Pause the whole job, workers included, for longer than any limit, and let it go on."""
    outcome = Outcome("the whole job paused for 8 s")
    for _ in range(times):

        def judge() -> None:
            found = [judgement.verdicts for judgement in judge_many(QUESTIONS)]
            assert found == EXPECTED

        child = Child(judge)
        time.sleep(1.0)
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
        for process in family:
            process.suspend()
        time.sleep(8)
        for process in family:
            process.resume()
        status = child.wait()
        outcome.note(None if status == 0 else child.output()[-300:])
    return outcome
