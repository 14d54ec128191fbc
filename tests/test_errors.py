"""How a run ends early: sentence and exit status of mistakes and signals, in processes of their own."""

import re
import signal
import subprocess
import sys

import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.errors import InputError, Interrupted, cause, ending, when_interrupted
from sprint_lmeval.models.hf_lazy import LazyWeights
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.selection.methods.forest import grow
from sprint_lmeval.strategies.selected import SelectorChoice
from tests.shared.environments import REPOSITORY

ENDINGS = [
    (InputError("layer 28 given"), ("error: layer 28 given", 2)),
    (KeyboardInterrupt(), ("interrupted", 130)),
    (Interrupted("3 of 9 answers are kept"), ("interrupted: 3 of 9 answers are kept", 130)),
    (ValueError("a bug"), None),
    (SystemExit(0), None),
]


@pytest.mark.parametrize(("error", "said"), ENDINGS)
def test_sentence_and_status(error, said):
    assert ending(error) == said


MISSING = [  # what runs without a package, and the sentence's end
    ("report", ["matplotlib", "plotly"], lambda: main(["report", "x", "-o", "y"])),
    ("encoder", ["sentence_transformers"], lambda: Encoder.find()),
    ("encoder", ["sentence_transformers"], lambda: SelectorChoice("tiny-sprint", None, True)),
    ("train", ["sklearn"], lambda: grow(None, None, 1, 1, 1.0, 0)),
    ("peft", ["peft"], lambda: LazyWeights._load(None, "model", peft="adapter")),
]


@pytest.mark.parametrize(("extra", "packages", "call"), MISSING, ids=[extra for extra, *_ in MISSING])
def test_a_missing_extra_is_named_in_one_sentence(monkeypatch, capsys, extra, packages, call):
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    try:
        assert call() == 2
        said = capsys.readouterr().err
    except InputError as error:
        said = str(error)
    assert re.search(rf"this needs {', '.join(packages)}, .*pip install 'sprint-lmeval\[{extra}\]'$", said.strip())
    assert f"{extra} = [" in (REPOSITORY / "pyproject.toml").read_text()


def test_what_is_kept_is_asked_for_when_an_interruption_comes():
    with pytest.raises(Interrupted, match=r"^1 of 2 answers are kept$"):
        with when_interrupted(lambda: "nothing"), when_interrupted(lambda: "1 of 2 answers are kept"):
            raise KeyboardInterrupt
    with when_interrupted(lambda: pytest.fail("asked without an interruption")):
        pass


@pytest.mark.parametrize(("error", "said"), [(OSError(" a\n  b "), "a b"), (KeyError(), "KeyError")])
def test_cause(error, said):
    assert cause(error) == said


PROGRAM = """
import sys, time
sys.path.insert(0, {repository!r})
sys.argv[0] = {program!r}
from sprint_lmeval.errors import show_one_sentence, Interrupted, InputError
show_one_sentence()
def wait():
    print("ready", flush=True)
    time.sleep(60)
{body}
"""
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
WAITS = "wait()"
DESTRUCTOR = """
class Waits:
    def __del__(self): wait()
Waits()
time.sleep(60)
"""
TURNED = """
try: wait()
except BaseException: raise ImportError("foreign code makes something else of it")
"""
CLEARS_UP = """
try: wait()
finally:
    time.sleep(0.5)
    print("cleared up", flush=True)
"""


def ended_by(number: int, body: str, program: str = "/bin/lm_eval", times: int = 1) -> tuple[int, str, str]:
    code = PROGRAM.format(repository=str(REPOSITORY), program=program, body=body)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-I", "-c", code], **pipes)
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        process.send_signal(number)
    said, errors = process.communicate(timeout=30)
    return process.returncode, said, errors


@pytest.mark.parametrize("body", [WAITS, DESTRUCTOR, TURNED], ids=["waits", "in a destructor", "turned"])
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["INT", "TERM", "HUP"],
)
def test_a_signal_ends_in_one_sentence_with_its_status(number, status, body):
    assert ended_by(number, body) == (status, "", "interrupted\n")


def test_further_signals_do_not_disturb_the_clearing_up():
    assert ended_by(signal.SIGHUP, CLEARS_UP, times=3) == (129, "cleared up\n", "interrupted\n")


def test_a_program_of_somebody_else_keeps_its_own_ways():
    status, _, errors = ended_by(signal.SIGINT, WAITS, program="/bin/notebook")
    assert status == -signal.SIGINT and "Traceback" in errors
    assert ended_by(signal.SIGTERM, WAITS, program="/bin/notebook")[0] == -signal.SIGTERM


def test_a_mistake_of_the_harness_command_line_has_the_status_of_ours():
    code = PROGRAM.format(repository=str(REPOSITORY), program="/bin/lm_eval", body="raise InputError('no such head')")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: no such head\n")
