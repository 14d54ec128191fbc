"""Runs and outcome matrices in; a folder with README.md, CSV files, figures and index.html out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sprint_lmeval.errors import InputError
from sprint_lmeval.files import write_whole
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.report.curves import curves_figure
from sprint_lmeval.report.eval_results import eval_results
from sprint_lmeval.report.figure_style import file_name, save_figure
from sprint_lmeval.report.head_figures import (
    bars_figure,
    layer_gains,
    layer_gains_by_chance,
    maps_figure,
    violins_figure,
)
from sprint_lmeval.report.heads import HeadTable, best_head_gains, head_table, heads_csv, table_name
from sprint_lmeval.report.leaderboard import comparisons_csv, leaderboard, leaderboard_csv
from sprint_lmeval.report.page.write import BESIDE, write_page
from sprint_lmeval.report.readme import MARK, Report, readme
from sprint_lmeval.runs.comparable import ComparableRuns, comparable_groups, group_label
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.scores import RunScores, read_scores

MAX_GROUPS = 20  # whose curves are drawn
MAX_TABLES = 12  # matrices whose heads are drawn
NAMES = ("README.md", "leaderboard.csv", "comparisons.csv", "heads.csv", "index.html")
FIGURES, HUB = "figures", "eval_results"
OURS = re.compile(r"(curves|bars|violins|maps)-[\w.-]+\.(png|svg)|block-\d+-\d+\.js|sprint-[\w.-]+\.yaml")


def write_report(
    folder: Path,
    runs: Sequence[Run],
    matrices: Sequence[OutcomeMatrix] = (),
    strict: bool = False,
    notes: Sequence[str] = (),
    texts: bool = True,
) -> Report:
    """Write a report of runs and matrices into a folder; returns what it holds.

    Args:
        folder: made where it is not there; an older report in it is replaced.
        runs: of `read_runs`.
        matrices: for tables and figures of single heads.
        strict: refuse runs that cannot be compared; otherwise they stand in tables of their own.
        notes: sentences on what was left out before.
        texts: with problems, answers and responses.

    Raises:
        InputError: with `strict`, runs that cannot be compared; the folder holds other files, or cannot be written.
    """
    groups = comparable_groups(runs, separate=not strict)
    scores, without_scores = _scores(runs)
    tables, without_table = _tables(matrices)
    rows = leaderboard(groups, scores)
    report = Report(groups, rows, list(matrices), tables, [*notes, *without_scores, *without_table])
    _prepare(folder)
    try:
        _write(folder, report, texts)
    except OSError as error:
        raise InputError(f"{folder}: the report could not be written ({error.strerror or error})") from None
    return report


def _scores(runs: Sequence[Run]) -> tuple[dict[tuple[Path, str], RunScores], list[str]]:
    found, notes = {}, []
    for run in runs:
        try:
            scores = read_scores(run)
        except InputError as error:
            notes.append(f"{error}; its scores are left out.")
            continue
        if scores is not None:
            found[(run.path, run.task)] = scores
    return found, notes


def _tables(matrices: Sequence[OutcomeMatrix]) -> tuple[list[HeadTable], list[str]]:
    tables, names, notes = [], set(), []
    for matrix in matrices:
        name = table_name(matrix)
        count = sum(other.partition(" #")[0] == name for other in names)
        name = f"{name} #{count + 1}" if count else name
        names.add(name)
        try:
            tables.append(head_table(matrix, name))
        except InputError as error:
            notes.append(f"{error}; left out of the tables of heads.")
    return tables, notes


def _prepare(folder: Path) -> None:
    """Make the folder and clear what an earlier report drew; links are replaced, what they lead to stays."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"-o {folder} given, which is a file: give a folder")
    _check_replaceable(folder)
    try:
        for part in (folder, *(folder / name for name in (FIGURES, BESIDE, HUB))):
            if part.is_symlink():
                part.unlink()
        for part in (folder / name for name in (FIGURES, BESIDE, HUB)):
            for file in part.glob("*"):
                if OURS.fullmatch(file.name):
                    file.unlink()
            if part.is_dir() and not any(part.iterdir()):
                part.rmdir()
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {folder} given, it cannot be written ({error.strerror})") from None


def _check_replaceable(folder: Path) -> None:
    """Stop where the folder holds files of another kind under the names of a report's."""
    there = [folder / name for name in NAMES if (folder / name).exists()]
    for file in there:
        if not file.is_file():
            raise InputError(f"{file} is there and is no file: give another folder to -o")
    if not there:
        return
    readme_file = folder / NAMES[0]
    if there[0] != readme_file:
        raise InputError(f"{there[0]} is there and is of no report: give another folder to -o")
    try:
        with readme_file.open("rb") as stream:
            start = stream.read(len(MARK))
    except OSError as error:
        raise InputError(f"{readme_file} cannot be read ({error.strerror}): give another folder to -o") from None
    if start != MARK.encode():
        raise InputError(f"{readme_file} is there and is no report: give another folder to -o")


def _write(folder: Path, report: Report, with_texts: bool) -> None:
    _draw_groups(folder, report)
    _draw_heads(folder, report)
    texts = {"README.md": readme(report)}
    if report.rows:
        texts["leaderboard.csv"] = leaderboard_csv(report.rows, folder)
        texts["comparisons.csv"] = comparisons_csv(report.rows)
    if report.tables:
        texts["heads.csv"] = heads_csv(report.tables)
    for model, text in eval_results(report.rows).items():
        texts[f"{HUB}/sprint-{file_name(model)}.yaml"] = text
    for name, text in texts.items():
        write_whole(folder / name, text)
    for name in set(NAMES[:-1]) - set(texts):
        (folder / name).unlink(missing_ok=True)
    notes = [*apart(report.groups), *report.notes]
    write_page(report.rows, report.matrices, folder / "index.html", notes, with_texts)


def apart(groups: Sequence[ComparableRuns]) -> list[str]:
    """Return a sentence for each group that cannot be compared with another one of its task."""
    named = [(group_label(groups, number), group) for number, group in enumerate(groups, 1)]
    return [f"{label} stands apart because {group.differs}." for label, group in named if group.differs]


def _draw_groups(folder: Path, report: Report) -> None:
    for number, group in list(enumerate(report.groups, 1))[:MAX_GROUPS]:
        figure, left_out = curves_figure([row for row in report.rows if row["group"] == number])
        name = Path(FIGURES, file_name("curves", str(number), group.task))
        save_figure(figure, folder / name)
        report.curves[number] = (f"Pass@N over N and over tokens, {group_label(report.groups, number)}", name)
        report.notes += [f"figure {name.as_posix()}: {sentence}." for sentence in left_out]
    if len(report.groups) > MAX_GROUPS:
        report.notes.append(f"curves are drawn of the first {MAX_GROUPS} of {len(report.groups)} groups of runs.")


def _draw_heads(folder: Path, report: Report) -> None:
    tables = report.tables[:MAX_TABLES]
    for number, table in enumerate(tables, 1):
        figures = {"bars": bars_figure(table), "maps": maps_figure(table)}
        gains = best_head_gains(table)
        if gains:
            by_chance = {one.subject: one.layer_expected for one in table.best}
            figures["violins"] = violins_figure(table.name, "best head of a layer by subject", gains, by_chance)
        for kind, figure in figures.items():
            name = Path(FIGURES, file_name(kind, str(number), table.name))
            save_figure(figure, folder / name)
            report.heads.append((f"{table.name}: {kind}", name))
    gains = layer_gains(tables)
    if len(gains) > 1:
        name = Path(FIGURES, "violins-all")
        what = "best head of a layer, all subject-layer pairs"
        figure = violins_figure("All matrices", what, gains, layer_gains_by_chance(tables))
        save_figure(figure, folder / name)
        report.heads.append(("Gains of the best heads by matrix", name))
    if len(report.tables) > MAX_TABLES:
        count = len(report.tables)
        report.notes.append(f"heads are drawn of the first {MAX_TABLES} of {count} matrices; heads.csv has all.")
