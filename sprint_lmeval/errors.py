"""What a user's mistake becomes: one sentence, and where the harness's command line runs, nothing but that sentence."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

HARNESS_TRACKER = "lm_eval.loggers.evaluation_tracker"  # who writes results and samples


class InputError(ValueError):
    """A mistake in what was typed or in a file that was named; its text says what was given, allowed, and to do."""


def cause(error: BaseException, length: int = 200) -> str:
    """Return what foreign code said, on one line and cut to a length; the error's kind where it said nothing."""
    return " ".join(str(error).split())[:length] or type(error).__name__


def show_one_sentence() -> None:
    """Where a command line owns the process, end it with one sentence for an `InputError` and for unsaved results.

    Inside a notebook, a server or a test, exceptions travel unchanged; `SPRINT_LMEVAL_TRACEBACK=1` keeps the traceback
    everywhere.
    """
    program = os.path.basename(os.path.dirname(sys.argv[0])) + "/" + os.path.basename(sys.argv[0])
    if not program.endswith(
        ("/lm_eval", "/lm-eval", "/sprint-lmeval", "lm_eval/__main__.py", "sprint_lmeval/__main__.py")
    ):
        return
    tracker = logging.getLogger(HARNESS_TRACKER)
    if not any(isinstance(f, _UnsavedResults) for f in tracker.filters):
        tracker.addFilter(_UnsavedResults())
    if os.environ.get("SPRINT_LMEVAL_TRACEBACK") != "1":
        sys.excepthook = _sentence_before(sys.excepthook)


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


def _sentence_before(other_hook: Callable) -> Callable:
    def sentence(kind, error, traceback) -> None:
        if issubclass(kind, InputError):
            print(f"error: {error}", file=sys.stderr)
        else:
            other_hook(kind, error, traceback)

    return sentence
