"""Check what a run left: result and sample files in, one line per task out, or a message and exit status 1.

    python .ci/check_results.py output/demo --tasks tiny_passn --questions 40 --candidates 16

Every question must be there once, with one verdict, answer and candidate per response, and the rates of the results
file must be those of the counted verdicts.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

VERDICTS = ("correct", "incorrect", "no_answer", "timeout", "error")


def newest(folder: Path, pattern: str) -> Path:
    files = sorted(folder.rglob(pattern))
    if not files:
        sys.exit(f"error: no {pattern} under {folder}")
    return files[-1]


def check_task(folder: Path, task: str, questions: int, candidates: int) -> None:
    results = json.loads(newest(folder, "results_*.json").read_text())["results"][task]
    rows = [json.loads(line) for line in newest(folder, f"samples_{task}_*.jsonl").read_text().splitlines()]
    if sorted(row["doc_id"] for row in rows) != list(range(questions)):
        sys.exit(f"error: {task} has questions {sorted(row['doc_id'] for row in rows)}, not 0 to {questions - 1}")
    for row in rows:
        lengths = {name: len(row[name]) for name in ("candidates", "verdicts", "answers")}
        if set(lengths.values()) != {candidates}:
            sys.exit(f"error: question {row['doc_id']} of {task} has {lengths}, {candidates} of each expected")
    counts = Counter(verdict for row in rows for verdict in row["verdicts"])
    if set(counts) - set(VERDICTS) or counts.total() != questions * candidates:
        sys.exit(f"error: {task} has verdicts {dict(counts)}, {questions * candidates} in all expected")
    check_rate(task, results, f"mean@{candidates}", counts["correct"] / counts.total())
    check_rate(task, results, "no_answer", counts["no_answer"] / counts.total())
    check_rate(task, results, "grader_failed", (counts["timeout"] + counts["error"]) / counts.total())
    print(f"{task}: {questions} questions, {candidates} candidates, verdicts {dict(counts)}")


def check_rate(task: str, results: dict, metric: str, expected: float) -> None:
    found = [value for name, value in results.items() if name.split(",")[0] == metric]
    if len(found) != 1 or abs(found[0] - expected) > 1e-6:
        sys.exit(f"error: {task} shows {metric} {found}, its verdicts say {expected}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--questions", type=int, required=True)
    parser.add_argument("--candidates", type=int, required=True)
    options = parser.parse_args()
    for task in options.tasks:
        check_task(options.folder, task, options.questions, options.candidates)


if __name__ == "__main__":
    main()
