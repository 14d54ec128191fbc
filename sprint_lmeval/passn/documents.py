"""Questions and golds of the tasks: from the hub, or from the folder in SPRINT_DATA_DIR.

Out: `{split: datasets.Dataset}` whose every document has id, question, answer (the gold), solution, subject, level
(0 where there is none) and split. The task YAMLs name these functions as `custom_dataset`; the harness hands them
every model argument as well, which they leave alone.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from datasets import Dataset, concatenate_datasets, load_dataset

from sprint_lmeval.answers.extraction import last_box
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.passn.question_hash import question_hash
from sprint_lmeval.tiny import problems as tiny_problems

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts

MATH500_HUB = "HuggingFaceH4/MATH-500"
MATH_HUB = "EleutherAI/hendrycks_math"
GSM8K_HUB = "openai/gsm8k"
AIME_HUB = {"aime24": ("HuggingFaceH4/aime_2024", "train"), "aime25": ("math-ai/aime25", "test")}
MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
UNUSABLE_GOLDS = ("", "None")
KNOWN_UNUSABLE = 2  # train/number_theory/7117.json and train/algebra/25040.json, as published
CALCULATOR_NOTES = re.compile(r"<<[^<>]*>>")  # <<3*4=12>> in GSM8K's solutions
NEEDED = {"gsm8k": {"question", "answer"}, "math": {"problem", "solution", "answer"}, "aime": {"problem", "answer"}}
WHERE = " where"  # under which a record keeps its file and line
LAYOUT = (
    "gsm8k/train.jsonl, gsm8k/test.jsonl, math/train.jsonl, math/math500.jsonl, aime/aime24.jsonl, aime/aime25.jsonl"
)


def math500(**_) -> dict[str, Dataset]:
    """MATH-500: `test`."""
    return {"test": _dataset(_math_document(r, "test", i) for i, r in enumerate(_math500_records()))}


def math_train(**_) -> dict[str, Dataset]:
    """MATH outside MATH-500, for sweeps and training: `train`. Unusable golds are left out, counted and named."""
    folder = _data_folder()
    records = _lines(folder / "math" / "train.jsonl") if folder else _math_hub_records()
    held_out = {question_hash(r["problem"]) for r in _math500_records()}
    kept, in_test, unusable = [], 0, []
    for i, record in enumerate(records):
        document = _math_document(record, "train", i)
        if question_hash(document["question"]) in held_out:
            in_test += 1
        elif document["answer"].strip() in UNUSABLE_GOLDS:
            unusable.append(document["id"])
        else:
            kept.append(document)
    if len(unusable) > KNOWN_UNUSABLE:
        raise InputError(
            f"MATH train: {len(unusable)} golds are empty ({', '.join(unusable[:3])}, ...), {KNOWN_UNUSABLE} are known "
            "to be: restore the published file"
        )
    log.warning("MATH train: %d problems; left out: %d of MATH-500, %d without usable gold (%s)",
                len(kept), in_test, len(unusable), ", ".join(unusable))  # fmt: skip
    return {"train": _dataset(kept)}


def gsm8k(**_) -> dict[str, Dataset]:
    """GSM8K: `test`."""
    return {"test": _gsm8k_split("test")}


def gsm8k_train(**_) -> dict[str, Dataset]:
    """GSM8K: `train`."""
    return {"train": _gsm8k_split("train")}


def aime24(**_) -> dict[str, Dataset]:
    """AIME 2024, both papers: `test`."""
    return {"test": _aime("aime24")}


def aime25(**_) -> dict[str, Dataset]:
    """AIME 2025, both papers: `test`."""
    return {"test": _aime("aime25")}


def tiny(**_) -> dict[str, Dataset]:
    """The embedded model's own problems: `test`."""
    return {"test": _tiny_split("test")}


def tiny_train(**_) -> dict[str, Dataset]:
    """The embedded model's own problems: `train`."""
    return {"train": _tiny_split("train")}


def task_documents(task: str) -> Dataset:
    """Return the documents that a task of this package asks about. Raises InputError for any other task."""
    loaders = {"math500": math500, "gsm8k": gsm8k, "tiny": tiny, "aime24": aime24, "aime25": aime25}
    loaders |= {"math_train": math_train, "gsm8k_train": gsm8k_train, "tiny_train": tiny_train}
    load = loaders.get(task.removesuffix("_fewshot").removesuffix("_paper").removesuffix("_passn"))
    if load is None:
        names = ", ".join(f"{name}_passn" for name in loaders)
        raise InputError(f"task {task} given, whose documents are not known here; known are those of {names}")
    (documents,) = load().values()
    return documents


# ---- one document ----


def _math_document(record: dict, split: str, number: int) -> dict:
    solution = record["solution"]
    answer = record["answer"] if "answer" in record else last_box(solution)
    return {
        "id": str(record.get("unique_id") or f"{split}-{number}"),
        "question": record["problem"],
        "answer": "" if answer is None else str(answer),
        "solution": solution,
        "subject": str(record.get("subject") or record.get("type") or ""),
        "level": _level(record.get("level")),
        "split": split,
    }


def _level(given: object) -> int:
    digits = "".join(c for c in str(given) if c.isdigit())
    return int(digits) if digits else 0


def _gsm8k_split(split: str) -> Dataset:
    folder = _data_folder()
    path = folder / "gsm8k" / f"{split}.jsonl" if folder else None
    records = _lines(path) if path else _from_hub(GSM8K_HUB, "main", split=split)
    return _dataset(_gsm8k_document(r, split, i) for i, r in enumerate(records))


def _gsm8k_document(record: dict, split: str, number: int) -> dict:
    solution, mark, answer = record["answer"].rpartition("####")
    if not mark or not answer.strip():
        where = record.get(WHERE, f"{GSM8K_HUB}, {split} record {number}")
        raise InputError(f"{where}: the answer has no number behind '####'; restore the published file")
    return {
        "id": f"{split}-{number}",
        "question": record["question"],
        "answer": answer.strip().replace(",", ""),
        "solution": CALCULATOR_NOTES.sub("", solution).strip(),
        "subject": "",
        "level": 0,
        "split": split,
    }


def _aime(name: str) -> Dataset:
    folder, (hub, split) = _data_folder(), AIME_HUB[name]
    records = _lines(folder / "aime" / f"{name}.jsonl") if folder else _from_hub(hub, split=split)
    return _dataset(_aime_document(r, f"{hub}, {split} record {i}", i) for i, r in enumerate(records))


def _aime_document(record: dict, where: str, number: int) -> dict:
    answer = str(record["answer"]).strip().removesuffix(r"^\circ")  # 2025 II 5 is published in degrees
    if not re.fullmatch(r"[0-9]{1,3}", answer):
        where = record.get(WHERE, where)
        raise InputError(
            f"{where}: answer {answer[:40]!r} is no whole number from 0 to 999; restore the published file"
        )
    return {
        "id": str(record.get("id", f"test-{number}")),
        "question": record["problem"],
        "answer": str(int(answer)),  # the papers write 073
        "solution": str(record.get("solution") or ""),
        "subject": "",
        "level": 0,
        "split": "test",
    }


def _tiny_split(split: str) -> Dataset:
    return _dataset(
        {
            "id": p.id,
            "question": p.question,
            "answer": str(p.answer),
            "solution": p.solution,
            "subject": p.subject,
            "level": 0,
            "split": split,
        }
        for p in tiny_problems.problems(split)
    )


# ---- where records come from ----


def _math500_records() -> list[dict]:
    folder = _data_folder()
    if folder:
        return list(_lines(folder / "math" / "math500.jsonl"))
    return list(_from_hub(MATH500_HUB, split="test"))


def _math_hub_records() -> Iterable[dict]:
    parts = [_from_hub(MATH_HUB, subject, split=s) for subject in MATH_SUBJECTS for s in ("train", "test")]
    return concatenate_datasets(parts)


def _from_hub(name: str, *config: str, split: str) -> Dataset:
    try:
        return load_dataset(name, *config, split=split)
    except Exception as error:  # the hub client raises a dozen kinds: network, offline mode, access, cache
        said = cause(error)
        raise InputError(
            f"data set {name} could not be fetched ({said}): run once where the hub is reachable, or set "
            f"SPRINT_DATA_DIR to a folder with {LAYOUT}"
        ) from None


def _data_folder() -> Path | None:
    given = os.environ.get("SPRINT_DATA_DIR")
    if not given:
        return None
    if not Path(given).is_dir():
        raise InputError(f"SPRINT_DATA_DIR={given} is not a folder: it must hold {LAYOUT}")
    return Path(given)


def _lines(path: Path) -> Iterator[dict]:
    """Yield the records of a JSON-lines file; a broken one is named by its line."""
    if not path.is_file():
        raise InputError(f"{path} is missing: SPRINT_DATA_DIR must hold {LAYOUT}")
    needed = NEEDED[path.parent.name]
    with path.open(encoding="utf-8", errors="strict") as stream:
        try:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _record(line, needed, f"{path}, line {number}")
        except UnicodeDecodeError:
            raise InputError(f"{path} is not UTF-8 text: restore the published file") from None


def _record(line: str, needed: set[str], where: str) -> dict:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); restore the published file") from None
    if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in needed):
        raise InputError(f"{where}: a record needs the texts {', '.join(sorted(needed))}; restore the published file")
    return {**record, WHERE: where}


def _dataset(documents: Iterable[dict]) -> Dataset:
    documents = list(documents)
    if not documents:
        raise InputError(f"no problems found: SPRINT_DATA_DIR must hold {LAYOUT}, none of them empty")
    return Dataset.from_list(documents)
