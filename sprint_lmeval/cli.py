"""The command `sprint-lmeval`: arguments in, one command called with them, exit status out.

    sprint-lmeval run --model hf-pruned-bon --model_args pretrained=tiny --tasks tiny_passn -n 8
    sprint-lmeval heads tiny
    sprint-lmeval train MATRIX --method sprint -o FOLDER
    sprint-lmeval gate --baseline baselines/tiny.json --current OUTPUT

Each module of commands/ holds one command: its options and its call, which imports what it needs when it runs.
"""

import sys

from sprint_lmeval import __version__
from sprint_lmeval.commands import adapters, baseline, compare, gate, heads, matrix, report, run, score, sweep, train
from sprint_lmeval.commands.parsing import OneSentenceParser
from sprint_lmeval.errors import end, ending, show_one_sentence
from sprint_lmeval.names import documentation

COMMANDS = (run, heads, sweep, matrix, train, report, gate, baseline, compare, score, adapters)  # as --help lists them


def build_parser() -> OneSentenceParser:
    parser = OneSentenceParser(
        prog="sprint-lmeval",
        description="Best-of-N with pruned attention heads for lm_eval.",
        allow_abbrev=False,
        epilog=f"Documentation: {documentation('')}",
    )
    parser.add_argument("--version", action="version", version=f"sprint-lmeval {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands).set_defaults(call=command.call)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    show_one_sentence()
    if hasattr(sys.stdout, "reconfigure"):  # a name without letters in the terminal's encoding is escaped, no crash
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser, harness = build_parser(), []
    if arguments[:1] == ["run"]:
        ours, harness = run.split_run_options(arguments[1:])
        options = parser.parse_args(["run", *ours])
    elif arguments[:1] == ["sweep"]:
        options, harness = parser.parse_known_args(arguments)
    else:
        options = parser.parse_args(arguments)
    try:
        said = options.call(options, harness) if options.command in ("run", "sweep") else options.call(options)
    except BaseException as error:
        said = ending(error)
        if said is None:
            raise
        end(said[0])
        return said[1]
    if isinstance(said, int):
        return said
    if said:
        print(said.rstrip("\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
