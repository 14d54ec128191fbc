"""`sprint-lmeval report`: leaderboard, figures and a page from results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sprint_lmeval.errors import needs

if TYPE_CHECKING:
    from pathlib import Path

    from sprint_lmeval.report.readme import Report


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
        "--no-texts", action="store_true", help="a page without problems, prompts, answers and responses"
    )
    parser.add_argument("--strict", action="store_true", help="refuse runs that cannot be compared")
    return parser


def call(options) -> str:
    """Return what was written, and what was left out."""
    needs("report", "matplotlib", "plotly", "itables", "latex2mathml")
    from sprint_lmeval.report.matrices import read_matrices
    from sprint_lmeval.report.write import apart, write_report
    from sprint_lmeval.runs.result_files import named_paths
    from sprint_lmeval.runs.run import read_runs

    given, (folder,) = named_paths(options.results), named_paths([options.output])
    replaced = [f"{folder} was a link and is a folder now; what it led to is unchanged."] if folder.is_symlink() else []
    matrices, notes = read_matrices(given, named_paths(options.matrix))
    runs, left_out = read_runs([p for p in given if p.suffix != ".parquet"], may_be_none=bool(matrices))
    report = write_report(folder, runs, matrices, options.strict, [*notes, *left_out], texts=not options.no_texts)
    notes = [*replaced, *apart(report.groups), *report.notes]
    return "\n".join([_written(folder, report), *(f"note: {note}" for note in notes)])


def _written(folder: Path, report: Report) -> str:
    from sprint_lmeval.runs.safe_text import number_of

    parts = []
    if report.rows:
        groups = number_of(len(report.groups), "group", "groups")
        parts.append(f"{number_of(len(report.rows), 'run', 'runs')} in {groups}")
    if report.tables:
        parts.append(number_of(len(report.tables), "outcome matrix", "outcome matrices"))
    return f"{folder}: {', '.join(parts)}; see README.md and index.html there"
