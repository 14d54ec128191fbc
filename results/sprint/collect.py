"""Make the files that the tables are made from, out of what was measured.

    python results/sprint/collect.py rankings STUDY              # selectors -> STUDY/rankings.parquet
    python results/sprint/collect.py samples STUDY NAME OUTPUT   # a run with strategy=sample -> STUDY/samples.parquet
    python results/sprint/collect.py run STUDY NAME OUTPUT       # numbers, settings of a run -> STUDY/harness/NAME.json

STUDY is a folder with test.parquet (the outcome matrix of the test questions) and study.json, which names the selectors
and the pools of random heads; NAME is a strategy and the number of its seed, `sprint/0`. Rankings are kept as column
numbers of that matrix, best first; sampled answers as verdict codes (`sprint_lmeval.answers.verdicts.VERDICTS`), in the
order in which they were drawn. Neither holds problem texts.
"""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sprint_lmeval.answers.verdicts import Verdict
from sprint_lmeval.candidates import parse_candidates
from sprint_lmeval.outcomes.matrix import VERDICTS, OutcomeMatrix
from sprint_lmeval.selection.selector import Selector
from sprint_lmeval.strategies.strategy import RandomHeads

N = 16
KEPT_OF_RUN = ("results", "configs", "versions", "n-shot", "n-samples", "config", "lm_eval_version")
KEPT_OF_RUN += ("transformers_version", "model_name", "total_evaluation_time_seconds")


def rankings(study: str) -> None:
    """Rank the test questions with every selector and every random pool of study.json."""
    folder = Path(study)
    matrix = OutcomeMatrix.load(folder / "test.parquet").with_texts()
    place = {candidate: number for number, candidate in enumerate(matrix.candidates)}
    questions = [question.text for question in matrix.questions]
    columns = {}
    for name, ranked in ranked_lists(json.loads((folder / "study.json").read_text()), questions, folder):
        columns[name] = pa.array([[place[c] for c in line] for line in ranked], pa.list_(pa.int16(), N))
        print(f"{name}: ranked")
    pq.write_table(pa.table(columns), folder / "rankings.parquet", compression="zstd")


def ranked_lists(study: dict, questions: list[str], folder: Path):
    for name, selectors in study["selectors"].items():
        for seed, selector in enumerate(selectors):
            yield f"{name}/{seed}", Selector.from_pretrained(str(local(selector, folder))).rank(questions, N)
    for name, pool in study["pools"].items():
        listed = parse_candidates(folder / pool)
        for seed in range(study["random_seeds"]):
            drawn = RandomHeads(listed, seed, pool).attempts(questions, N)
            yield f"{name}/{seed}", [[attempt.candidate for attempt in row] for row in drawn]


def local(selector: str, folder: Path) -> Path | str:
    """A folder beside the study, or the name of a shipped selector."""
    return folder / selector if (folder / selector).is_dir() else selector


def samples(study: str, name: str, output: str) -> None:
    """Add the sampled answers of one run as columns NAME (verdicts) and NAME tokens."""
    folder, rows = Path(study), {}
    (file,) = Path(output).glob("**/samples_*.jsonl")
    for line in file.read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        codes = [VERDICTS.index(Verdict(v)) for v in sample["verdicts"]]
        rows[sample["doc"]["id"]] = (codes, sample["new_tokens"])
    order = [question.id for question in OutcomeMatrix.load(folder / "test.parquet").questions]
    kept = folder / "samples.parquet"
    table = {c: pq.read_table(kept)[c] for c in pq.read_schema(kept).names} if kept.exists() else {}
    table[name] = pa.array([rows[i][0] for i in order], pa.list_(pa.int8()))
    table[f"{name} tokens"] = pa.array([rows[i][1] for i in order], pa.list_(pa.int16()))
    pq.write_table(pa.table(table), kept, compression="zstd")
    run(study, name, output)


def run(study: str, name: str, output: str) -> None:
    """Keep numbers and settings of a harness run, without the machine's description and paths."""
    (file,) = Path(output).glob("**/results_*.json")
    full = json.loads(file.read_text(encoding="utf-8"))
    kept = {key: full[key] for key in KEPT_OF_RUN if key in full}
    for task in kept["configs"].values():
        task["metadata"].pop("config_source", None)
    kept["config"].pop("samples", None)
    target = Path(study) / "harness" / f"{name.replace('/', '+')}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(shortened(kept), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def shortened(value: object) -> object:
    """Cut paths to their last part."""
    if isinstance(value, dict):
        return {key: shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


if __name__ == "__main__":
    {"rankings": rankings, "samples": samples, "run": run}[sys.argv[1]](*sys.argv[2:])
