"""Keep of a harness run what a reader of the tables needs: numbers, settings and verdicts, no problems or responses.

    python results/trim.py OUTPUT results/FOLDER      # OUTPUT: what `lm_eval --output_path` wrote for one task

Writes FOLDER/results.json and FOLDER/samples.jsonl, one line a question: its id and hashes, and the lists of N.
Standard library only.
"""

import json
import sys
from pathlib import Path

KEPT_OF_RUN = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "config", "lm_eval_version")
KEPT_OF_RUN += ("transformers_version", "model_name", "total_evaluation_time_seconds")
KEPT_OF_SAMPLE = ("doc_id", "doc_hash", "prompt_hash", "target_hash", "candidates", "verdicts", "answers")
KEPT_OF_SAMPLE += ("truncated_rows", "new_tokens", "scores")


def main(output: str, folder: str) -> None:
    (results,) = Path(output).glob("**/results_*.json")
    (samples,) = results.parent.glob("samples_*.jsonl")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    run = trimmed_run(json.loads(results.read_text(encoding="utf-8")))
    (target / "results.json").write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = [trimmed_sample(json.loads(line)) for line in samples.read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: row["doc_id"])
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (target / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def trimmed_run(run: dict) -> dict:
    """Return the run without the machine's description; paths of task files are cut to their names."""
    kept = {key: run[key] for key in KEPT_OF_RUN if key in run}
    for task in kept["configs"].values():
        source = task["metadata"].get("config_source")
        if source:
            task["metadata"]["config_source"] = Path(source).name
    return kept


def trimmed_sample(sample: dict) -> dict:
    """Return one question's lists with the document's id; its text and the responses stay behind."""
    return {"id": sample["doc"]["id"], **{key: sample[key] for key in KEPT_OF_SAMPLE if key in sample}}


if __name__ == "__main__":
    main(*sys.argv[1:])
