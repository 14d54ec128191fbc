"""`sprint-lmeval report`: leaderboard, figures and a page from results."""


def add(commands):
    parser = commands.add_parser(
        "report",
        help="leaderboard, figures and a page to explore, from results of lm_eval",
        description="RESULTS are files that lm_eval wrote, or folders; outcome matrices there are shown too.",
        allow_abbrev=False,
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results of *_passn tasks: files or folders")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the report; an older one is replaced")
    parser.add_argument("--matrix", action="append", default=[], metavar="FILE", help="an outcome matrix (parquet)")
    parser.add_argument(
        "--separate", action="store_true", help="tables of their own for runs that cannot be compared, not an error"
    )
    return parser


def call(options) -> str:
    from sprint_lmeval.report.write import report_command

    return report_command(options)
