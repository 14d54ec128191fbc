"""How a run ends early: one sentence for a mistake or an interruption, and an exit status.

`InputError`: what was typed or named is wrong, exit status 2. `Interrupted`: Ctrl-C, SIGTERM or SIGHUP, exit status
130, 143 or 129. Where a command line owns the process, `show_one_sentence` prints the sentence and nothing else.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HARNESS_TRACKER = "lm_eval.loggers.evaluation_tracker"  # who writes results and samples
COMMAND_LINES = ("/lm_eval", "/lm-eval", "/sprint-lmeval", "lm_eval/__main__.py", "sprint_lmeval/__main__.py")
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
CLEARING_UP_S = 3.0  # for so long after a signal further ones change nothing: a terminal that closes sends several


class InputError(ValueError):
    """A mistake in what was typed or in a file that was named; its text says what was given, allowed, and to do."""


def needs(extra: str, *packages: str) -> None:
    """Raise InputError with the extra to install where one of the packages that it brings is missing."""
    from importlib.util import find_spec

    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise InputError(f"this needs {', '.join(missing)}, not installed here: pip install 'sprint-lmeval[{extra}]'")


class Interrupted(KeyboardInterrupt):
    """A signal ended the run; its text says what is kept and how to go on, or is empty."""


@contextmanager
def when_interrupted(kept: Callable[[], str]) -> Iterator[None]:
    """Within the block, an interruption says what is kept: `kept()` is asked for it when one comes.

    Such as `139 of 990 answers are kept in heads.answers.sqlite; the same command goes on`.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(str(stop) or kept()) from None


def cause(error: BaseException, length: int = 200) -> str:
    """Return what third-party code said, on one line and cut to a length; the error's kind where it said nothing."""
    return " ".join(str(error).split())[:length] or type(error).__name__


def ending(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence and the exit status with which an error ends a command, None for any other error.

    After a signal every error is an interruption: third-party code may have made something else of it.
    """
    if isinstance(error, InputError) and _received.signal is None:
        return f"error: {error}", 2
    if isinstance(error, KeyboardInterrupt) or _received.signal is not None:
        said = str(error) if isinstance(error, Interrupted) else ""
        return f"interrupted: {said}" if said else "interrupted", 128 + (_received.signal or signal.SIGINT)
    return None


def end(sentence: str) -> None:
    """Print the last sentence; a signal from now on ends the process at once."""
    print(sentence, file=sys.stderr)
    for number in SIGNALS if _received.signal is not None else ():
        signal.signal(number, signal.SIG_DFL)


# ---- where a command line owns the process ----


def is_command_line() -> bool:
    """Return whether this process runs the harness's command line or ours, and not somebody's own program."""
    return _program().endswith(COMMAND_LINES)


def show_one_sentence() -> None:
    """Where a command line owns the process, end it with one sentence for a mistake, a signal, and unsaved results.

    Inside a notebook, a server or a test, exceptions travel unchanged; `SPRINT_LMEVAL_TRACEBACK=1` keeps the traceback
    everywhere.
    """
    if not is_command_line():
        return
    tracker = logging.getLogger(HARNESS_TRACKER)
    if not any(isinstance(f, _UnsavedResults) for f in tracker.filters):
        tracker.addFilter(_UnsavedResults())
    if os.environ.get("SPRINT_LMEVAL_TRACEBACK") == "1" or isinstance(sys.excepthook, _Sentence):
        return
    sys.excepthook = _Sentence(sys.excepthook)
    sys.unraisablehook = _raised_again(sys.unraisablehook)
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # not under nohup
                signal.signal(number, _interrupt)


def _program() -> str:
    """The file that Python runs, with its folder's name; while start-up files run, `python -m` has not found it yet."""
    given = sys.argv[0] if sys.argv else ""
    if given == "-m":
        given = f"{sys.orig_argv[sys.orig_argv.index('-m') + 1]}/__main__.py"
    return f"{os.path.basename(os.path.dirname(given))}/{os.path.basename(given)}"


class _Received:
    """The first signal that came, and until when further ones belong to it."""

    signal: int | None = None
    until = 0.0


_received = _Received()


def _interrupt(number: int, frame: object) -> None:
    if time.monotonic() < _received.until:
        return
    _received.signal = _received.signal or number
    _received.until = time.monotonic() + CLEARING_UP_S
    raise Interrupted


class _Sentence:
    """An excepthook that says one sentence and sets the exit status; other errors go to the hook before it."""

    def __init__(self, other_hook: Callable) -> None:
        self.other_hook = other_hook

    def __call__(self, kind, error, traceback) -> None:
        said = ending(error)
        if said is None:
            self.other_hook(kind, error, traceback)
            return
        end(said[0])
        raise SystemExit(said[1])


def _raised_again(other_hook: Callable) -> Callable:
    """An interruption that came inside a destructor or a callback is lost there: raise it once more, outside."""

    def unraisable(lost) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            other_hook(lost)
            return
        _received.until = 0.0
        again = threading.main_thread().ident, _received.signal or signal.SIGINT
        threading.Timer(0.05, signal.pthread_kill, again).start()

    return unraisable


class _UnsavedResults(logging.Filter):
    """The harness logs that it could not write its results, and ends as if it had: here that is an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        problem = sys.exc_info()[1]
        unwritten = isinstance(problem, OSError) and problem.errno is not None  # a failed upload has no number
        if unwritten and record.getMessage().startswith("Could not save"):
            raise InputError(
                f"results could not be written ({problem}): free some space or give another --output_path"
            ) from None
        return True
