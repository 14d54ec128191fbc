"""The report as a page of Markdown: leaderboard, choosing one answer, figures, tables of heads, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.report.chance import chance_markdown
from sprint_lmeval.report.heads import HeadTable, heads_markdown
from sprint_lmeval.report.leaderboard import about_methods, both_p, headline, is_best_baseline, method_label
from sprint_lmeval.runs.comparable import ComparableRuns, group_label
from sprint_lmeval.runs.safe_text import number_of, percent, plain, points, table_text

MARK = "<!-- made by sprint-lmeval report -->"
MAX_ROWS = 200  # of a group; all are in leaderboard.csv
MAX_COLUMNS = 12  # methods of choosing that stand side by side
MAX_NOTES = 100
MAX_LISTED = 64  # candidates that are counted one by one


@dataclass
class Report:
    """What a report holds.

    Attributes:
        groups: of runs that may be compared; `rows` of the leaderboard, in their order.
        matrices: outcome matrices; `tables` of their heads.
        notes: a sentence for everything that was left out.
        curves: figure of each group by its number: (title, file without its ending); `heads`: those of matrices.
    """

    groups: list[ComparableRuns]
    rows: list[dict]
    matrices: list[OutcomeMatrix]
    tables: list[HeadTable]
    notes: list[str]
    curves: dict[int, tuple[str, Path]] = field(default_factory=dict)
    heads: list[tuple[str, Path]] = field(default_factory=list)


def readme(report: Report) -> str:
    """Return README.md."""
    rows = report.rows
    parts = [MARK, "# Report", _contents(rows, report.tables)]
    if rows:
        parts += ["## Leaderboard", _explained(rows)]
    for number, group in enumerate(report.groups, 1):
        of_group = [row for row in rows if row["group"] == number]
        parts += [f"### {plain(group_label(report.groups, number))}", _about(group, of_group)]
        parts += [leaderboard_table(of_group), *(_image(f) for f in [report.curves.get(number)] if f)]
    chosen = choosing_table(rows)
    if chosen:
        parts += ["## Choosing one answer", f"{CHOOSING} {plain(about_methods(rows), MAX_ABOUT)}".rstrip(), chosen]
    alike = redundancy_table(rows)
    if alike:
        parts += ["## How alike the answers are", "Means over questions.", alike]
    alone = candidates_text(rows)
    if alone:
        parts += ["## Candidates by themselves", alone]
    if report.tables:
        parts += ["## Single heads", HEADS, *map(_image, report.heads)]
        for table in report.tables:
            parts += [f"### {plain(table.name)}", heads_markdown(table), chance_markdown(table.best)]
    if report.notes:
        parts += ["## Left out", _left_out(report.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _left_out(notes: Sequence[str]) -> str:
    more = [f"- and {len(notes) - MAX_NOTES} more"] if len(notes) > MAX_NOTES else []
    return "\n".join([*(f"- {plain(note, 600)}" for note in notes[:MAX_NOTES]), *more])


def _image(drawn: tuple[str, Path]) -> str:
    title, file = drawn
    return f"![{plain(title)}]({file.as_posix()}.svg)"


CHOOSING = """Pass@N asks an oracle which of N answers is right. These methods choose one answer without it; in brackets
the share of Pass@N that they recover. Majority: the most frequent answer, ties split; others: `sprint-lmeval score`."""
MAX_ABOUT = 2_000

HEADS = """Pass@1 of every single pruned head in percent, bold where above the unpruned model (`none`). The best of many
heads is above it by chance alone too: below each table, its gain beside what chance gives. Dotted lines in the violins
are the means by chance."""

LEADERBOARD = "Rates in percent, ± the standard error."
COMPARED = """`difference`: Pass@N minus that of the best baseline of the
same model, at the N that all runs of the table have, paired by question, with its 95 % interval; `p`: McNemar's exact
test, or the paired bootstrap (b) where values are not 0 or 1, and corrected by Holm's method for all comparisons
of a task and model, at every k of comparisons.csv."""
BASELINES = """Baselines: strategies that learned nothing, and those that are the same for every question
(`top`, `cover`, `branch`)."""


def _contents(rows: Sequence[dict], tables: Sequence[HeadTable]) -> str:
    files = ["[index.html](index.html) (to explore)"]
    if rows:
        files += ["[leaderboard.csv](leaderboard.csv)", "[comparisons.csv](comparisons.csv) (every paired difference)"]
    if tables:
        files += ["[heads.csv](heads.csv)"]
    counted = [number_of(len(rows), "run", "runs")] if rows else []
    counted += [number_of(len(tables), "outcome matrix", "outcome matrices")] if tables else []
    return f"{', '.join(counted)}. All numbers: {', '.join(files)}. Figures are there as PNG and SVG."


def _explained(rows: Sequence[dict]) -> str:
    compared = any(row["comparisons"] for row in rows)
    text = " ".join([LEADERBOARD, *([COMPARED] if compared else []), BASELINES])
    if any(row["unbiased"] for row in rows):
        text += " Pass@k of independent samples (*) is the unbiased estimate over all orders."
    if any(row["seconds"] is None for row in rows):
        text += " Time is left out where answers came from a store or several tasks shared the run."
    return text


def _about(group: ComparableRuns, rows: Sequence[dict]) -> str:
    counts = sorted({row["questions"] for row in rows if row["questions"]})
    text = f"{' or '.join(f'{count:,}' for count in counts) or 'an unknown number of'} questions; "
    text += f"compared at N = {group.common_n}."
    if group.differs:
        text += f" Apart because {plain(group.differs, 600)}."
    return text


def leaderboard_table(rows: Sequence[dict]) -> str:
    """Return the rows of one group as a Markdown table."""
    counted = [row for row in rows if not row["run"].flat] or rows
    levels = sorted({k for row in counted for k in row["pass"]})
    several = len({row["model"] for row in rows}) > 1
    head = [*(["model"] if several else []), "strategy", "N", *(f"Pass@{k}" for k in levels), "mean", "majority"]
    head += ["no answer", "truncated", "tokens per answer", "seconds", "difference", "p / corrected"]
    lines = [head, *(_line(row, levels, several) for row in rows[:MAX_ROWS])]
    text = table_text(lines, left=1 + several)
    if not several:
        text = f"Model: {plain(rows[0]['model'])}\n\n{text}"
    return text + _more(rows)


def _line(row: dict, levels: Sequence[int], several: bool) -> list[str]:
    label = plain(row["strategy"]) + (" \\*" if row["unbiased"] else "")
    rates = [_rate(row["pass"].get(k), row["stderr"].get(k)) for k in levels]
    seconds = "-" if row["seconds"] is None else f"{row['seconds']:,.0f}"
    tokens = "-" if row["tokens_per_answer"] is None else f"{row['tokens_per_answer']:.0f}"
    shares = [percent(row[name]) for name in ("mean", "majority", "no_answer", "truncated")]
    named = [plain(row["model"])] if several else []
    return [*named, label, str(row["n"]), *rates, *shares, tokens, seconds, *_compared(row)]


def _rate(rate: float | None, error: float | None) -> str:
    return percent(rate) + (f" ± {100 * error:.1f}" if rate is not None and error is not None else "")


def _compared(row: dict) -> tuple[str, str]:
    compared = headline(row)
    if compared is None:
        return ("best baseline" if is_best_baseline(row) else "-"), "-"
    interval = f"({points(compared['low'])} to {points(compared['high'])})"
    sign = " b" if compared["test"] == "bootstrap" else ""
    difference = f"{points(compared['difference'])} {interval} to {plain(compared['baseline'])}"
    return difference, both_p(compared) + sign


def choosing_table(rows: Sequence[dict]) -> str:
    """Return, for each run with several answers, what the methods of choosing one recover; "" without such runs.

    A run is a line; with many methods, a column.
    """
    chosen = [row for row in rows if row["majority"] is not None or row["methods"]]
    shown = [row for row in chosen if row["n"] > 1 and _oracle(row) is not None]
    if not shown:
        return ""
    methods = sorted({name for row in shown for name in row["methods"]})
    named = (plain(method_label(name)) for name in methods)
    lines = [["task", "model", "strategy", "N", "Pass@N", "majority", *named]]
    for row in shown[:MAX_ROWS]:
        majority = row["majority"] is not None and {"accuracy": row["majority"], "recovered_of_pass_n": None}
        chosen = (majority, *(row["methods"].get(name) for name in methods))
        oracle = _oracle(row)
        lines.append([*_names(row), percent(oracle), *(_recovered(method, oracle) for method in chosen)])
    if len(methods) > MAX_COLUMNS:
        return table_text(list(zip(*lines, strict=True))) + _more(shown)
    return table_text(lines, left=3) + _more(shown)


def redundancy_table(rows: Sequence[dict]) -> str:
    """Return how alike the answers of each run's questions are, as far as it was measured; "" where it was not."""
    shown = [row for row in rows if row["n"] > 1 and (row["redundancy"] or row["distinct_answers"] is not None)]
    measured = sorted({name for row in shown for name in row["redundancy"]} - {"distinct_answers"})
    lines = [["task", "model", "strategy", "N", *(plain(n.replace("_", " ")) for n in ("distinct_answers", *measured))]]
    for row in shown[:MAX_ROWS]:
        distinct = row["distinct_answers"]
        distinct = row["redundancy"].get("distinct_answers") if distinct is None else distinct
        lines.append([*_names(row), *map(_number, (distinct, *(row["redundancy"].get(name) for name in measured)))])
    return table_text(lines, left=3) + _more(shown) if shown else ""


def _names(row: dict) -> list[str]:
    return [*(plain(row[name]) for name in ("task", "model", "strategy")), str(row["n"])]


def _more(rows: Sequence[dict]) -> str:
    return f"\n\n{len(rows) - MAX_ROWS} more rows are in leaderboard.csv." if len(rows) > MAX_ROWS else ""


def candidates_text(rows: Sequence[dict]) -> str:
    """Return, for each run with one list of candidates for all questions, what each solves by itself; "" without."""
    lines = []
    for row in rows:
        names = (row["run"].candidates or [[]])[0]
        alike = all(line == names for line in row["run"].candidates or ())
        if alike and 1 < len(names) == len(set(names)) <= MAX_LISTED:
            solved = zip(names, row["run"].correct.sum(0).tolist(), strict=True)
            ordered = sorted(solved, key=lambda pair: (pair[0] != "base", -pair[1]))
            counts = ", ".join(f"{plain(name)} {count}" for name, count in ordered)
            named = ", ".join(plain(row[part]) for part in ("model", "strategy", "task"))
            lines.append(f"- {named}, of {row['questions']:,}: {counts}")
    return "\n".join(["Questions solved (`base` is the unpruned model):", "", *lines[:MAX_ROWS]]) if lines else ""


def _oracle(row: dict) -> float | None:
    """Pass@N of all N answers in the order of the run: what the N answers hold."""
    return row["run"].metrics.get(f"pass@{row['n']}")


def _recovered(method: dict | None, oracle: float) -> str:
    if not method:
        return "-"
    share = method["recovered_of_pass_n"]
    share = method["accuracy"] / oracle if share is None and oracle else share
    return percent(method["accuracy"]) + (f" ({100 * share:.0f} %)" if share is not None else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
