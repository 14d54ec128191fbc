"""`sprint-lmeval score`: chooses one of N stored answers."""

from sprint_lmeval.names import documentation


def add(commands):
    parser = commands.add_parser(
        "score",
        help="choose one of N stored answers; writes a file of scores beside the samples",
        description=f"calculator alone generates. RESULTS as in report; ways of choosing: {documentation('choosing')}.",
        allow_abbrev=False,
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results of lm_eval with --log_samples")
    parser.add_argument(
        "--with",
        dest="ways",
        required=True,
        metavar="LIST",
        help="majority, selector, rpc, reward, prm, checked, calculator, confidence, deepprune, slimsc, asc, agree4...",
    )
    parser.add_argument("--model_args", metavar="ARGS", help="rpc, confidence, calculator: the unpruned model")
    parser.add_argument("--reward-model", metavar="MODEL", help="reward, prm: folder or hub id")
    parser.add_argument("--device", metavar="DEVICE", help="where a model runs")
    parser.add_argument("--trust-remote-code", action="store_true", help="run code that a reward model or judge brings")
    parser.add_argument(
        "--step-marks", nargs=3, metavar=("TAG", "GOOD", "BAD"), help="prm: tokens of a model of the marker form"
    )
    parser.add_argument(
        "--prefix", type=float, metavar="SHARE", help="prm: also reject by the first part of a response"
    )
    parser.add_argument("--keep", type=float, metavar="SHARE", help="prm: share that goes on behind --prefix (0.5)")
    parser.add_argument(
        "--judge", metavar="FOLDER", help="deepprune: of train --method pairs, or a sequence classifier"
    )
    parser.add_argument("--encoder", metavar="FOLDER", help="deepprune, slimsc: another one than all-MiniLM-L6-v2")
    return parser


def call(options) -> str:
    from dataclasses import fields

    from sprint_lmeval.scoring.score import ScoreOptions, score_command

    given = {field.name: getattr(options, field.name) for field in fields(ScoreOptions)}
    return score_command(options.results, options.ways, ScoreOptions(**given))
