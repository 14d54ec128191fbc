"""`sprint-lmeval train`: a selector trained on outcome matrices."""

from pathlib import Path

from sprint_lmeval.commands.parsing import positive_number
from sprint_lmeval.errors import InputError
from sprint_lmeval.names import documentation


def add(commands):
    parser = commands.add_parser(
        "train",
        help="train a selector on an outcome matrix",
        description=f"Methods and their options (--set NAME=VALUE): {documentation('methods')}.",
        allow_abbrev=False,
    )
    parser.add_argument("matrix", nargs="+", metavar="MATRIX", help="matrices of one model (branch, pairs: runs)")
    methods = "sprint, top, cover, nearest, logistic, coverage, route, balanced, branch, pool, pairs"
    parser.add_argument("--method", required=True, help=methods)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="the selector (of a pool: a .txt file)")
    parser.add_argument(
        "--candidates", default="all", metavar="LIST", help="all (default), heads (no base), list, file"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="MATRIX", help="refuse training on its questions"
    )
    parser.add_argument("--questions", type=positive_number, metavar="N", help="learn from N of them (default all)")
    parser.add_argument(
        "--draw", choices=("uniform", "diverse"), default="uniform", help=f"which N ({documentation('paper')})"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the method")
    parser.add_argument("--seed", type=int, default=0, help="of folds and random starts (default 0)")
    parser.add_argument("--folds", type=int, default=5, help="parts of the cross-validation (default 5)")
    parser.add_argument(
        "--objective", type=positive_number, default=4, metavar="N", help="choose by mean Pass@1..N (4)"
    )
    parser.add_argument("--encoder", metavar="FOLDER", help="another sentence encoder than all-MiniLM-L6-v2")
    parser.add_argument("--overwrite", action="store_true", help="replace a selector that is there")
    return parser


def call(options) -> str:
    from sprint_lmeval.selection.training import Choices, train_selector

    if options.folds < 2:
        raise InputError(f"--folds {options.folds} given, it must be a whole number from 2 up")
    given = _options_of_method(options.set)
    if options.method == "pairs":
        return _pairs(options, given)
    choices = Choices(
        options.candidates,
        options.seed,
        options.folds,
        options.objective,
        options.encoder,
        given,
        options.questions,
        options.draw,
    )
    matrices, exclude = [Path(p) for p in options.matrix], [Path(p) for p in options.exclude]
    return train_selector(matrices, options.method, Path(options.output), choices, exclude, options.overwrite)


def _pairs(options, given: dict[str, str]) -> str:
    """Train a judge of pairs, which reads responses and not matrices."""
    from sprint_lmeval.scoring.pairs import train_pairs

    if options.candidates != "all" or options.exclude or options.questions:
        raise InputError(
            "--candidates, --exclude and --questions are not for --method pairs, which learns from runs: leave them out"
        )
    if options.seed < 0:
        raise InputError(f"--seed {options.seed} given, it must be a whole number from 0 up")
    output, folds = Path(options.output), (options.folds, options.seed)
    return train_pairs(options.matrix, output, given, folds, options.encoder, options.overwrite)


def _options_of_method(texts: list[str]) -> dict[str, str]:
    """Return what `--set NAME=VALUE` gave, by name."""
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in given:
            raise InputError(f"--set {text} given, write NAME=VALUE, each name once")
        given[name] = value
    return given
