"""`sprint-lmeval matrix`: an outcome matrix from the samples of a run; several are joined."""

from pathlib import Path


def add(commands):
    parser = commands.add_parser(
        "matrix",
        help="an outcome matrix from the samples of a run",
        description="RESULTS is the output folder, or the samples file, of a run of a *_passn task with --log_samples; "
        "or a matrix. Several, of one model and different questions, become one.",
        allow_abbrev=False,
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="folder, samples_*.jsonl or matrix")
    parser.add_argument("-o", "--output", required=True, metavar="MATRIX", help="the matrix to write (parquet)")
    parser.add_argument("--no-texts", action="store_true", help="leave the problems' texts out; their hashes stay")
    parser.add_argument("--overwrite", action="store_true", help="replace a matrix that is there")
    return parser


def call(options) -> str:
    from sprint_lmeval.outcomes.joined import join, refuse_other

    paths = [Path(given) for given in options.results]
    matrices = [_matrix(path) for path in paths]
    for path, other in zip(paths[1:], matrices[1:], strict=True):
        refuse_other(paths[0], matrices[0], path, other)
    matrix = join(matrices)
    if options.no_texts:
        matrix = matrix.without_texts()
    matrix.save(options.output, overwrite=options.overwrite)
    cells = "" if matrix.complete else f", {matrix.ran.mean():.1%} of the cells were run"
    return f"{options.output}: {len(matrix.questions)} questions x {len(matrix.candidates)} candidates{cells}"


def _matrix(given: Path):
    from sprint_lmeval.outcomes.matrix import OutcomeMatrix

    parquet = given.is_file() and given.suffix == ".parquet"
    return OutcomeMatrix.load(given) if parquet else OutcomeMatrix.from_samples(given)
