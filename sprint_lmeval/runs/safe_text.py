"""Numbers and untrusted texts in CSV, in Markdown and on a terminal.

An untrusted text (the name of a model, an answer, a note that names a file) stays text wherever it is shown: no formula
in a spreadsheet, no markup on a page, no command to a terminal or to the service that runs a workflow.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARKUP = "\\|*`[]$~!#"
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


# ---- numbers ----


def percent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def points(share: float) -> str:
    """A difference of shares in points, with its sign; none is -0.0."""
    text = f"{100 * share:+.1f}"
    return "+0.0" if text == "-0.0" else text


def number_of(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def p_value(p: float) -> str:
    """A p value with three digits, for a page."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_text(p: float) -> str:
    """A p value with four digits, for a terminal; none is shown as 0."""
    return f"{p:.4f}" if p >= 0.00005 else "<0.0001"


# ---- CSV ----


def csv_text(lines: Sequence[Sequence[object]]) -> str:
    """Return lines as CSV: numbers in six digits, nothing for None and nan."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_csv_cell(value) for value in line] for line in lines)
    return out.getvalue()


def _csv_cell(value: object) -> str:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, str):
        return str(value)
    text = value.encode("utf-8", "replace").decode()
    return f"'{text}" if text.startswith(FORMULA) else text


# ---- Markdown ----


def table_text(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a table; the first line is its head, the first `left` columns are text, the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(lines[0]) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def plain(text: str, length: int = 200) -> str:
    """Return text for a line or a cell, cut to a length: nothing of it is markup."""
    text = " ".join(_printable(text.encode("utf-8", "replace").decode()).split())
    text = text if len(text) <= length else text[: length - 1] + "…"
    text = "".join(f"\\{c}" if c in MARKUP else ENTITIES.get(c, c) for c in text)
    return text.replace("__", "\\_\\_").replace("://", ":&#8203;//")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


# ---- terminal ----


def one_line(text: object) -> str:
    """Return text on one line, without what begins a command to the service that runs a workflow."""
    line = _printable(str(text)).replace("##[", "## [")
    return line.replace("::", ": :", 1) if line.lstrip().startswith("::") else line


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines; the first and the last column begin left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *middle, last in rows:
        numbers = [cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *numbers, last]).rstrip())
    return lines
