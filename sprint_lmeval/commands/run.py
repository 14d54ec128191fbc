"""`sprint-lmeval run`: the harness's own `run` command, with our models and tasks in it, `-n N` and `--dry-run`."""

import re

from sprint_lmeval.commands.parsing import responses_by_task

OURS = re.compile(r"-n(=.*|\d+)?|--dry[-_]run|-h|--help")


def add(commands):
    parser = commands.add_parser(
        "run",
        help="`lm_eval run` with our models and tasks, where start-up hooks are not read too",
        description="Every option of `lm_eval run` is taken unchanged (`lm_eval run --help` lists them), and:",
        usage="sprint-lmeval run [-n N] [--dry-run] [any option of lm_eval run]",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-n",
        type=responses_by_task,
        action="append",
        metavar="N",
        help="responses per question, instead of the task's own: 8, or gsm8k_passn=8",
    )
    parser.add_argument("--dry-run", action="store_true", help="list candidates, rows and the estimated time")
    return parser


def split_run_options(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return (our options with their values, everything else in order, which is the harness's)."""
    ours, harness = [], []
    rest = iter(arguments)
    for argument in rest:
        if OURS.fullmatch(argument):
            ours.append(argument)
            ours.extend([next(rest, "")] if argument == "-n" else [])
        else:
            harness.append(argument)
    return ours, harness


def call(options, harness: list[str]) -> str:
    """Run the command; `harness` holds the options of `lm_eval run`."""
    from sprint_lmeval.harness.run import run

    n = {task: count for given in options.n or () for task, count in given.items()}
    run(harness, n=n or None, dry_run=options.dry_run)
    return ""
