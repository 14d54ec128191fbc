"""What a user's mistake becomes: one sentence, and where the harness's command line runs, nothing but that sentence."""

import os
import sys


class InputError(ValueError):
    """A mistake in what was typed or in a file that was named; its text says what was given, allowed, and to do."""


def show_one_sentence() -> None:
    """Print an `InputError` that ends a command line as its sentence, without a traceback.

    Only where a command line owns the process: inside a notebook, a server or a test the exception travels
    unchanged, and `SPRINT_LMEVAL_TRACEBACK=1` keeps the traceback everywhere.
    """
    program = os.path.basename(os.path.dirname(sys.argv[0])) + "/" + os.path.basename(sys.argv[0])
    owns_process = program.endswith(("/lm_eval", "/lm-eval", "/sprint-lmeval", "lm_eval/__main__.py"))
    if owns_process and os.environ.get("SPRINT_LMEVAL_TRACEBACK") != "1":
        sys.excepthook = _sentence_or_traceback


def _sentence_or_traceback(kind, error, traceback) -> None:
    if issubclass(kind, InputError):
        print(f"error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)
