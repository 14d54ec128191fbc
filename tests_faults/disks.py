"""A disk that is full or may not be written: one sentence, and what was there stays whole."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sprint_lmeval.cli import main
from sprint_lmeval.generation.rows import Response
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.selection.selector import Selector
from sprint_lmeval.store.database import Store
from tests.scripted.test_known_answers import by_candidate
from tests.shared.environments import REPOSITORY
from tests.shared.gate_examples import write_run
from tests.shared.scripted import patched
from tests_faults.outcome import Child, Outcome

SELECTOR = REPOSITORY / "selectors" / "tiny-cover"
MATRIX = REPOSITORY / "results" / "sprint" / "tiny" / "test.parquet"


def fill_store(folder: Path) -> None:
    with Store.open(folder / "answers.sqlite") as store:
        for number in range(2_000):
            store.put(number.to_bytes(32, "big"), Response("a long answer " * 100, False, 5))


def save_matrix(folder: Path) -> None:
    OutcomeMatrix.load(MATRIX).save(folder / "matrix.parquet", overwrite=True)


def save_selector(folder: Path) -> None:
    Selector.from_pretrained(str(SELECTOR)).save_pretrained(folder / "selector", overwrite=True)


def write_report(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as runs:
        write_run(Path(runs), ["icii", "iiic", "cccc"] * 4, sprint={"strategy": "spread"})
        assert main(["report", runs, "-o", str(folder / "report")]) == 0


def write_baseline(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as runs:
        write_run(Path(runs), ["icii", "iiic", "cccc"] * 400, sprint={"strategy": "spread"})
        assert main(["baseline", runs, "-o", str(folder / "baseline.json"), "--overwrite"]) == 0


def write_results(folder: Path) -> None:
    """The harness's own results and samples."""
    run = (
        "run -n 2 --model hf-pruned-bon --model_args pretrained=tiny,head_masks=base:L0H0 --tasks tiny_passn --limit 3"
    )
    sys.argv[0] = "bin/sprint-lmeval"  # a command line owns the process, so that results that are not written end it
    with patched(by_candidate):
        status = main(
            [*run.split(), "--limit", "3", "--device", "cpu", "--log_samples", "--output_path", str(folder / "results")]
        )
    assert status == 0


WRITERS: dict[str, Callable[[Path], None]] = {
    "store": fill_store,
    "results": write_results,
    "matrix": save_matrix,
    "selector": save_selector,
    "report": write_report,
    "baseline": write_baseline,
}


def full_disk() -> Outcome:
    return _under("full disk", _full)


def read_only_disk() -> Outcome:
    return _under("read-only disk", _read_only)


def _under(name: str, disk: Callable) -> Outcome:
    outcome, ways = Outcome(name), set()
    for what, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder, disk(Path(folder), write) as (place, before_writing, way):
            ways.add(way)
            before = _digests(place)

            def work(place=place, before_writing=before_writing, write=write) -> None:
                before_writing()
                write(place)

            child = Child(work)
            status, said = child.wait(), child.output()
            changed = [
                n for n, d in before.items() if not n.startswith("answers.sqlite") and _digests(place).get(n) != d
            ]
            lines = [line for line in said.splitlines() if line.strip()]
            refused = status != 0 and any("InputError" in line or line.startswith("error: ") for line in lines)
            problem = None if refused and not changed else f"{what}: status {status}, changed {changed}, {lines[-1:]}"
            outcome.note(problem)
    outcome.said = f"under {', '.join(WRITERS)} ({', '.join(sorted(ways))})"
    return outcome


@contextmanager
def _full(folder: Path, write: Callable) -> Iterator[tuple[Path, Callable, str]]:
    """A disk with what was written before and no room beside; without the right to mount, a limit on file sizes."""
    place = folder / "disk"
    place.mkdir()
    if _mount(place, "size=16m"):
        try:
            _written_before(write, place)
            _fill(place)
            yield place, lambda: None, "a mounted disk without room"
        finally:
            subprocess.run(["umount", "-l", place], check=True)
    else:
        _written_before(write, place)
        yield place, _limit_files, "a limit of 1 kB on every file"


@contextmanager
def _read_only(folder: Path, write: Callable) -> Iterator[tuple[Path, Callable, str]]:
    place = folder / "disk"
    place.mkdir()
    if _mount(place, "size=16m"):
        try:
            _written_before(write, place)
            subprocess.run(["mount", "-o", "remount,ro", place], check=True)
            yield place, lambda: None, "a disk mounted for reading"
        finally:
            subprocess.run(["umount", "-l", place], check=True)
    else:
        _written_before(write, place)
        for path in (place, *place.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            yield place, lambda: None, "folders without the right to write"
        finally:
            for path in (place, *place.rglob("*")):
                path.chmod(0o755)


def _written_before(write: Callable, place: Path) -> None:
    """In a process of its own, which keeps what it prints and installs to itself."""
    child = Child(lambda: write(place))
    status = child.wait()
    assert status == 0, child.output()


def _mount(place: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0


def _fill(place: Path) -> None:
    with open(place / "filling", "wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    stream.write(b"\0" * size)
            except OSError:
                continue


def _limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


def _digests(place: Path) -> dict[str, str]:
    files = [path for path in place.rglob("*") if path.is_file()]
    return {str(p.relative_to(place)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
