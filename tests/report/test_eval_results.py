"""The file for the hub, read by the hub's own client."""

import yaml
from huggingface_hub._eval_results import parse_eval_result_entries

from sprint_lmeval.report.eval_results import eval_results


def test_entries_are_read_by_the_hubs_client():
    row = {
        "model": "org/small",
        "strategy": "sample (T 0.6)",
        "questions": 40,
        "n": 4,
        "pass": {1: 0.25, 4: 0.5, 8: 0.6},
    }
    rows = [
        row | {"task": "gsm8k_passn_fewshot"},
        row | {"task": "tiny_passn"},
        row | {"task": "tiny_passn", "model": "b"},
    ]
    files = eval_results(rows)
    first, last = parse_eval_result_entries(yaml.safe_load(files.pop("org/small")))
    assert files == {}, "the embedded problems are not on the hub"
    assert (first.dataset_id, first.task_id, first.value, last.value) == ("openai/gsm8k", "main", 25.0, 50.0)
    assert last.notes == "Pass@4 of strategy sample (T 0.6), 40 problems, gsm8k_passn_fewshot of sprint-lmeval"
