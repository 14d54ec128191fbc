"""`sprint-lmeval baseline`: verdicts of runs in one small file, for the gate."""


def add(commands):
    parser = commands.add_parser(
        "baseline",
        help="verdicts per question of runs in one small file, for gate",
        description="It holds no problems, prompts or responses. Several runs may be kept together.",
        allow_abbrev=False,
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results of lm_eval with --log_samples")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the baseline to write (JSON)")
    parser.add_argument("--overwrite", action="store_true", help="replace a baseline that is there")
    return parser


def call(options) -> str:
    from pathlib import Path

    from sprint_lmeval.gate.baseline import baseline_command

    return baseline_command(options.results, Path(options.output), options.overwrite)
