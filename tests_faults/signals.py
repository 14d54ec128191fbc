"""Ctrl-C, SIGTERM and SIGHUP in every phase of a run: one sentence, the shell's exit status, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil

from tests.shared.environments import REPOSITORY
from tests_faults.outcome import Outcome

SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}
MARK = "SPRINT_FAULTS_RUN"
SCRIPT = '''
import sys, time
from pathlib import Path
phase = sys.argv.pop(1)
def reached():
    Path("reached").touch()
sys.path.insert(0, {repository!r})
sys.argv[0] = str(Path(sys.executable).with_name("sprint-lmeval"))
from sprint_lmeval.errors import show_one_sentence
show_one_sentence()  # as the start-up hook does before anything is imported
if phase == "importing":
    reached()
from sprint_lmeval.cli import main

def slowed(module, name, seconds):
    """Put a wait into a function, which says that it was reached."""
    real = getattr(module, name)
    def slow(*given, **named):
        reached()
        time.sleep(seconds)
        return real(*given, **named)
    setattr(module, name, slow)

if phase == "generating":
    from sprint_lmeval.models import hf
    real = hf.generate
    def generate(*given, **named):
        for number, pair in enumerate(real(*given, **named)):
            yield pair
            if number >= 5:
                reached()
            time.sleep(0.3)
    hf.generate = generate
if phase == "grading":
    import sprint_lmeval.passn.task as task
    slowed(task, "question_metrics", 0.5)
if phase == "writing":
    from lm_eval.loggers import EvaluationTracker
    slowed(EvaluationTracker, "save_results_aggregated", 3)
sys.exit(main())
'''
ARGUMENTS = (
    "run -n 4 --model hf-pruned-bon --model_args pretrained=tiny,store=answers.sqlite --tasks tiny_passn --limit 10 "
    "--batch_size 4 --output_path out --log_samples --device cpu"
).split()
PHASES = ("importing", "generating", "grading", "writing")


def signals(names: tuple[str, ...]) -> Outcome:
    """Send each signal in each phase."""
    outcome = Outcome(f"{', '.join(names)} in each phase")
    for phase in PHASES:
        for name in names:
            outcome.note(_problem(phase, SIGNALS[name]))
    outcome.said = ", ".join(PHASES)
    return outcome


def _problem(phase: str, number: signal.Signals) -> str | None:
    with tempfile.TemporaryDirectory() as name:
        folder, mark = Path(name), uuid.uuid4().hex
        (folder / "script.py").write_text(SCRIPT.format(repository=str(REPOSITORY)))
        process = subprocess.Popen(
            [sys.executable, "script.py", phase, *ARGUMENTS],
            cwd=folder,
            env=os.environ | {MARK: mark, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        _wait_for(folder / "reached", process)
        time.sleep(0.3)
        process.send_signal(number)
        try:
            said = process.communicate(timeout=60)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            return f"{phase}, {number.name}: still there after 60 s"
        return _wrong(phase, number, process.returncode, said, folder, mark)


def _wait_for(file: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while not file.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)


def _wrong(phase: str, number: signal.Signals, status: int, said: str, folder: Path, mark: str) -> str | None:
    last = said.strip().splitlines()[-1:] or [""]
    where = f"{phase}, {number.name}"
    if status != 128 + number:
        return f"{where}: exit status {status}, {last[0][:200]}"
    if "Traceback" in said:
        return f"{where}: a traceback"
    if not last[0].startswith("interrupted"):
        return f"{where}: the last line is {last[0][:200]!r}"
    if phase == "generating" and "answers are kept in answers.sqlite" not in last[0]:
        return f"{where}: {last[0]!r} does not say what is kept"
    if left := _left(mark):
        return f"{where}: {left} processes are left"
    hidden = [str(path.relative_to(folder)) for path in folder.rglob(".*")]
    return f"{where}: files {hidden} are left" if hidden else None


def _left(mark: str) -> int:
    """Count the run's processes; those that end when it ends get ten seconds, which a busy machine may need."""
    until = time.monotonic() + 10
    while (left := sum(_has(process, mark) for process in psutil.process_iter())) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except psutil.Error:
        return False
