"""Samples of a harness run -> outcome matrix.

In: an output folder of `lm_eval --log_samples --output_path`, or one samples_*.jsonl with its results_*.json beside it.
Out: the fields of an `OutcomeMatrix`, whose facts come from the results.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sprint_lmeval.answers.verdicts import NOT_RUN, UNKNOWN
from sprint_lmeval.candidates import MAX_CANDIDATES, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.files import read_json
from sprint_lmeval.outcomes.question import Question, question_hash
from sprint_lmeval.runs.facts import run_facts
from sprint_lmeval.runs.result_files import MAX_RESULTS, SAMPLES, results_beside
from sprint_lmeval.runs.samples import response_lists, sample_lines

log = logging.getLogger(f"lm_eval.{__name__}")
LISTS = ("candidates", "verdicts", "truncated_rows", "new_tokens")


def fields_of_samples(path: Path) -> dict:
    """Return the fields of the `OutcomeMatrix`.

    Raises:
        InputError: the files are not those of one run of a `*_passn` task by `hf-pruned-bon`.
    """
    samples = _samples_file(path)
    given = [_row(sample, where) for where, _, sample in sample_lines(samples)]
    rows = _distinct_rows(given, samples)
    return _fields(rows, _facts(samples, len(given), "+".join(sorted({row["question"].split for row in rows}))))


def fields_of_rows(samples: Iterable[dict], facts: dict) -> dict:
    """As `fields_of_samples`, from the sample rows of a run in this process."""
    rows = [_row(sample, f"sample {number}") for number, sample in enumerate(samples)]
    return _fields(_distinct_rows(rows, "the run"), facts)


def _fields(rows: list[dict], facts: dict) -> dict:
    candidates = _columns(rows)
    shape = (len(rows), len(candidates))
    cells = {"verdicts": np.full(shape, NOT_RUN, np.int8), "truncated": np.full(shape, UNKNOWN, np.int8)}
    cells["new_tokens"] = np.full(shape, UNKNOWN, np.int32)
    column_of = {candidate: column for column, candidate in enumerate(candidates)}
    for number, row in enumerate(rows):
        columns = [column_of[candidate] for candidate in row["candidates"]]
        for name, key in (("verdicts", "verdicts"), ("truncated", "truncated_rows"), ("new_tokens", "new_tokens")):
            if row[key] is not None:
                cells[name][number, columns] = row[key]
    parsed = tuple(Candidate.parse(name) for name in candidates)
    return {"questions": tuple(row["question"] for row in rows), "candidates": parsed, "facts": facts, **cells}


def _samples_file(path: Path) -> Path:
    if not os.path.exists(path):  # which is false for a name that is too long; Path.exists raises
        raise InputError(f"{path!s:.200} does not exist: give the output folder of a run with --log_samples")
    found = sorted(path.rglob("samples*.jsonl")) if path.is_dir() else [path]
    if not found:
        raise InputError(f"{path} holds no samples_*.jsonl: run lm_eval with --log_samples and --output_path")
    if len(found) > 1:
        names = ", ".join(str(f.relative_to(path)) for f in found[:3])
        raise InputError(f"{path} holds {len(found)} samples files ({names}, ...): give the one that is meant")
    return found[0]


def _row(sample: object, where: str) -> dict:
    """What the matrix keeps of one line: the question and the lists of N."""
    question = question_of_sample(sample, where)
    if not all(isinstance(sample.get(key), list) for key in ("candidates", "verdicts")):
        raise InputError(f"{where}: no lists of candidates and verdicts; runs of hf-pruned-bon have them")
    lists = response_lists(sample, where)
    kept = {name: lists[name] for name in LISTS}
    kept["candidates"] = [_notation(name, where) for name in kept["candidates"]]
    kept = _once(kept, where, exchangeable="unbiased_pass@1" in sample)
    kept["doc_id"] = sample["doc_id"] if type(sample.get("doc_id")) is int else 0
    return kept | {"question": question}


def question_of_sample(sample: object, where: str) -> Question:
    """Return the question of a sample's row. InputError, naming `where` it stands, if it holds none."""
    doc = sample.get("doc") if isinstance(sample, dict) else None
    if not isinstance(doc, dict) or not isinstance(doc.get("question"), str) or not isinstance(doc.get("id"), str):
        raise InputError(f"{where}: no document with id and question, so not a sample of a *_passn task")
    text, level = doc["question"], doc.get("level")
    subject, split = str(doc.get("subject") or ""), str(doc.get("split") or "")
    question = Question(doc["id"], question_hash(text), text, subject, level if type(level) is int else 0, split)
    try:
        question.check()
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return question


def _notation(name: str, where: str) -> str:
    try:
        return str(Candidate.parse(name))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _once(kept: dict, where: str, exchangeable: bool) -> dict:
    """Every candidate of the row once: `base` stands N times for one response, samples cannot be distinguished."""
    seen: dict[str, int] = {}
    for index, name in enumerate(kept["candidates"]):
        first = seen.setdefault(name, index)
        same = all(values is None or values[first] == values[index] for values in kept.values())
        if exchangeable or not same:
            raise InputError(
                f"{where}: candidate {name} has several responses (samples or branches), and a matrix has one for each "
                "candidate: use a run of greedy candidates"
            )
    return {key: values and [values[index] for index in seen.values()] for key, values in kept.items()}


def _distinct_rows(given: list[dict], path: object) -> list[dict]:
    """Rows in order of document, every question once; problems that a data set holds twice are reported."""
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
    named = SAMPLES.fullmatch(samples.name)
    task = named["task"] if named else None
    path = results_beside(samples)
    if path is None:
        log.warning("%s: no results_*.json beside it, so the matrix does not know its model and settings", samples)
        return {"task": task, "split": split, "source": "samples"}
    results = read_json(path, MAX_RESULTS, "results")
    try:
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
