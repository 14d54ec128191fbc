"""The command `sprint-lmeval`: arguments in, one of our rooms called with them, exit status out.

    sprint-lmeval run --model hf-pruned-bon --model_args pretrained=tiny --tasks tiny_passn -n 8
    sprint-lmeval heads tiny
    sprint-lmeval train MATRIX --method sprint -o FOLDER
    sprint-lmeval gate --baseline baselines/tiny.json --current OUTPUT

Argument parsing only: what a command does stands in the module that it names. Heavy imports happen inside commands.
"""

import argparse
import re
import sys
import traceback

from sprint_lmeval import __version__
from sprint_lmeval.errors import InputError

RUN_OPTION = re.compile(r"-n(=?\d+)?|--dry-run|-h|--help")


class OneSentenceParser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, without the usage before it."""

    def error(self, message: str) -> None:
        self.exit(2, f"error: {message} (see `{self.prog} --help`)\n")


def candidate_count(text: str) -> int:
    """Parse the N of `-n`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given, it must be a whole number from 1 up")
    return int(text)


def build_parser() -> OneSentenceParser:
    parser = OneSentenceParser(
        prog="sprint-lmeval", description="Best-of-N with pruned attention heads for lm_eval.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"sprint-lmeval {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = commands.add_parser(
        "run",
        help="`lm_eval run` with our models and tasks, where start-up hooks are not read too",
        description="Every option of `lm_eval run` is taken unchanged (`lm_eval run --help` lists them), and:",
        usage="sprint-lmeval run [-n N] [--dry-run] [any option of lm_eval run]",
        allow_abbrev=False,
    )
    run.add_argument("-n", type=candidate_count, metavar="N", help="responses per question, instead of the task's own")
    run.add_argument("--dry-run", action="store_true", help="list candidates, rows and the estimated time")
    heads = commands.add_parser("heads", help="list a model's layers and heads", allow_abbrev=False)
    heads.add_argument("model", metavar="MODEL", help="a model folder, a hub id, or tiny")
    heads.add_argument("--trust-remote-code", action="store_true", help="run model code from the hub")
    add_sweep(commands)
    add_matrix(commands)
    add_train(commands)
    add_report(commands)
    add_gate(commands)
    add_baseline(commands)
    add_score(commands)
    add_adapters(commands)
    return parser


def add_sweep(commands) -> None:
    sweep = commands.add_parser(
        "sweep",
        help="every head of some layers over a task: an outcome matrix",
        description="Model and task are given as to `lm_eval run` (`lm_eval run --help` lists its options), and:",
        usage="sprint-lmeval sweep -o MATRIX.parquet [options] [options of lm_eval run: --model_args, --tasks, ...]",
        allow_abbrev=False,
    )
    sweep.add_argument("-o", "--output", required=True, metavar="MATRIX", help="the matrix to write (parquet)")
    sweep.add_argument("--layers", metavar="LIST", help="all, or such as 4,8,12 or 0-7 (default: the layers of spread)")
    sweep.add_argument("--questions", type=candidate_count, metavar="N", help="how many, drawn by --seed (default all)")
    sweep.add_argument("--seed", type=int, default=0, help="of the draw; a larger draw holds a smaller one (default 0)")
    sweep.add_argument("--store", metavar="FILE", help="the responses (default: beside the matrix)")
    sweep.add_argument("--no-texts", action="store_true", help="leave the problems' texts out; their hashes stay")
    sweep.add_argument("--overwrite", action="store_true", help="replace a matrix that is there")


def add_matrix(commands) -> None:
    matrix = commands.add_parser(
        "matrix",
        help="an outcome matrix from the samples of a run",
        description="RESULTS is the output folder, or the samples file, of a run of a *_passn task with --log_samples.",
        allow_abbrev=False,
    )
    matrix.add_argument("results", metavar="RESULTS", help="folder or samples_*.jsonl; or a matrix, to drop its texts")
    matrix.add_argument("-o", "--output", required=True, metavar="MATRIX", help="the matrix to write (parquet)")
    matrix.add_argument("--no-texts", action="store_true", help="leave the problems' texts out; their hashes stay")
    matrix.add_argument("--overwrite", action="store_true", help="replace a matrix that is there")


def add_train(commands) -> None:
    train = commands.add_parser(
        "train",
        help="train a selector on an outcome matrix",
        description="Methods and their options (--set NAME=VALUE): docs/methods.md.",
        allow_abbrev=False,
    )
    train.add_argument("matrix", nargs="+", metavar="MATRIX", help="outcome matrices of one model, joined by question")
    train.add_argument("--method", required=True, help="sprint, top, cover, nearest, logistic, coverage, or pool")
    train.add_argument("-o", "--output", required=True, metavar="FOLDER", help="the selector (of a pool: a .txt file)")
    train.add_argument("--candidates", default="all", metavar="LIST", help="all (default), heads (no base), list, file")
    train.add_argument(
        "--exclude", action="append", default=[], metavar="MATRIX", help="refuse training on its questions"
    )
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the method")
    train.add_argument("--seed", type=int, default=0, help="of folds and random starts (default 0)")
    train.add_argument("--folds", type=int, default=5, help="parts of the cross-validation (default 5)")
    train.add_argument("--objective", type=candidate_count, default=4, metavar="N", help="choose by mean Pass@1..N (4)")
    train.add_argument("--encoder", metavar="FOLDER", help="another sentence encoder than all-MiniLM-L6-v2")
    train.add_argument("--overwrite", action="store_true", help="replace a selector that is there")


def add_adapters(commands) -> None:
    adapters = commands.add_parser(
        "adapters",
        help="pruned heads as LoRA adapters, for vLLM, PEFT and others",
        description="One adapter folder per candidate, from the model's safetensors files (docs/scale.md).",
        allow_abbrev=False,
    )
    adapters.add_argument("model", metavar="MODEL", help="a model folder, a hub id, or tiny")
    adapters.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where adapters go, a folder each")
    adapters.add_argument("--candidates", metavar="LIST", help="such as L5H0:L5H0+L10H3, or a file of them")
    adapters.add_argument("--layers", metavar="LIST", help="every head of these layers (default: those of spread)")
    adapters.add_argument(
        "--rank", type=candidate_count, metavar="R", help="zeros fill it up (default: what vLLM takes)"
    )
    adapters.add_argument("--revision", help="of a model on the hub")
    adapters.add_argument("--trust-remote-code", action="store_true", help="run model code from the hub")
    adapters.add_argument("--overwrite", action="store_true", help="replace adapters of another model or rank")


def add_report(commands) -> None:
    report = commands.add_parser(
        "report",
        help="leaderboard, figures and a page to explore, from results of lm_eval",
        description="RESULTS are files that lm_eval wrote, or folders; outcome matrices there are shown too.",
        allow_abbrev=False,
    )
    report.add_argument("results", nargs="+", metavar="RESULTS", help="results of *_passn tasks: files or folders")
    report.add_argument("-o", "--output", required=True, metavar="DIR", help="the report; an older one is replaced")
    report.add_argument("--matrix", action="append", default=[], metavar="FILE", help="an outcome matrix (parquet)")
    report.add_argument(
        "--separate", action="store_true", help="tables of their own for runs that cannot be compared, not an error"
    )


def add_gate(commands) -> None:
    gate = commands.add_parser(
        "gate",
        help="fail where a run is worse than its baseline",
        description="FILE is a baseline (sprint-lmeval baseline), or results of lm_eval with --log_samples: a file or "
        "a folder. Exit status: 0 passed, 1 regressed, 2 not comparable.",
        allow_abbrev=False,
    )
    gate.add_argument("--baseline", required=True, metavar="FILE", help="what the current run is compared with")
    gate.add_argument("--current", required=True, metavar="FILE", help="the run that is tested")
    gate.add_argument("--metrics", metavar="LIST", help="such as pass@1,pass@4,maj@16 (default: pass@1,pass@N,mean@N)")
    gate.add_argument("--alpha", type=float, metavar="P", help="a drop is a regression where its p is below (0.05)")
    gate.add_argument(
        "--tolerance", action="append", metavar="[METRIC=]X", help="a drop of X (0.01: a point) is none; alone: no test"
    )
    gate.add_argument(
        "--allow", action="append", default=[], metavar="WHAT", help="task_version, generation, grader, prompts: differ"
    )
    gate.add_argument("--json", metavar="FILE", help="everything for machines; replaces the file")
    gate.add_argument("--github", action="store_true", help="annotations, as where GITHUB_ACTIONS is set")


def add_baseline(commands) -> None:
    baseline = commands.add_parser(
        "baseline",
        help="verdicts per question of runs in one small file, for gate",
        description="It holds no problems, prompts or responses. Several runs may be kept together.",
        allow_abbrev=False,
    )
    baseline.add_argument("results", nargs="+", metavar="RESULTS", help="results of lm_eval with --log_samples")
    baseline.add_argument("-o", "--output", required=True, metavar="FILE", help="the baseline to write (JSON)")
    baseline.add_argument("--overwrite", action="store_true", help="replace a baseline that is there")


def add_score(commands) -> None:
    score = commands.add_parser(
        "score",
        help="choose one of N stored answers; writes a file of scores beside the samples",
        description="Nothing is generated. RESULTS as for report; ways of choosing: docs/choosing.md.",
        allow_abbrev=False,
    )
    score.add_argument("results", nargs="+", metavar="RESULTS", help="results of lm_eval with --log_samples")
    score.add_argument(
        "--with",
        dest="ways",
        required=True,
        metavar="LIST",
        help="majority, selector, rpc, reward; several with commas",
    )
    score.add_argument("--model_args", metavar="ARGS", help="rpc: the unpruned model, as for `lm_eval --model hf`")
    score.add_argument("--reward-model", metavar="MODEL", help="reward: folder or hub id of a sequence classifier")
    score.add_argument("--device", metavar="DEVICE", help="rpc, reward: where the model runs")
    score.add_argument("--trust-remote-code", action="store_true", help="reward: run model code from the hub")


def split_run_options(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return (our options with their values, everything else in order, which is the harness's)."""
    ours, harness = [], []
    rest = iter(arguments)
    for argument in rest:
        if RUN_OPTION.fullmatch(argument):
            ours.append(argument)
            ours.extend([next(rest, "")] if argument == "-n" else [])
        else:
            harness.append(argument)
    return ours, harness


def run_gate(options) -> int:
    """Python ends with 1 after a crash, which here means "regressed": what is no comparison ends with 2."""
    try:
        from sprint_lmeval.report.gate import gate_command

        return gate_command(options)
    except Exception as error:  # such as a failed import: its own exit status would be 1, which means "regressed"
        traceback.print_exc()
        print(f"error: the gate could not be run ({error!r:.200}): is the installation whole?", file=sys.stderr)
        return 2


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    if hasattr(sys.stdout, "reconfigure"):  # a name without letters in the terminal's encoding is escaped, no crash
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    ours, harness = split_run_options(arguments[1:]) if arguments[:1] == ["run"] else (arguments[1:], [])
    if arguments[:1] == ["sweep"]:
        options, harness = build_parser().parse_known_args(arguments)
    else:
        options = build_parser().parse_args([*arguments[:1], *ours])
    try:
        if options.command == "run":
            from sprint_lmeval.run_command import run

            run(harness, n=options.n, dry_run=options.dry_run)
        elif options.command == "sweep":
            from sprint_lmeval.sweep import sweep_command

            print(sweep_command(options, harness) or "", end="")
        elif options.command == "matrix":
            from sprint_lmeval.outcomes import matrix_command

            print(matrix_command(options))
        elif options.command == "train":
            from sprint_lmeval.train_selector import train_command

            print(train_command(options))
        elif options.command == "report":
            from sprint_lmeval.report.report_command import report_command

            print(report_command(options))
        elif options.command == "gate":
            return run_gate(options)
        elif options.command == "score":
            from sprint_lmeval.scoring.score_command import score_command

            print(score_command(options))
        elif options.command == "baseline":
            from sprint_lmeval.report.baseline import baseline_command

            print(baseline_command(options))
        elif options.command == "adapters":
            from sprint_lmeval.adapters_command import adapters_command

            print(adapters_command(options))
        else:
            from sprint_lmeval.head_listing import head_listing

            print(head_listing(options.model, trust_remote_code=options.trust_remote_code))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
