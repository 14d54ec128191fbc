"""The lock of a store: one holder, gone at the end, freed by a kill."""

import subprocess
import sys
import threading

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.harness.one_at_a_time import alone_with
from tests.shared.environments import REPOSITORY

HOLDER = f"""
import sys, time, pathlib
sys.path.insert(0, {str(REPOSITORY)!r})
from sprint_lmeval.harness.one_at_a_time import alone_with
with alone_with(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(store) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, store], **pipes)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("ended_by", ["itself", "a kill"])
def test_a_second_one_waits_for_the_end_of_the_first(tmp_path, ended_by):
    first = holder(tmp_path / "s")
    entered = threading.Event()

    def second() -> None:
        with alone_with(tmp_path / "s"):
            entered.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not entered.wait(0.3)
    first.stdin.close() if ended_by == "itself" else first.kill()
    thread.join(timeout=20)
    assert entered.is_set() and first.wait(timeout=20) is not None
    assert list(tmp_path.iterdir()) == []


def test_many_in_turn_never_meet(tmp_path):
    inside, most, done = [], [], []

    def one() -> None:
        with alone_with(tmp_path / "s"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()
        done.append(1)

    threads = [threading.Thread(target=one) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (len(done), max(most)) == (30, 1)


def test_other_processes_of_one_launch_do_not_wait(tmp_path, monkeypatch):
    with alone_with(tmp_path / "s"):
        monkeypatch.setenv("RANK", "1")
        with alone_with(tmp_path / "s"):
            pass


def test_where_no_file_can_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"), alone_with(tmp_path / "file" / "s"):
        pass
