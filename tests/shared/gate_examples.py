"""Runs as the harness writes them, made up: results and samples of one task, one verdict string per question."""

import hashlib
import json
from pathlib import Path

from sprint_lmeval.passn.metrics import unbiased_pass_at_k
from sprint_lmeval.runs.run import read_runs
from sprint_lmeval.runs.scores import scores_path

TASK = "tiny_passn"
DATE = "2026-01-02T03-04-05.678901"
NAMES = {"c": "correct", "i": "incorrect", "n": "no_answer", "t": "timeout", "e": "error"}
GRADER = {"sprint_lmeval_grader": "1", "sympy": "1.14.0"}


def row(number: int, letters: str, **changed) -> dict:
    n = len(letters)
    correct = [letter == "c" for letter in letters]
    rates = {f"pass@{k}": float(any(correct[:k])) for k in range(1, n + 1)}
    doc = {"id": f"test-{number}", "question": f"What is {number} + 1?", "answer": str(number + 1), "subject": "sums"}
    return {
        "doc_id": number,
        "doc": doc,
        "doc_hash": f"{number:064x}",
        "prompt_hash": f"{number + 7:064x}",
        "arguments": {"gen_args_0": {"arg_0": f"Question: What is {number} + 1?\nAnswer:", "arg_1": {}}},
        "resps": [[f"it is {number} {place} #### {place}" for place in range(n)]],
        **rates,
        f"mean@{n}": sum(correct) / n,
        f"maj@{n}": float(sum(correct) > n / 2),
        "verdicts": [NAMES[letter] for letter in letters],
        "answers": [None if letter == "n" else str(place) for place, letter in enumerate(letters)],
        "candidates": ["base", *(f"L0H{head}" for head in range(n - 1))],
        "truncated_rows": [False] * n,
        "new_tokens": [9] * n,
        **changed,
    }


def results(rows: list[dict], task: str = TASK, sprint: dict | None = None, kind: str = "number", **config) -> dict:
    n = len(rows[0]["verdicts"])
    names = [name for name, value in rows[0].items() if "@" in name and value is not None]
    rates = {f"{name},first_n": sum(r[name] for r in rows) / len(rows) for name in names}
    ours = {"strategy": "fixed", "grader": GRADER, "fingerprint": "f" * 64, "prompt_form": "p" * 64}
    ours |= {"generation": [{"greedy": True, "max_new_tokens": 160, "until": ["\n\n"]}], **(sprint or {})}
    return {
        "results": {task: {"alias": task, **rates}},
        "configs": {
            task: {
                "task": task,
                "repeats": n,
                "num_fewshot": 0,
                "metadata": {"grader": ours["grader"], "answer_kind": kind},
            }
        },
        "versions": {task: 1.0},
        "n-shot": {task: 0},
        "n-samples": {task: {"original": 5000, "effective": len(rows)}},
        "config": {"model": "hf-pruned-bon", "model_args": {"pretrained": "tiny"}, "sprint": ours, **config},
    }


def write_run(folder: Path, verdicts: list[str], task: str = TASK, changed: dict | None = None, **of_results) -> Path:
    """Write results and samples into a folder; `changed`: question number -> fields of its row."""
    rows = [row(number, letters, **(changed or {}).get(number, {})) for number, letters in enumerate(verdicts)]
    return write_rows(folder, rows, task, **of_results)


def write_rows(folder: Path, rows: list[dict], task: str = TASK, **of_results) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(r) + "\n" for r in rows)
    (folder / f"samples_{task}_{DATE}.jsonl").write_text(lines, encoding="utf-8")
    path = folder / f"results_{DATE}.json"
    path.write_text(json.dumps(results(rows, task, **of_results)), encoding="utf-8")
    return folder


def write_sampled(folder, verdicts):
    rows = []
    for number, letters in enumerate(verdicts):
        n = len(letters)
        chances = {f"unbiased_pass@{k}": unbiased_pass_at_k(n, letters.count("c"), k) for k in range(1, n + 1)}
        rows.append(row(number, letters, **chances))
    generation = [{"greedy": False, "temperature": 0.6, "max_new_tokens": 160, "until": ["\n\n"]}]
    return write_rows(folder, rows, sprint={"strategy": "sample", "strategy_seed": 0, "generation": generation})


def with_scores(folder, **changed):
    run = read_runs([folder]).runs[0]
    digest = hashlib.sha256(run.samples_path.read_bytes()).hexdigest()
    methods = {"majority": {"accuracy": 0.5, "recovered_of_pass_n": 0.75, "chosen": [0], "settings": {}}}
    methods["rpc"] = {"accuracy": 0.25, "settings": {"scored_under": "whole/model"}}
    scores = {"version": 1, "samples": {"file": run.samples_path.name, "sha256": digest}, "methods": methods}
    scores |= {"redundancy": {"equal_pairs": 0.125}, **changed}
    scores_path(run.samples_path).write_text(json.dumps(scores))
    return run
