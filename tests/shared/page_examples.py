"""A report with everything a page shows: two models, strategies with scores, mathematics, hostile texts, a matrix."""

import base64
import gzip
import json
import re
from pathlib import Path

from sprint_lmeval.report.leaderboard import leaderboard
from sprint_lmeval.report.page.write import write_page
from sprint_lmeval.runs.comparable import comparable_groups
from sprint_lmeval.runs.run import read_runs
from tests.shared.gate_examples import write_run
from tests.shared.matrix_examples import SOLVED, matrix

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'> <b>非</b> &lt;i&gt;"
PROBLEMS = {
    0: ("What is $x^2$ for $x = 3$, if a pen costs $2 and a book $5?", "Algebra", 1, "9"),
    1: (HOSTILE, "Algebra", 2, r"\frac{1}{2}"),
    2: (r"Find \[\sum_{i=1}^n i.\] [asy] draw((0,0)--(1,1)); [/asy]", "Geometry", 3, "1"),
}
VERDICTS = ["iciiiciiicii"[k : k + 4] for k in (0, 4, 8)] + ["iiii"] * 9
LARGE = ["cccc"] * 3 + ["iiii"] * 9
BETTER = ["ccic", "cicc", "iiic"] + ["icii"] * 9


def rows_changed(scores: bool) -> dict:
    """The fields of each question's row that make it worth a page."""
    changed = {}
    for number in range(len(VERDICTS)):
        text, subject, level, gold = PROBLEMS.get(number, (f"What is {number} + 1?", "Geometry", 4, str(number + 1)))
        doc = {"id": f"test/{number}", "question": text, "subject": subject, "level": level, "answer": gold}
        changed[number] = {"doc": doc, "new_tokens": [10, 20, 30, 40], "truncated_rows": [False, True, False, False]}
        changed[number] |= {"scores": [0.9, 0.5, 0.25, 0.125]} if scores else {}
    changed[1] |= {
        "answers": [r"\frac{1}{2}", HOSTILE, None, "3"],
        "resps": [[HOSTILE, "so \\boxed{2}", "", "line\n3"]],
    }
    return changed


def write_runs(folder: Path) -> Path:
    selector = {"strategy": "selector", "selector": "coverage", "method": "coverage", "learned": True}
    small, large = {"pretrained": "org/small"}, {"pretrained": "lab/large<b>"}
    write_run(folder / "a", VERDICTS, changed=rows_changed(False), sprint={"strategy": "spread"}, model_args=small)
    write_run(folder / "b", BETTER, changed=rows_changed(True), sprint=selector, model_args=small)
    other = {"strategy": "spread", "fingerprint": "e" * 64}
    write_run(folder / "c", LARGE, changed=rows_changed(False), sprint=other, model_args=large)
    return folder


def make_page(folder: Path, runs: bool = True, matrices: bool = True, **options) -> Path:
    """Write a page of the runs, and return its place."""
    read = read_runs([write_runs(folder / "runs")]).runs if runs else []
    rows = leaderboard(comparable_groups(read))
    path = folder / "index.html"
    write_page(rows, [matrix(SOLVED)] if matrices else [], path, ["A note."], **options)
    return path


def packed(text: str, name: str) -> dict:
    """Return one packed part of a page."""
    found = re.search(f'<script type="text/plain" id="{name}">([^<]*)</script>', text)
    return json.loads(gzip.decompress(base64.b64decode(found[1])))
