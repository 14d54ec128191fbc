"""How figures look and how they are written: readable in grey and by colour-blind eyes, the same bytes every time.

A strategy has one colour, line and marker in all figures and on the page; lines differ in style and marker as well as
in colour. Gains are drawn on one diverging scale, white at zero, with numbers in the cells. Names are shown as they
are: no part of them is read as mathematics.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from textwrap import wrap

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from sprint_lmeval.files import whole_file

# As in page.css (--series-0 ...), dark enough for thin lines on white; 0 is the unpruned model's.
COLOURS = (
    *("#44515c", "#0063a6", "#b34700", "#00795a", "#a3357a"),
    *("#5b4bb3", "#7a5c00", "#00808f", "#c2334d", "#5d7a00"),
)
LINES = ("-", "--", "-.", ":")
MARKERS = "osv^DX*P"
RATES = "cividis"  # its lightness rises all the way
GAINS = LinearSegmentedColormap.from_list("gains", ("#b34700", "#ffffff", "#0063a6"))
STYLE = {
    "svg.hashsalt": "sprint-lmeval",
    "svg.fonttype": "none",  # text stays text: smaller, and any script shows
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 110,
}
MAX_LABEL = 60
IN_AN_INCH = 11  # characters of 10 points


def line_style(number: int, bold: bool = False) -> dict:
    """Return colour, line and marker of the curve with this number: no two of 32 are alike without the colour.

    The unpruned model, and what learned from questions (`bold`), have thicker lines.
    """
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINES[(number + number // len(MARKERS)) % len(LINES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
        "linewidth": 2.2 if bold or not number else 1.2,
    }


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with axes [rows][columns], of no global state."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def shortened(label: str) -> str:
    """Cut a name in its middle to what has room in a legend; control characters are shown as such."""
    label = "".join(c if c.isprintable() else "�" for c in label)
    half = MAX_LABEL // 2
    return label if len(label) <= MAX_LABEL else f"{label[:half]}…{label[-half + 1 :]}"


def title_of(figure: Figure, name: str, what: str) -> str:
    """Return a title of 10 points in as many lines as the figure's width asks for."""
    return "\n".join(wrap(f"{shortened(name)}: {what}", int(IN_AN_INCH * (figure.get_figwidth() - 1))))


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write PATH.png and PATH.svg; no date and no version is in them."""
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    with rc_context(STYLE), warnings.catch_warnings():
        # A script that the built-in font lacks: boxes in the PNG, while the SVG holds the text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        for file, metadata in zip(files, ({"Software": None}, {"Date": None, "Creator": None}), strict=True):
            with whole_file(file) as stream:
                figure.savefig(stream, format=file.suffix[1:], metadata=metadata)
    return files


def file_name(*parts: str) -> str:
    """Return a file's name made of some names, ASCII only."""
    joined = "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-.") for part in parts)
    return re.sub(r"-{2,}", "-", joined).strip("-")[:100] or "figure"
