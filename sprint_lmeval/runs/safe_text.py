"""Numbers and foreign texts in CSV and in Markdown: nothing of a text becomes markup or a formula."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARKUP = "\\|*`[]$~!#"
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


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


def table_text(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table; the first line is its head, the first `left` columns are text, the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(lines[0]) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def plain(text: str, length: int = 200) -> str:
    """Return text for a line or a cell of Markdown, cut to a length: nothing of it is markup."""
    text = "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode())
    text = " ".join(text.split())
    text = text if len(text) <= length else text[: length - 1] + "…"
    text = "".join(f"\\{c}" if c in MARKUP else ENTITIES.get(c, c) for c in text)
    return text.replace("__", "\\_\\_").replace("://", ":&#8203;//")


def percent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def points(share: float) -> str:
    text = f"{100 * share:+.1f}"
    return "+0.0" if text == "-0.0" else text


def number_of(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def one_line(text: object) -> str:
    """Text with everything that is not printable as a blank, and without what begins a workflow command."""
    line = "".join(c if c.isprintable() else " " for c in str(text)).replace("##[", "## [")
    return line.replace("::", ": :", 1) if line.lstrip().startswith("::") else line


def p_text(p: float) -> str:
    """A p-value with four digits; none is shown as 0."""
    return f"{p:.4f}" if p >= 0.00005 else "<0.0001"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines; the first and the last column begin left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1
    lines = []
    for row in rows:
        cells = [
            c.ljust(w) if place in (0, last) else c.rjust(w)
            for place, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
