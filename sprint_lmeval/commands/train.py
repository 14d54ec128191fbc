"""`sprint-lmeval train`: a selector trained on outcome matrices."""

from sprint_lmeval.commands.parsing import positive_number


def add(commands):
    parser = commands.add_parser(
        "train",
        help="train a selector on an outcome matrix",
        description="Methods and their options (--set NAME=VALUE): docs/methods.md.",
        allow_abbrev=False,
    )
    parser.add_argument("matrix", nargs="+", metavar="MATRIX", help="outcome matrices of one model, joined by question")
    parser.add_argument("--method", required=True, help="sprint, top, cover, nearest, logistic, coverage, or pool")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="the selector (of a pool: a .txt file)")
    parser.add_argument(
        "--candidates", default="all", metavar="LIST", help="all (default), heads (no base), list, file"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="MATRIX", help="refuse training on its questions"
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
    from sprint_lmeval.selection.training import train_command

    return train_command(options)
