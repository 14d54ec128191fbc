"""Rows of the leaderboard -> the hub's `.eval_results/*.yaml`: a file for each model with runs on data sets of the hub.

The form is that of https://huggingface.co/docs/hub/eval-results. An entry is one value: each run gives its Pass@1 and
its Pass@N in percent, and its notes say which, of which strategy and on how many problems.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

# Begin of a task's name -> data set, and the id of a task in it.
ON_THE_HUB = {
    "gsm8k_passn": ("openai/gsm8k", "main"),
    "math500_passn": ("HuggingFaceH4/MATH-500", "default"),
    "aime24_passn": ("HuggingFaceH4/aime_2024", "default"),
    "aime25_passn": ("math-ai/aime25", "default"),
}


def eval_results(rows: Sequence[dict]) -> dict[str, str]:
    """Return YAML by model; models without a run on such a data set are not in it."""
    entries: dict[str, list[dict]] = {}
    for row in rows:
        where = next((place for name, place in ON_THE_HUB.items() if row["task"].startswith(name)), None)
        if where:
            levels = sorted({1, row["n"]} & set(row["pass"]))
            entries.setdefault(row["model"], []).extend(_entry(row, k, *where) for k in levels)
    return {model: yaml.safe_dump(of_model, sort_keys=False, width=1000) for model, of_model in entries.items()}


def _entry(row: dict, k: int, data_set: str, task: str) -> dict:
    notes = f"Pass@{k} of strategy {row['strategy']}, {row['questions']} problems, {row['task']} of sprint-lmeval"
    return {"dataset": {"id": data_set, "task_id": task}, "value": round(100 * row["pass"][k], 2), "notes": notes}
