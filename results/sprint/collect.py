"""Make the files that the tables are made from, out of what was measured.

    python results/sprint/collect.py rankings STUDY [NAME ...]   # selectors -> STUDY/rankings.parquet; only those named
    python results/sprint/collect.py samples STUDY NAME OUTPUT   # a run of samples or branches -> STUDY/samples.parquet
    python results/sprint/collect.py run STUDY NAME OUTPUT       # numbers, settings of a run -> STUDY/harness/NAME.json

STUDY is a folder with study.json, which names the selectors, the lists of candidates, the pools of random heads, and,
where it is another one, the folder of the outcome matrices. NAME is a strategy and the number of its seed, `sprint/0`.
Rankings are kept as column numbers of test.parquet, best first; answers as verdict codes
(`sprint_lmeval.answers.verdicts.VERDICTS`) in their order, null where a question was not asked. Neither holds texts.
A run of some neighbouring test questions, of a matrix that has grown, is kept as harness/STRATEGY+SEED+FIRST-END.json.
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


def rankings(study: str, *names: str) -> None:
    """Rank the test questions with every selector, list and random pool of study.json, or with the selectors named."""
    folder = Path(study)
    study = json.loads((folder / "study.json").read_text())
    matrix = test_matrix(folder, study).with_texts()
    place = {candidate: number for number, candidate in enumerate(matrix.candidates)}
    questions = [question.text for question in matrix.questions]
    columns = {}
    if names:
        kept = pq.read_table(folder / "rankings.parquet")
        columns = {name: kept[name] for name in kept.column_names}
        study["selectors"] = {name: study["selectors"][name] for name in names}
        study |= {"pools": {}, "lists": {}}
    for name, ranked in ranked_lists(study, questions, folder):
        columns[name] = pa.array([[place[c] for c in line] for line in ranked], pa.list_(pa.int16(), N))
        print(f"{name}: ranked")
    pq.write_table(pa.table(columns), folder / "rankings.parquet", compression="zstd")


def test_matrix(folder: Path, study: dict) -> OutcomeMatrix:
    return OutcomeMatrix.load(folder / study.get("matrices", ".") / "test.parquet")


def ranked_lists(study: dict, questions: list[str], folder: Path):
    for name, selectors in study["selectors"].items():
        for seed, selector in enumerate(selectors):
            yield f"{name}/{seed}", Selector.from_pretrained(str(local(selector, folder))).rank(questions, N)
    for name, listed in study.get("lists", {}).items():
        yield f"{name}/0", [parse_candidates(folder / listed)[:N]] * len(questions)
    for name, pool in study["pools"].items():
        listed = parse_candidates(folder / pool)
        for seed in range(study["random_seeds"]):
            drawn = RandomHeads(listed, seed, pool).attempts(questions, N)
            yield f"{name}/{seed}", [[attempt.candidate for attempt in row] for row in drawn]


def local(selector: str, folder: Path) -> Path | str:
    """A folder beside the study, or the name of a shipped selector."""
    return folder / selector if (folder / selector).is_dir() else selector


def samples(folder: str, name: str, output: str) -> None:
    """Put the answers of one run into the columns NAME (verdicts) and NAME tokens; those of other questions stay."""
    folder, found = Path(folder), {}
    (file,) = Path(output).glob("**/samples_*.jsonl")
    for line in file.read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        codes = [VERDICTS.index(Verdict(v)) for v in sample["verdicts"]]
        found[sample["doc"]["id"]] = (codes, sample["new_tokens"])
    study = json.loads((folder / "study.json").read_text())
    questions, kept = test_matrix(folder, study).questions, folder / "samples.parquet"
    columns = pq.read_table(kept).to_pydict() if kept.exists() else {}
    for column in (name, f"{name} tokens"):
        columns.setdefault(column, [])
    columns = {column: of + [None] * (len(questions) - len(of)) for column, of in columns.items()}  # of a grown matrix
    asked = [row for row, question in enumerate(questions) if question.id in found]
    for row in asked:
        columns[name][row], columns[f"{name} tokens"][row] = found[questions[row].id]
    kinds = {column: pa.int16() if column.endswith(" tokens") else pa.int8() for column in columns}
    table = pa.table({column: pa.array(of, pa.list_(kinds[column])) for column, of in columns.items()})
    pq.write_table(table, kept, compression="zstd")
    part = asked != list(range(len(questions))) and asked == list(range(asked[0], asked[-1] + 1))
    run(folder, f"{name}/{asked[0]}-{asked[-1] + 1}" if part else name, output)


def run(study: str | Path, name: str, output: str) -> None:
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
