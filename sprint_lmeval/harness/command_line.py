"""The harness's own command line for our commands: options in, its parsed arguments out, mistakes in one sentence.

`evaluate_replaced_by` lets `run` and `sweep` step in where the harness evaluates; `quick_index` spares them its tasks.
"""

from __future__ import annotations

import argparse
import difflib
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sprint_lmeval import autoload
from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError, cause

# Modules that judge what a user gave.
CONFIGURES = ("lm_eval._cli.", "lm_eval.config.", "lm_eval.api.registry", "lm_eval.tasks.manager")
MISTAKES = (ValueError, TypeError, KeyError, OSError)


def parsed(options: list[str]):
    """Return the harness's command line and its arguments for `lm_eval run` with these options.

    Options may be spelt with `-` or `_`. InputError for whatever the harness's parser refuses.
    """
    from lm_eval._cli.harness import HarnessCLI

    command_line = HarnessCLI()
    run = command_line._subparsers.choices["run"]
    run.error = command_line._parser.error = _refuse
    with harness_sentence():
        return command_line, command_line._parser.parse_args(["run", *as_spelt_by(run, options)])


def as_spelt_by(parser: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """Return arguments with `-` and `_` inside the names of options as the parser has them."""
    known = {name.replace("_", "-"): name for name in parser._option_string_actions if name.startswith("--")}
    respelt = []
    for argument in arguments:
        name, sign, value = argument.partition("=")
        respelt.append(known.get(name.replace("_", "-"), name) + sign + value if name.startswith("--") else argument)
    return respelt


def _refuse(message: str) -> None:
    behind_a_comma = re.search(r"expected `key=value`, got '(.*)'", message)
    if behind_a_comma and _is_candidate(behind_a_comma[1]):
        message = f"{behind_a_comma[1]} given behind a comma: separate candidates by `:`, such as head_masks=L1H2:L1H3"
    raise InputError(f"{message} (see `lm_eval run --help`)")


def _is_candidate(text: str) -> bool:
    try:
        Candidate.parse(text.strip())
    except ValueError:
        return False
    return True


@contextmanager
def harness_sentence(everything: bool = True) -> Iterator[None]:
    """Within the block, what the harness refuses becomes one sentence.

    Args:
        everything: whether the block does nothing else; False: only errors of the harness's configuration count.
    """
    try:
        yield
    except InputError:
        raise
    except MISTAKES as error:
        if not everything and not _of_configuration(error):
            raise
        first = str(error).strip().partition("\n")[0]
        raise InputError(_with_hint(first) or cause(error)) from None


@contextmanager
def evaluate_replaced_by(replacement: Callable[[Callable], Callable]) -> Iterator[None]:
    """Within the block, the harness's `evaluate` is what `replacement` makes of it."""
    from lm_eval import evaluator

    real = evaluator.evaluate
    evaluator.evaluate = replacement(real)
    try:
        yield
    finally:
        evaluator.evaluate = real


@contextmanager
def quick_index(tasks: list | None) -> Iterator[None]:
    """Within the block, only our task folder is read where all tasks are ours: the harness's 14,000 take six seconds.

    Args:
        tasks: names, or what a configuration file has in their place; None: none were named.
    """
    import lm_eval.tasks

    real = lm_eval.tasks.TaskManager

    def task_manager(include_path=None, **options):
        own = [include_path] if isinstance(include_path, str | Path) else list(include_path or ())
        return real(include_path=[autoload.tasks_folder(), *own], include_defaults=False, **options)

    ours = our_tasks()
    if tasks and all(task in ours for task in tasks):
        lm_eval.tasks.TaskManager = task_manager
    try:
        yield
    finally:
        lm_eval.tasks.TaskManager = real


def _of_configuration(error: BaseException) -> bool:
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(module.startswith(CONFIGURES) for module in modules[-4:])


def _with_hint(said: str) -> str:
    """Return what the harness says of an unknown model or task, with the one of ours that was probably meant."""
    unknown = re.match(r"Tasks not found: ([^,]+)|Attempted to load model '([^']*)'|\"Spec '([^']*)' is not", said)
    if not unknown:
        return said
    task = unknown[1] or unknown[3]  # 0.4 or 0.5
    name, ours, what = (
        (task, our_tasks(), "`lm_eval ls tasks` lists them")
        if task
        else (unknown[2], list(autoload.MODELS), f"ours are {', '.join(autoload.MODELS)}")
    )
    likely = difflib.get_close_matches(name, ours, n=1)
    hint = f"did you mean {likely[0]}?" if likely else what
    kind = "task" if task else "model"
    return f"{said if unknown[1] else f'no {kind} is called {name}'}: {hint}"


def our_tasks() -> list[str]:
    return sorted(path.stem for path in Path(autoload.tasks_folder()).glob("*/*.yaml"))
