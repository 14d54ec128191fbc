"""`sprint-lmeval run`: the harness's own `run` command, with our models and tasks in it.

In: options of `lm_eval run`, and optionally N (responses per question) or a dry run. Out: whatever the harness writes.
The harness runs in this process, unchanged. 0.4.13 has no option for the number of repeats, so N is set on the loaded
tasks at the moment when `simple_evaluate` hands them to `evaluate`; task names and results stay the harness's.
"""

import logging
import sys
from collections.abc import Callable

from sprint_lmeval import autoload
from sprint_lmeval.errors import InputError
from sprint_lmeval.harness.command_line import evaluate_replaced_by, harness_sentence, parsed, quick_index

logger = logging.getLogger(f"lm_eval.{__name__}")
EVERY_TASK = ""  # in N by task: all that take N


def run(options: list[str], n: dict[str, int] | None = None, dry_run: bool = False) -> None:
    """Do what `lm_eval run` does with these options.

    Args:
        options: the command line after `run`.
        n: responses per question by task, under EVERY_TASK for all of ours; None keeps what their YAML says.
        dry_run: load and prepare everything, print the plan, and stop before the evaluation.

    Raises:
        InputError: the harness refuses the options, or n names no task of the run.
    """
    from lm_eval.utils import setup_logging

    autoload.register()
    setup_logging()
    command_line, arguments = parsed(options)
    if isinstance(logging.getLevelName(arguments.verbosity or ""), int):  # the harness obeys behind the evaluation only
        setup_logging(arguments.verbosity)
    if not options:
        command_line._subparsers.choices["run"].print_help()
        return
    stepping_in = evaluate_replaced_by(lambda real: prepared(plan if dry_run else real, n))
    with stepping_in, quick_index(arguments.tasks), harness_sentence(everything=False):
        command_line.execute(arguments)


def prepared(evaluate: Callable, n: dict[str, int] | None) -> Callable:
    """Return `evaluate` with the number of repeats set first."""

    def evaluate_prepared(lm, task_dict, **options):
        if n is not None:
            set_repeats(task_dict["tasks"], n)
        return evaluate(lm=lm, task_dict=task_dict, **options)

    return evaluate_prepared


def set_repeats(tasks: dict, n: dict[str, int]) -> None:
    """Set `repeats` on tasks of ours; for other tasks N responses would have no meaning.

    Args:
        tasks: loaded tasks by name.
        n: responses per question by name of a task, under EVERY_TASK for all other tasks of ours.

    Raises:
        InputError: n names none of the tasks, or one that is not ours.
    """
    from sprint_lmeval.passn.task import PassNTask

    ours = {name: task for name, task in tasks.items() if isinstance(task, PassNTask)}
    for name, count in n.items():
        if not ours or name not in (EVERY_TASK, *ours):
            given = f"{name}={count}" if name else count
            known = f"here {', '.join(ours)}" if ours else "their names contain passn, see `lm_eval ls tasks`"
            none = f"no task {name} of this run" if name else f"none of the tasks {', '.join(tasks)}"
            raise InputError(
                f"-n {given} given, but {none} takes N responses per question: choose one that does ({known}) or leave "
                "-n out"
            )
    for name, task in ours.items():
        count = n.get(name, n.get(EVERY_TASK, task.config.repeats))
        if count != task.config.repeats:
            logger.info("%s: %d responses per question instead of %d", name, count, task.config.repeats)
        task.set_config(key="repeats", value=count)


def plan(lm, **options) -> None:
    """Print the dry run and end the program, so that the harness has nothing to write."""
    from sprint_lmeval.harness.dry_run import describe_run

    text = describe_run(lm, **options)
    if lm.rank == 0:
        print(text)
    sys.exit(0)
