"""Rebuild results/report/ and the tables that README.md and results/README.md show of it.

    python results/build.py            # writes results/report/, and the parts of the two pages between their marks
    python results/build.py --check    # exit status 1 where they are not what the measured files say; writes nothing

The report is that of `sprint-lmeval report`, of the harness's runs and the outcome matrices in this folder.
Runs under sprint/ were kept without samples; their verdicts come from the matrices, rankings and samples beside them.
Compared are the words and numbers (README.md and CSV), not the bytes of figures, which depend on the machine's fonts.
"""

import csv
import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = Path("results")  # of the root: the report names files as seen from there
sys.path.insert(0, str(ROOT / HERE / "sprint"))

from tables import Study  # noqa: E402

from sprint_lmeval.report.readme import Report, candidates_text, leaderboard_table  # noqa: E402
from sprint_lmeval.report.write import write_report  # noqa: E402
from sprint_lmeval.runs.run import read_runs  # noqa: E402
from sprint_lmeval.runs.safe_text import table_text  # noqa: E402

FOLDER, TRIAL = HERE / "report", HERE / "report.trial"
START, END = "<!-- made by results/build.py -->", "<!-- end -->"
ON_MAIN_PAGE, AT = HERE / "rivals/tiny", (1, 4, 16)
# Names of strategies there -> what the main page calls the best at its largest N. Training problems chose `ratio`.
LABELS = {
    r"base": "the whole model, one greedy answer",
    r"sample (T [\d.]+)": "samples of the whole model, {}",
    r"sprint": "SPRINT: a head silenced per answer",
    r"cover": "greedy set cover over the same heads",
    r"branch, (ratio)": "branches of the greedy answer, by {}",
}


def main(check: bool) -> int:
    os.chdir(ROOT)
    folder = TRIAL if check else FOLDER
    try:
        report = build(folder)
        wrong = differing() if check else []
    finally:
        shutil.rmtree(TRIAL, ignore_errors=True)
    for page, text in ((HERE / "README.md", small_models(report)), (Path("README.md"), main_page())):
        old = page.read_text(encoding="utf-8")
        new = old[: old.index(START)] + f"{START}\n\n{text}\n\n" + old[old.index(END) :]
        if not check:
            page.write_text(new, encoding="utf-8")
        elif old != new:
            wrong.append(page)
    for file in wrong:
        print(f"{file} differs from the measured files: run python results/build.py")
    if check and not wrong:
        print("results/report, results/README.md and README.md are what the measured files say")
    return int(bool(wrong))


def build(folder: Path) -> Report:
    """Write the report of everything that is measured here."""
    studies = [Study(path.parent) for path in sorted(HERE.glob("sprint/*/study.json"))]
    runs, left_out = read_runs(sorted(HERE.glob("*/*/*/results.json")))
    assert not left_out, left_out
    runs += [run for study in studies for run in study.harness_runs]
    return write_report(folder, runs, [study.test for study in studies])


def differing() -> list[Path]:
    """Files of the report whose words or numbers are not those of the trial; and figures that are not there."""
    names = {file.relative_to(TRIAL) for file in TRIAL.rglob("*") if file.is_file()}
    texts = {name for name in names if name.suffix in (".md", ".csv")}
    wrong = [name for name in texts if not same_text(TRIAL / name, FOLDER / name)]
    return [FOLDER / name for name in sorted({*wrong, *(name for name in names if not (FOLDER / name).is_file())})]


def same_text(first: Path, second: Path) -> bool:
    return second.is_file() and first.read_bytes() == second.read_bytes()


def small_models(report: Report) -> str:
    """The tables of the two small models, for results/README.md."""
    parts = []
    for number, group in enumerate(report.groups, 1):
        rows = [row for row in report.rows if row["group"] == number]
        if group.task != "tiny_passn" and "fewshot" not in group.task:
            count = rows[0]["questions"]
            parts += [f"**{group.task}**, {count} problems, compared at N = {group.common_n}", leaderboard_table(rows)]
    return "\n\n".join([*parts, candidates_text(report.rows)])


def main_page() -> str:
    """Pass@N of the embedded model with 95 % intervals over problems, and what N answers cost, for the main page."""
    curves: dict[str, dict[int, dict]] = {}
    for line in csv.DictReader((ON_MAIN_PAGE / "curves.csv").read_text(encoding="utf-8").splitlines()):
        curves.setdefault(line["strategy"], {})[int(line["n"])] = line
    problems = len(Study(ON_MAIN_PAGE).test.questions)
    rows = [[f"solved, in % of {problems:,} problems", *(f"N = {n}" for n in AT), "new tokens of 16"]]
    for pattern, label in LABELS.items():
        found = [match for match in (re.fullmatch(pattern, name) for name in curves) if match]
        best = max(found, key=lambda match: float(curves[match[0]][AT[-1]]["pass"]))
        at = [curves[best[0]][n] for n in AT]
        rows.append([label.format(*best.groups()), *map(cell, at), f"{float(at[-1]['tokens']):.0f}"])
    return table_text(rows)


def cell(line: dict[str, str]) -> str:
    return "{:.1f} ({:.1f} to {:.1f})".format(*(float(line[name]) for name in ("pass", "low", "high")))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
