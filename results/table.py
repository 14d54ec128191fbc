"""Make the tables of results/README.md from the harness's files in this folder.

    python results/table.py            # rewrites the part of README.md between its two marks
    python results/table.py --check    # exit status 1 when README.md is not what the files say

Every pass@k and mean is computed again from the verdicts in samples.jsonl and compared with what the harness wrote.
Standard library only.
"""

import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).parent
START, END = "<!-- tables: made by results/table.py -->", "<!-- end of tables -->"
COLUMNS = ("model", "task", "strategy", "problems", "pass@1", "pass@4", "pass@16", "mean", "majority", "no answer",
           "truncated", "tokens", "seconds")  # fmt: skip


def main(check: bool) -> int:
    runs = [read_run(path.parent) for path in sorted(HERE.glob("*/*/*/results.json"))]
    text = "\n".join([START, "", *table(runs), "", *best_heads(runs), END])
    readme = HERE / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = old[: old.index(START)] + text + old[old.index(END) + len(END) :]
    if check:
        said = "is what the files say" if old == new else "differs from the files: run python results/table.py"
        print(f"results/README.md {said}")
        return int(old != new)
    readme.write_text(new, encoding="utf-8")
    return 0


def read_run(folder: Path) -> dict:
    """Return one run: its names from the folders model/task/strategy, its numbers from its files."""
    run = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    task, strategy = folder.parent.name, folder.name
    verify(run["results"][task], samples, folder)
    return {
        "model": folder.parent.parent.name,
        "task": task,
        "strategy": strategy,
        "samples": samples,
        "harness": run["results"][task],
        "seconds": float(run["total_evaluation_time_seconds"]),
    }


def verify(harness: dict, samples: list[dict], folder: Path) -> None:
    """Stop where the harness's pass@k or mean is not what the verdicts say."""
    n = len(samples[0]["verdicts"])
    for k in range(1, n + 1):
        compare(harness[f"pass@{k},first_n"], rate("correct" in s["verdicts"][:k] for s in samples), folder, k)
    correct = sum(s["verdicts"].count("correct") for s in samples) / (n * len(samples))
    compare(harness[f"mean@{n},first_n"], correct, folder, n)


def compare(written: float, computed: float, folder: Path, k: int) -> None:
    if not math.isclose(written, computed, abs_tol=1e-9):
        raise SystemExit(f"{folder}: the harness wrote {written} at {k}, the verdicts say {computed}")


def rate(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def table(runs: list[dict]) -> list[str]:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return lines + ["| " + " | ".join(row(run)) + " |" for run in runs]


def row(run: dict) -> list[str]:
    values, samples = run["harness"], run["samples"]
    n = len(samples[0]["verdicts"])

    def percent(name: str) -> str:
        value = values.get(f"{name},first_n")
        if value is None:
            return "-"
        error = values.get(f"{name}_stderr,first_n")
        return f"{100 * value:.1f}" + (f" ± {100 * error:.1f}" if isinstance(error, float) else "")

    tokens = rate(t for s in samples for t in s["new_tokens"])
    return [run["model"], run["task"], f"{run['strategy']} (N = {n})", str(len(samples)), percent("pass@1"),
            percent("pass@4"), percent("pass@16"), percent(f"mean@{n}"), percent(f"maj@{n}"), percent("no_answer"),
            percent("truncated"), f"{tokens:.0f}", f"{run['seconds']:.0f}"]  # fmt: skip


def best_heads(runs: list[dict]) -> list[str]:
    """Return, for each run with fixed candidates, what each of them solves by itself."""
    lines = ["Problems solved by each candidate by itself (`base` is the unpruned model):", ""]
    for run in runs:
        if run["strategy"] != "fixed":
            continue
        names = run["samples"][0]["candidates"]
        solved = {name: sum(s["verdicts"][i] == "correct" for s in run["samples"]) for i, name in enumerate(names)}
        ordered = sorted(solved.items(), key=lambda item: (item[0] != "base", -item[1]))
        counts = ", ".join(f"{name} {count}" for name, count in ordered)
        lines.append(f"- {run['model']}, {run['task']}, of {len(run['samples'])}: {counts}")
    return [*lines, ""]


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
