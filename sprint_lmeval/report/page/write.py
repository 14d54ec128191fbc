"""`index.html`: works from disk, offline: leaderboard, curves, heads and every question.

Everything is inside: Plotly.js and DataTables from their Python packages, our scripts and style (static/), and the
data, packed. Blocks of responses beyond a size stand in files beside the page, loaded when a question is opened. Texts
of problems and models are data only: scripts put them into text nodes. The page's policy allows the one script whose
hash it names, what that one unpacks, and files that it loads with the page's nonce; no other script, and no request.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from string import Template

from sprint_lmeval import __version__
from sprint_lmeval.files import write_whole
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.report.page import limits
from sprint_lmeval.report.page.data import core_data
from sprint_lmeval.report.page.limits import shorten
from sprint_lmeval.report.page.mathematics import Mathematics
from sprint_lmeval.report.page.responses import QUESTIONS_IN_BLOCK, pack, packed_blocks
from sprint_lmeval.runs.safe_text import number_of

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("dom", "packed", "theme", "leaderboard", "curves", "heads", "question", "questions", "address", "main")
LIBRARIES = {"plotly": ("plotly", "package_data/plotly.min.js"), "datatables": ("itables", "html/dt_bundle.js")}
LIBRARY_STYLE = ("itables", "html/dt_bundle.css")
BESIDE = "responses"  # folder of blocks that the page has no room for
ROOM = 12_000_000  # characters of blocks in the page
POLICY = (
    "default-src 'none'; script-src 'sha256-{digest}' blob:{nonce}; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def write_page(
    rows: Sequence[dict],
    matrices: Sequence[OutcomeMatrix],
    path: Path,
    notes: Sequence[str] = (),
    texts: bool = True,
    room: int = ROOM,
) -> None:
    """Write the page.

    Args:
        rows: of the leaderboard.
        matrices: for the heat maps; may be empty.
        path: of the file.
        notes: sentences for the foot of the page.
        texts: with problems, answers and responses.
        room: characters of packed responses in the page; the others go into files beside it.

    Raises:
        InputError: a file cannot be written.
    """
    mathematics = Mathematics()
    rows = sorted(rows, key=lambda row: row["group"])  # stable: as the page numbers its runs
    core = core_data(rows, matrices, mathematics, texts)
    blocks = [packed_blocks(row["run"], mathematics, texts) for row in rows]
    inside, beside = _place_blocks(blocks, path.parent / BESIDE, room)
    left_out = [] if texts else ["Problems, prompts, answers and responses were left out (--no-texts)."]
    notes = [*left_out, *_about_mathematics(mathematics), *(shorten(note, limits.NOTE) for note in notes)]
    core |= {"questions_in_block": QUESTIONS_IN_BLOCK, "texts": texts, "notes": notes}
    libraries = {f"library-{name}": _packed_file(*where) for name, where in LIBRARIES.items()}
    parts = {"core": pack(core), **libraries, **inside}
    write_whole(path, _assembled(parts, _nonce(parts, beside) if beside else ""))


def _place_blocks(blocks: Sequence[Iterable[str]], folder: Path, room: int) -> tuple[dict[str, str], list[bytes]]:
    """Return the blocks that have room in the page, and the digests of the others, which are written beside it."""
    inside, beside = {}, []
    for number, of_run in enumerate(blocks):
        for index, packed in enumerate(of_run):
            name = f"block-{number}-{index}"
            room -= len(packed)
            if room >= 0:
                inside[name] = packed
            else:
                write_whole(folder / f"{name}.js", f'document.currentScript.packed = "{packed}";\n')
                beside.append(hashlib.sha256(packed.encode()).digest())
    return inside, beside


def _nonce(parts: dict[str, str], beside: Sequence[bytes]) -> str:
    """Return a digest of all content: no text of it can name its own nonce."""
    return hashlib.sha256("".join(parts.values()).encode() + b"".join(beside)).hexdigest()


def _about_mathematics(mathematics: Mathematics) -> list[str]:
    notes = []
    if mathematics.failed:
        count = number_of(mathematics.failed, "expression", "expressions")
        notes.append(f"{count} shown as source: too long, or no LaTeX that can be converted.")
    if mathematics.full:
        notes.append("Some mathematics is shown as its source: there was more than a page can hold.")
    return notes


def _assembled(parts: dict[str, str], nonce: str) -> str:
    script = "\n".join((STATIC / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    packed = "\n".join(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in parts.items())
    return Template((STATIC / "page.html").read_text("utf-8")).substitute(
        title="sprint-lmeval report",
        policy=POLICY.format(digest=digest, nonce=f" 'nonce-{nonce}'" if nonce else ""),
        nonce=f' nonce="{nonce}"' if nonce else "",
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
