"""`index.html`: one file that works from disk, offline: leaderboard, curves, heads and every question.

Everything is inside: Plotly.js and DataTables from their Python packages, our scripts and style (static/), and the
data, packed. Texts of problems and models are data only: scripts put them into text nodes, and the page's policy allows
no script but the one whose hash it names (and what that one unpacks), and no request at all.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import os
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from string import Template

from sprint_lmeval import __version__
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.report.page.data import core_data
from sprint_lmeval.report.page.mathematics import Mathematics
from sprint_lmeval.report.page.responses import QUESTIONS_IN_BLOCK, Blocks, pack, pack_blocks
from sprint_lmeval.runs.run import Run

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("dom", "packed", "theme", "leaderboard", "curves", "heads", "question", "questions", "main")
LIBRARIES = {"plotly": ("plotly", "package_data/plotly.min.js"), "datatables": ("itables", "html/dt_bundle.js")}
LIBRARY_STYLE = ("itables", "html/dt_bundle.css")
MAX_BYTES = 14_500_000
SPARE = 4_000  # bytes for the notes
POLICY = (
    "default-src 'none'; script-src 'sha256-{digest}' blob:; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def write_page(
    runs: Sequence[Run],
    leaderboard: Sequence[dict],
    matrices: Sequence[OutcomeMatrix],
    path: str | os.PathLike,
    notes: Sequence[str] = (),
    max_bytes: int = MAX_BYTES,
) -> None:
    """Write the page of all runs.

    Args:
        runs: the runs of the leaderboard.
        leaderboard: their rows.
        matrices: for the heat maps; may be empty.
        path: of the file.
        notes: sentences for the foot of the page.
        max_bytes: size of the page, to which response texts are shortened.

    Raises:
        InputError: the file cannot be written.
    """
    shown = {id(row["run"]) for row in leaderboard}
    assert all(id(run) in shown for run in runs), "a run is not in the leaderboard"
    text = page_of(leaderboard, matrices, notes, max_bytes)
    try:
        Path(path).write_text(text, "utf-8", "replace")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): give another folder") from None


def page_of(rows: Sequence[dict], matrices: Sequence[OutcomeMatrix], notes: Sequence[str], max_bytes: int) -> str:
    """Return the whole page. Its size comes near `max_bytes` only where texts have to be shortened."""
    mathematics = Mathematics()
    rows = sorted(rows, key=lambda row: row["group"])  # stable: as the page numbers its runs
    core = core_data(rows, matrices, mathematics)
    parts = {f"library-{name}": _packed_file(*place) for name, place in LIBRARIES.items()}
    room = max_bytes - len(_assembled({"core": pack(core), **parts})) - SPARE
    blocks = pack_blocks([row["run"] for row in rows], room, mathematics)
    core |= {"texts_kept": blocks.answers > 0, "questions_in_block": QUESTIONS_IN_BLOCK}
    core["notes"] = [*_about_texts(blocks), *_about_mathematics(mathematics), *notes]
    numbered = {
        f"block-{number}-{place}": packed
        for number, of_run in enumerate(blocks.packed)
        for place, packed in enumerate(of_run)
    }
    return _assembled({"core": pack(core), **parts, **numbered})


def _about_texts(blocks: Blocks) -> list[str]:
    why = "so that the page keeps its size; whole texts are in the sample files."
    notes = []
    if blocks.left_out or not blocks.answers:
        kept = (
            f"Of each question the first {blocks.answers:,} response texts are"
            if blocks.answers
            else "No response text is"
        )
        notes.append(f"{kept} in this page, {why}")
    if blocks.shortened:
        notes.append(
            f"{blocks.shortened:,} of {blocks.shown:,} response texts were shortened in the middle to "
            f"{blocks.length:,} characters, {why}"
        )
    return notes


def _about_mathematics(mathematics: Mathematics) -> list[str]:
    return ["Some mathematics is shown as its source: there was more than a page can hold."] if mathematics.full else []


def _assembled(parts: dict[str, str]) -> str:
    script = "\n".join((STATIC / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    packed = "\n".join(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in parts.items())
    return Template((STATIC / "page.html").read_text("utf-8")).substitute(
        title="sprint-lmeval report",
        policy=POLICY.format(digest=digest),
        library_style=_library_file(*LIBRARY_STYLE).read_text("utf-8"),
        style=(STATIC / "page.css").read_text("utf-8"),
        licences=_licences(),
        packed=packed,
        script=script,
    )


def _licences() -> str:
    inside = f"Plotly.js (of plotly {version('plotly')}), DataTables and jQuery (of itables {version('itables')})"
    return html.escape(f"Written by sprint-lmeval {__version__}. Inside: {inside}, all under the MIT license.")


def _packed_file(package: str, name: str) -> str:
    return base64.b64encode(gzip.compress(_library_file(package, name).read_bytes(), 9, mtime=0)).decode()


def _library_file(package: str, name: str) -> Path:
    """A file of an installed package, which is not imported for it."""
    return Path(find_spec(package).origin).parent / name
