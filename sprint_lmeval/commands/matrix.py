"""`sprint-lmeval matrix`: an outcome matrix from the samples of a run."""

from pathlib import Path


def add(commands):
    parser = commands.add_parser(
        "matrix",
        help="an outcome matrix from the samples of a run",
        description="RESULTS is the output folder, or the samples file, of a run of a *_passn task with --log_samples.",
        allow_abbrev=False,
    )
    parser.add_argument("results", metavar="RESULTS", help="folder or samples_*.jsonl; or a matrix, to drop its texts")
    parser.add_argument("-o", "--output", required=True, metavar="MATRIX", help="the matrix to write (parquet)")
    parser.add_argument("--no-texts", action="store_true", help="leave the problems' texts out; their hashes stay")
    parser.add_argument("--overwrite", action="store_true", help="replace a matrix that is there")
    return parser


def call(options) -> str:
    from sprint_lmeval.outcomes.matrix import OutcomeMatrix

    given = Path(options.results)
    parquet = given.is_file() and given.suffix == ".parquet"
    matrix = OutcomeMatrix.load(given) if parquet else OutcomeMatrix.from_samples(given)
    if options.no_texts:
        matrix = matrix.without_texts()
    matrix.save(options.output, overwrite=options.overwrite)
    cells = "" if matrix.complete else f", {matrix.ran.mean():.1%} of the cells were run"
    return f"{options.output}: {len(matrix.questions)} questions x {len(matrix.candidates)} candidates{cells}"
