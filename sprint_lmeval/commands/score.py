"""`sprint-lmeval score`: chooses one of N stored answers."""


def add(commands):
    parser = commands.add_parser(
        "score",
        help="choose one of N stored answers; writes a file of scores beside the samples",
        description="Nothing is generated. RESULTS as for report; ways of choosing: docs/choosing.md.",
        allow_abbrev=False,
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results of lm_eval with --log_samples")
    parser.add_argument(
        "--with",
        dest="ways",
        required=True,
        metavar="LIST",
        help="majority, selector, rpc, reward, checked, agree4, asc, esc, lossless; several with commas",
    )
    parser.add_argument("--model_args", metavar="ARGS", help="rpc: the unpruned model, as for `lm_eval --model hf`")
    parser.add_argument("--reward-model", metavar="MODEL", help="reward: folder or hub id of a sequence classifier")
    parser.add_argument("--device", metavar="DEVICE", help="rpc, reward: where the model runs")
    parser.add_argument("--trust-remote-code", action="store_true", help="reward: run model code from the hub")
    return parser


def call(options) -> str:
    from sprint_lmeval.scoring.score import score_command

    return score_command(
        options.results,
        options.ways,
        options.model_args,
        options.reward_model,
        options.device,
        options.trust_remote_code,
    )
