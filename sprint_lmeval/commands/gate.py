"""`sprint-lmeval gate`: fails where a run is worse than its baseline."""

import sys
import traceback


def add(commands):
    parser = commands.add_parser(
        "gate",
        help="fail where a run is worse than its baseline",
        description="FILE is a baseline (sprint-lmeval baseline), or results of lm_eval with --log_samples: a file or "
        "a folder. Exit status: 0 passed, 1 regressed, 2 not comparable.",
        allow_abbrev=False,
    )
    parser.add_argument("--baseline", required=True, metavar="FILE", help="what the current run is compared with")
    parser.add_argument("--current", required=True, metavar="FILE", help="the run that is tested")
    parser.add_argument(
        "--metrics", metavar="LIST", help="such as pass@1,pass@4,maj@16 (default: pass@1,pass@N,mean@N)"
    )
    parser.add_argument("--alpha", type=float, metavar="P", help="a drop is a regression where its p is below (0.05)")
    parser.add_argument(
        "--tolerance",
        action="append",
        default=[],
        metavar="[METRIC=]X",
        help="a drop of X (0.01: a point) is none; alone: no test",
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="WHAT", help="task_version, generation, grader, prompts: differ"
    )
    parser.add_argument("--json", metavar="FILE", help="everything for machines; replaces the file")
    parser.add_argument("--github", action="store_true", help="annotations, as where GITHUB_ACTIONS is set")
    return parser


def call(options) -> int:
    """Return the exit status: Python ends with 1 after a crash, which here means "regressed", so that becomes 2."""
    try:
        from sprint_lmeval.gate.compare import gate_command

        return gate_command(
            options.baseline,
            options.current,
            metrics=options.metrics,
            alpha=options.alpha,
            tolerances=options.tolerance,
            allow=options.allow,
            json=options.json,
            github=options.github,
        )
    except Exception as error:  # such as a failed import
        traceback.print_exc()
        print(f"error: the gate could not be run ({error!r:.200}): is the installation whole?", file=sys.stderr)
        return 2
