"""`sprint-lmeval sweep`: every head of some layers over a task, as an outcome matrix."""

from pathlib import Path

from sprint_lmeval.commands.parsing import positive_number
from sprint_lmeval.names import documentation


def add(commands):
    parser = commands.add_parser(
        "sweep",
        help="every head of some layers over a task: an outcome matrix",
        description="Model and task are given as to `lm_eval run` (`lm_eval run --help` lists its options), and:",
        usage="sprint-lmeval sweep -o MATRIX.parquet [options] [options of lm_eval run: --model_args, --tasks, ...]",
        allow_abbrev=False,
    )
    parser.add_argument("-o", "--output", required=True, metavar="MATRIX", help="the matrix to write (parquet)")
    parser.add_argument(
        "--layers", metavar="LIST", help="all, or such as 4,8,12 or 0-7 (default: the layers of spread)"
    )
    parser.add_argument("--candidates", metavar="LIST", help="a list or file of candidates, in place of --layers")
    parser.add_argument(
        "--questions", type=positive_number, metavar="N", help="how many, drawn by --seed (default all)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draw; a larger draw holds a smaller one (default 0)"
    )
    parser.add_argument(
        "--draw", choices=("uniform", "diverse"), default="uniform", help=f"how ({documentation('paper')})"
    )
    parser.add_argument("--store", metavar="FILE", help="the responses (default: beside the matrix)")
    parser.add_argument("--no-texts", action="store_true", help="leave the problems' texts out; their hashes stay")
    parser.add_argument("--overwrite", action="store_true", help="replace a matrix that is there")
    return parser


def call(options, harness: list[str]) -> str:
    """Run the command; `harness` holds the options of `lm_eval run`."""
    from sprint_lmeval.harness.sweep import Plan, sweep

    plan = Plan(
        output=Path(options.output),
        store=Path(options.store) if options.store else None,
        layers=options.layers,
        candidates=options.candidates,
        questions=options.questions,
        seed=options.seed,
        draw=options.draw,
        texts=not options.no_texts,
        overwrite=options.overwrite,
    )
    return sweep(plan, harness) or ""
