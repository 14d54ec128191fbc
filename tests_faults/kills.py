"""A run that is killed (SIGKILL) at a random moment: what it had finished is there, nothing twice, and it goes on."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from pathlib import Path

from tests.scripted.test_known_answers import BY_HAND, CANDIDATES, by_candidate
from tests.shared.scripted import evaluate, numbered, patched, task_manager
from tests_faults.outcome import Child, Outcome

ROWS = 30
PAUSE_S = 0.02  # after each answer, so that a kill falls between any two of them


def kills(count: int, seed: int) -> Outcome:
    """Kill `count` runs at random moments, each from its start to behind its end, and finish each afterwards."""
    outcome, draw = Outcome(f"killed at {count} random moments"), random.Random(seed)
    task_manager(), numbered()  # read once here, not in every copy of this process
    with tempfile.TemporaryDirectory() as folder:
        whole_s = _seconds_of_a_run(Path(folder) / "whole.sqlite")
        for number in range(count):
            store = Path(folder) / f"{number}.sqlite"
            child = Child(lambda store=store: _run(store))
            time.sleep(draw.uniform(0, 1.1 * whole_s))
            child.signal(9)
            child.wait()
            acknowledged = child.output().count("kept\n")
            lost = max(0, acknowledged - _stored(store))
            outcome.note(_problem(store), lost)
    outcome.said = f"each finished afterwards; a whole run takes {whole_s:.1f} s"
    return outcome


def _run(store: Path) -> None:
    """Answer by the script, slowly, and say `kept` for every answer that the store has taken."""

    def slowly(number: int, candidate: str, sample: int) -> str:
        print("kept" if len(decoded) > 1 else "begun", flush=True)  # the one before this was taken
        time.sleep(PAUSE_S)
        return by_candidate(number, candidate, sample)

    with patched(slowly) as decoded:
        evaluate(6, head_masks=CANDIDATES, store=str(store))


def _seconds_of_a_run(store: Path) -> float:
    before = time.monotonic()
    child = Child(lambda: _run(store))
    status = child.wait()
    assert status == 0, child.output()
    return time.monotonic() - before


def _stored(store: Path) -> int:
    if not store.exists():
        return 0
    with sqlite3.connect(store) as file:
        tables = file.execute("SELECT count(*) FROM sqlite_master WHERE name = 'responses'").fetchone()[0]
        return file.execute("SELECT count(*) FROM responses").fetchone()[0] if tables else 0


def _problem(store: Path) -> str | None:
    """Finish the run in a process of its own; returns what is wrong with its table."""
    before = _stored(store)

    def finish() -> None:
        with patched(by_candidate) as decoded:
            metrics, _ = evaluate(6, head_masks=CANDIDATES, store=str(store))
        assert len(decoded) == ROWS - before, f"{len(decoded)} answers generated, {before} of {ROWS} were there"
        wrong = {name: metrics[name] for name in BY_HAND if abs(metrics[name] - BY_HAND[name]) > 1e-9}
        assert not wrong, wrong

    child = Child(finish)
    status = child.wait()
    return None if status == 0 and _stored(store) == ROWS else child.output()[-300:]
