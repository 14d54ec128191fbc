"""Lines for a terminal or a log, made of names that come from files which others wrote.

Each is one printable line in which nothing is left that GitHub's runner takes for a workflow command: `::` at the
beginning of a line, and the older `##[` anywhere in it.
"""

from __future__ import annotations

from collections.abc import Sequence


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
