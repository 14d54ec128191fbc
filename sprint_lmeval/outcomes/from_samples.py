"""Samples of a harness run -> outcome matrix.

In: an output folder of `lm_eval --log_samples --output_path`, or one samples_*.jsonl with its results_*.json beside it.
Out: the fields of an `OutcomeMatrix`, whose facts come from the results.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from sprint_lmeval.answers.verdicts import NOT_RUN, UNKNOWN, VERDICTS, Verdict
from sprint_lmeval.candidates import MAX_CANDIDATES, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.question import Question, question_hash
from sprint_lmeval.runs.facts import run_facts

log = logging.getLogger(f"lm_eval.{__name__}")
MAX_LINE = 256 << 20  # bytes of one question's row: its N responses are in it
MAX_RESULTS = 256 << 20
MAX_ROWS = 1_000_000
LISTS = ("candidates", "verdicts")
NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")


def fields_of_samples(path: Path) -> dict:
    """Return the fields of the `OutcomeMatrix`.

    Raises:
        InputError: the files are not those of one run of a `*_passn` task by `hf-pruned-bon`.
    """
    samples = _samples_file(path)
    given = list(_rows(samples))
    rows = _distinct_rows(given, samples)
    return _fields(rows, _facts(samples, len(given), "+".join(sorted({row["question"].split for row in rows}))))


def fields_of_rows(samples: Iterable[dict], facts: dict) -> dict:
    """As `fields_of_samples`, from the sample rows of a run in this process."""
    rows = (_row(sample, f"sample {number}") for number, sample in enumerate(samples))
    return _fields(_distinct_rows(rows, "the run"), facts)


def _fields(rows: list[dict], facts: dict) -> dict:
    candidates = _columns(rows)
    shape = (len(rows), len(candidates))
    cells = {"verdicts": np.full(shape, NOT_RUN, np.int8), "truncated": np.full(shape, UNKNOWN, np.int8)}
    cells["new_tokens"] = np.full(shape, UNKNOWN, np.int32)
    places = {candidate: place for place, candidate in enumerate(candidates)}
    codes = {verdict.value: code for code, verdict in enumerate(VERDICTS)}
    for number, row in enumerate(rows):
        columns = [places[c] for c in row["candidates"]]
        cells["verdicts"][number, columns] = [codes[v] for v in row["verdicts"]]
        for name, key in (("truncated", "truncated_rows"), ("new_tokens", "new_tokens")):
            if row[key] is not None:
                cells[name][number, columns] = row[key]
    parsed = tuple(Candidate.parse(name) for name in candidates)
    return {"questions": tuple(row["question"] for row in rows), "candidates": parsed, "facts": facts, **cells}


def _samples_file(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path} does not exist: give the output folder of a run with --log_samples")
    found = [path] if path.is_file() else sorted(path.rglob("samples*.jsonl"))
    if not found:
        raise InputError(f"{path} holds no samples_*.jsonl: run lm_eval with --log_samples and --output_path")
    if len(found) > 1:
        names = ", ".join(str(f.relative_to(path)) for f in found[:3])
        raise InputError(f"{path} holds {len(found)} samples files ({names}, ...): give the one that is meant")
    return found[0]


def _rows(path: Path) -> Iterator[dict]:
    with path.open("rb") as stream:
        for number in range(1, MAX_ROWS + 1):
            line = stream.readline(MAX_LINE)
            if not line:
                return
            where = f"{path}, line {number}"
            try:
                yield _row(json.loads(line), where)
            except (ValueError, RecursionError) as error:
                raise error if isinstance(error, InputError) else _not_json(where, error) from None
    raise InputError(f"{path} has more than {MAX_ROWS:,} lines")


def _not_json(where: str, error: Exception) -> InputError:
    return InputError(f"{where}: not JSON ({' '.join(str(error).split())[:100]}), the file is damaged or cut short")


def _row(sample: dict, where: str) -> dict:
    """What the matrix keeps of one line: the question and the lists of N."""
    doc = sample.get("doc") if isinstance(sample, dict) else None
    if not isinstance(doc, dict) or not isinstance(doc.get("question"), str) or not isinstance(doc.get("id"), str):
        raise InputError(f"{where}: no document with id and question, so not a sample of a *_passn task")
    if not all(isinstance(sample.get(key), list) for key in LISTS):
        raise InputError(f"{where}: no lists of candidates and verdicts; runs of hf-pruned-bon have them")
    kept = {key: sample[key] for key in LISTS}
    kept |= {key: sample.get(key) for key in ("truncated_rows", "new_tokens")}
    _check_lists(kept, where)
    kept["candidates"] = [_notation(name, where) for name in kept["candidates"]]
    kept = _once(kept, where, exchangeable="unbiased_pass@1" in sample)
    kept["doc_id"] = sample["doc_id"] if type(sample.get("doc_id")) is int else 0
    text = doc["question"]
    level = doc.get("level") if type(doc.get("level")) is int else 0
    kept["question"] = Question(
        doc["id"], question_hash(text), text, str(doc.get("subject") or ""), level, str(doc.get("split") or "")
    )
    _check_question(kept["question"], where)
    return kept


def _check_question(question: Question, where: str) -> None:
    try:
        question.check()
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _check_lists(kept: dict, where: str) -> None:
    lengths = {len(value) for value in kept.values() if isinstance(value, list)}
    if len(lengths) != 1 or not 0 < max(lengths) <= MAX_CANDIDATES:
        raise InputError(f"{where}: its lists have {sorted(lengths)} entries; they must be as long as each other")
    allowed = {
        "verdicts": lambda v: isinstance(v, str) and v in Verdict.__members__,
        "truncated_rows": lambda v: isinstance(v, bool),
        "new_tokens": lambda v: type(v) is int and 0 <= v < 2**31,
    }
    for key, fits in allowed.items():
        wrong = next((value for value in kept[key] or () if not fits(value)), None)
        if kept[key] is not None and (not isinstance(kept[key], list) or wrong is not None):
            raise InputError(f"{where}: {wrong!r} stands among its {key}, so the file was not written by a run")


def _notation(name: object, where: str) -> str:
    try:
        return str(Candidate.parse(name))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _once(kept: dict, where: str, exchangeable: bool) -> dict:
    """Every candidate of the row once: `base` stands N times for one response, samples cannot be told apart."""
    seen: dict[str, int] = {}
    for place, name in enumerate(kept["candidates"]):
        first = seen.setdefault(name, place)
        same = all(values is None or values[first] == values[place] for values in kept.values())
        if exchangeable or not same:
            raise InputError(
                f"{where}: candidate {name} has several responses (strategy=sample), and a matrix has one for each "
                "candidate: use a run of greedy candidates"
            )
    return {key: values and [values[place] for place in seen.values()] for key, values in kept.items()}


def _distinct_rows(given: Iterable[dict], path: object) -> list[dict]:
    """Rows in order of document, every question once; problems that a data set holds twice are told."""
    rows, ids, hashes = [], set(), set()
    for row in given:
        question = row["question"]
        if question.id in ids:
            raise InputError(f"{path}: question {question.id} is in it twice, so it holds more than one run")
        ids.add(question.id)
        if question.hash in hashes:
            log.warning("%s: the text of question %s was there before, left out", path, question.id)
            continue
        hashes.add(question.hash)
        rows.append(row)
    if not rows:
        raise InputError(f"{path} is empty")
    return sorted(rows, key=lambda row: row["doc_id"])


def _columns(rows: list[dict]) -> list[str]:
    """All candidates in order of appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row["candidates"]))
    if len(names) > MAX_CANDIDATES:
        raise InputError(f"the samples have {len(names):,} candidates, at most {MAX_CANDIDATES:,} are allowed")
    return names


def _facts(samples: Path, count: int, split: str) -> dict:
    """What the results beside the samples say of the run; without them the task's name."""
    named = NAME.fullmatch(samples.name)
    path = samples.with_name(f"results_{named['date']}.json" if named else "results.json")
    task = named["task"] if named else None
    if not path.is_file():
        log.warning("%s is not there: the matrix does not know its model and settings", path)
        return {"task": task, "split": split, "source": "samples"}
    if path.stat().st_size > MAX_RESULTS:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes, at most {MAX_RESULTS:,} are read")
    try:
        results = json.loads(path.read_bytes())
        task = task or next(iter(results["configs"]))
        _check_count(samples, count, (results.get("n-samples") or {}).get(task) or {})
        return {**run_facts(results, task), "split": split, "source": "samples"}
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError) as error:
        raise InputError(f"{path} is not the results of a run of {task or 'one task'} ({error!r})") from None


def _check_count(samples: Path, count: int, of_task: dict) -> None:
    """A file that was cut at the end of a line has fewer rows than the run had questions."""
    expected = of_task.get("effective", count)
    if expected != count:
        raise InputError(
            f"{samples} has {count} rows, and its run had {expected} questions: the file was cut or changed"
        )
