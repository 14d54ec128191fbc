"""Tables and curves of README.md in this folder, and the tables of docs/negative-results.md.

python results/rivals/tables.py            # rewrites both pages between their marks, and curves.csv, curves.svg
python results/rivals/tables.py --check    # exit status 1 when a page or curves.csv is not what the files say
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from multi_head import passed as multi_head_passed
from rivals import Rivals  # sets the path to the tables of results/sprint
from tables import SHOWN, N, between_marks, gain_cells, pass_cells, passed_of, rebuild

from sprint_lmeval.runs.safe_text import table_text

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "negative-results.md"

# ---- docs/negative-results.md ----


def negative_results(check: bool) -> int:
    """Write the tables of the page, or say that they are not what the files say."""
    old = page = PAGE.read_text(encoding="utf-8")
    mixed = Rivals(HERE / "tiny").passed
    found = {
        "guides": against_first(of_first("guided")),
        "masks": against_first(dict(zip(("one head each", "one to four heads"), multi_head_passed(), strict=True))),
        "samples": compared(pruned_samples(), [(f"pruned, T {t}", f"whole, T {t}") for t in ("0.6", "0.9")]),
        "mixtures": compared(mixed, MIXTURES),
        "losses": against_first(of_first("losses")),
    }
    for name, text in found.items():
        page = between_marks(page, name, text)
    if not check:
        PAGE.write_text(page, encoding="utf-8")
    elif page != old:
        print(f"docs/{PAGE.name} differs from the measured files: run python results/rivals/tables.py")
    return int(check and page != old)


MIXTURES = [
    ("cover and samples in turn", "greedy, then T 0.9"),
    ("cover and branches in turn", "branch, ratio"),
    ("samples and branches in turn", "branch, ratio"),
]


def of_first(name: str) -> dict[str, np.ndarray]:
    """Return Pass@1..N, [questions, N], from a file that says which response is the first correct one, 0: none."""
    first = {key: np.array(value)[:, None] for key, value in json.loads((HERE / f"{name}.json").read_text()).items()}
    return {key: ((value > 0) & (value <= np.arange(1, N + 1))).astype(float) for key, value in first.items()}


def pruned_samples() -> dict[str, np.ndarray]:
    """Return Pass@1..N of samples of pruned sub-models, and of samples of the whole model for the same questions."""
    pruned = json.loads((HERE / "pruned_samples.json").read_text())
    stored = pq.read_table(HERE.parent / "sprint" / "tiny" / "samples.parquet")
    found = {}
    for temperature, verdicts in pruned.items():
        whole = np.array(stored[f"sample T {temperature}/0"].to_pylist()[: len(verdicts)])
        found[f"whole, T {temperature}"] = passed_of(whole == 0, independent=True)
        found[f"pruned, T {temperature}"] = passed_of(np.array(verdicts) == 0, independent=False)
    return found


def against_first(passed: dict[str, np.ndarray]) -> str:
    first, *others = passed
    return compared(passed, [(name, first) for name in others])


def compared(passed: dict[str, np.ndarray], pairs: list[tuple[str, str]]) -> str:
    """Return Pass@N of every strategy of the pairs, and the differences of each pair."""
    levels = [["strategy", *(f"Pass@{k}" for k in SHOWN)]]
    levels += [
        [name, *pass_cells(passed[name], SHOWN)] for name in dict.fromkeys(n for pair in pairs for n in pair[::-1])
    ]
    gains = [["difference in points", *(f"N = {k}" for k in SHOWN)]]
    for first, second in pairs:
        gain = passed[first] - passed[second]
        gains.append([f"{first} − {second}", *gain_cells(gain, SHOWN)])
    return f"{table_text(levels)}\n\n{table_text(gains)}"


if __name__ == "__main__":
    checked = "--check" in sys.argv[1:]
    sys.exit(rebuild(HERE, Rivals, checked) | negative_results(checked))
