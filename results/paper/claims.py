"""The paper's three claims on every model that is measured here, side by side -> README.md in this folder.

    python results/paper/claims.py            # rewrites the page between its marks
    python results/paper/claims.py --check    # exit status 1 when the page is not what the measured files say

It reads the studies of results/rivals, whose matrices, rankings and samples are those of results/sprint. Differences
are paired by question; intervals are 95 % (bootstrap over questions), not corrected for their number.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "sprint"), str(HERE.parent / "rivals")]

from rivals import Rivals  # noqa: E402
from tables import SHOWN, between_marks, gain_cells, pass_cells  # noqa: E402

from sprint_lmeval.report.heads import head_table  # noqa: E402
from sprint_lmeval.runs.safe_text import p_value, percent, points, table_text  # noqa: E402

OF_HEADS = ["model", "questions", "whole model", "best head of training", "difference"]
OF_HEADS += ["heads above", "best of all heads", "by chance", "p"]
LEARNED, BLIND = ("sprint", "coverage"), ("cover", "random", "top")


def studies() -> dict[str, Rivals]:
    """Return model -> its study."""
    return {path.parent.name: Rivals(path.parent) for path in sorted(HERE.parent.glob("rivals/*/study.json"))}


def heads(found: dict[str, Rivals]) -> str:
    """Return whether a pruned head beats the whole model: that of the training questions, and the best of the test."""
    lines = [OF_HEADS]
    for name, study in found.items():
        head, pruned, base, above = study.best_head()
        best = head_table(study.test, name).best[0]
        line = [name, str(len(base)), *pass_cells(base, [1]), f"{head}: {percent(pruned.mean())}"]
        line += [*gain_cells(pruned - base, [1]), above]
        lines.append([*line, points(best.gain), points(best.expected), p_value(best.p)])
    return table_text(lines)


def choices(found: dict[str, Rivals]) -> str:
    """Return whether a learned choice beats those that look at no question."""
    pairs = [(learned, blind) for learned in LEARNED for blind in BLIND]
    return at_equal_n(found, dict.fromkeys(found, pairs))


def at_equal_n(found: dict[str, Rivals], pairs: dict[str, list[tuple[str, str]]]) -> str:
    lines = [["model", "difference in points", *(f"N = {k}" for k in SHOWN)]]
    for name, study in found.items():
        for ours, rival in pairs[name]:
            cells = gain_cells(study.passed[ours] - study.passed[rival], SHOWN)
            lines.append([name, f"{ours} − {rival}", *cells])
    return table_text(lines)


def samples(study: Rivals) -> list[tuple[str, str]]:
    """Return what is compared with samples, at their best temperature: alone, and behind the greedy answer."""
    drawn = [name for name in study.passed if name.startswith("sample T") and "," not in name]
    known = min(int(np.isfinite(study.passed[name][0]).sum()) for name in drawn)
    best = max(drawn, key=lambda name: study.passed[name][:, known - 1].mean())
    return [(ours, rival) for ours in (*LEARNED, "cover") for rival in (best, f"greedy, then {best[7:]}")]


def at_equal_tokens(found: dict[str, Rivals]) -> str:
    """Return the same with as many samples as come nearest to the tokens of N answers; how many, in brackets."""
    lines = [["model", "difference in points", *(f"N = {k}" for k in SHOWN)]]
    for name, study in found.items():
        for ours, rival in samples(study):
            spent, of_rival = study.tokens[ours], study.tokens[rival]
            nearest = [int(np.nanargmin(np.abs(of_rival - tokens))) for tokens in spent]
            gain = study.passed[ours] - study.passed[rival][:, nearest]
            cells = gain_cells(gain, SHOWN)
            shown = [c if c == "-" else f"{c} [{nearest[k - 1] + 1}]" for c, k in zip(cells, SHOWN, strict=True)]
            lines.append([name, f"{ours} − {rival}", *shown])
    return table_text(lines)


def main(check: bool) -> int:
    found = studies()
    page = HERE / "README.md"
    old = new = page.read_text(encoding="utf-8")
    with_samples = {name: samples(study) for name, study in found.items()}
    texts = {
        "heads": heads(found),
        "choices": choices(found),
        "samples": at_equal_n(found, with_samples),
        "tokens": at_equal_tokens(found),
    }
    for name, text in texts.items():
        new = between_marks(new, name, text)
    if not check:
        page.write_text(new, encoding="utf-8")
    elif new != old:
        print("results/paper/README.md differs from the measured files: run python results/paper/claims.py")
    return int(check and new != old)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
