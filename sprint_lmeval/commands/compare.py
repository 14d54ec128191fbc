"""`sprint-lmeval compare`: two runs of any task, paired by document."""


def add(commands):
    parser = commands.add_parser(
        "compare",
        help="two runs of any task of the harness, paired by document",
        description="A and B are samples of lm_eval (--log_samples): files, or folders that hold one of each task.",
        allow_abbrev=False,
    )
    parser.add_argument("first", metavar="A", help="samples_*.jsonl of the first run, or its folder")
    parser.add_argument("second", metavar="B", help="of the second run; differences are B - A")
    parser.add_argument("--metrics", metavar="LIST", help="names with commas (default: all that the samples hold)")
    parser.add_argument("--json", metavar="FILE", help="everything for machines; replaces the file")
    return parser


def call(options) -> str:
    from sprint_lmeval.gate.two_runs import compare_command

    return compare_command(options.first, options.second, options.metrics, options.json)
