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
from sprint_lmeval.harness.patches import evaluate_replaced_by

logger = logging.getLogger(f"lm_eval.{__name__}")


def run(options: list[str], n: int | None = None, dry_run: bool = False) -> None:
    """Hand `options` to `lm_eval run`.

    Args:
        options: the command line after `run`.
        n: responses per question for our tasks; None keeps what their YAML says.
        dry_run: load and prepare everything, print the plan, and stop before the evaluation.

    Raises:
        InputError: n is given, and no chosen task is ours.
    """
    autoload.register()
    sys.argv = [sys.argv[0], "run", *options]
    from lm_eval.__main__ import cli_evaluate

    if n is None and not dry_run:
        cli_evaluate()
        return
    with evaluate_replaced_by(lambda real: prepared(plan if dry_run else real, n)):
        cli_evaluate()


def prepared(evaluate: Callable, n: int | None) -> Callable:
    """Return `evaluate` with the number of repeats set first."""

    def evaluate_prepared(lm, task_dict, **options):
        if n is not None:
            set_repeats(task_dict["tasks"], n)
        return evaluate(lm=lm, task_dict=task_dict, **options)

    return evaluate_prepared


def set_repeats(tasks: dict, n: int) -> None:
    """Set `repeats` to `n` on every task of ours; for other tasks N responses would have no meaning."""
    from sprint_lmeval.passn.task import PassNTask

    ours = {name: task for name, task in tasks.items() if isinstance(task, PassNTask)}
    if not ours:
        raise InputError(
            f"-n {n} given, but none of the tasks {', '.join(tasks)} takes N responses per question: "
            "choose one that does (their names contain passn, see `lm_eval ls tasks`) or leave -n out"
        )
    for name, task in ours.items():
        logger.info("%s: %d responses per question instead of %d", name, n, task.config.repeats)
        task.set_config(key="repeats", value=n)


def plan(lm, **options) -> None:
    """Print the dry run and end the program, so that the harness has nothing to write."""
    from sprint_lmeval.harness.dry_run import describe_run

    text = describe_run(lm, **options)
    if lm.rank == 0:
        print(text)
    sys.exit(0)
