"""Samples of any task of the harness -> one number per document for each of its metrics.

In: samples_<task>_<date>.jsonl, or a folder with one of each task. Out: `TaskSamples`. Nothing of our own tasks is
needed; a metric that is no number on its own (a perplexity's sum, a list) is left out, with a note.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.result_files import MAX_FILES, SAMPLES
from sprint_lmeval.runs.samples import sample_lines

MAX_METRICS = 1_000  # of one file
MAX_VALUE = 1e100  # whose sums are finite
OTHERS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter"}  # names that are no metrics
OTHERS |= {"doc_hash", "prompt_hash", "target_hash"}


@dataclass
class TaskSamples:
    """What one file of samples holds.

    Attributes:
        path: the file.
        task: by the file's name, "" where that does not say.
        documents: id -> hash of the contents.
        prompts: id -> hash of the prompt, "" where it is not known.
        values: (filter, metric) -> id -> value.
        notes: a sentence for each metric that is left out.
    """

    path: Path
    task: str
    documents: dict[int, str] = field(default_factory=dict)
    prompts: dict[int, str] = field(default_factory=dict)
    values: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def samples_files(given: str) -> list[Path]:
    """Return the samples files that a name stands for, one for each task.

    Raises:
        InputError: there is none, or a folder has several of one task.
    """
    if not given or not os.path.exists(given):  # which is false for a name that is too long; Path.exists raises
        raise InputError(f"{given!r:.200} does not exist: give samples of lm_eval (--log_samples), or their folder")
    if not os.path.isdir(given):
        return [Path(given)]
    found: dict[str, Path] = {}
    for path in _named_samples(Path(given)):
        task = _task(path)
        if task in found:
            raise InputError(f"{given} holds {found[task]} and {path}, both of {task}: give the one that is meant")
        found[task] = path
    if not found:
        raise InputError(f"{given} holds no samples_*.jsonl: run lm_eval with --log_samples and --output_path")
    return [found[task] for task in sorted(found)]


def _named_samples(folder: Path) -> Iterator[Path]:
    count = 0
    for root, folders, names in os.walk(folder):
        folders.sort()
        count += len(names)
        if count > MAX_FILES:
            raise InputError(f"{folder} holds more than {MAX_FILES:,} files: give the folder of one run in it")
        yield from (Path(root, name) for name in sorted(names) if SAMPLES.fullmatch(name))


def _task(path: Path) -> str:
    named = SAMPLES.fullmatch(path.name)
    return named["task"] if named else ""


def read_task_samples(path: Path) -> TaskSamples:
    """Return the values of every metric of a samples file.

    Raises:
        InputError: it is no file of samples, holds a document twice, or no metric that is a number per document.
    """
    found, no_numbers = TaskSamples(path, _task(path)), set()
    for where, _, sample in sample_lines(path):
        document, chosen = _document(sample, where)
        contents = _hash(sample, where)
        if found.documents.setdefault(document, contents) != contents:
            raise InputError(f"{where}: document {document} has other contents than before: it holds more than one run")
        prompt = sample.get("prompt_hash")
        found.prompts[document] = prompt if isinstance(prompt, str) else ""
        for metric in _metrics(sample):
            key, value = (chosen, metric), sample.get(metric)
            if type(value) not in (bool, int, float) or not abs(value) < MAX_VALUE:
                no_numbers.add(key)
                continue
            of_metric = found.values.setdefault(key, {})
            if document in of_metric:
                raise InputError(f"{where}: document {document} is in it twice, so it holds more than one run")
            of_metric[document] = float(value)
        if len(found.values) > MAX_METRICS:
            raise InputError(f"{where}: more than {MAX_METRICS:,} metrics, so not samples of lm_eval")
    for key in sorted(no_numbers):
        found.values.pop(key, None)
        found.notes.append(f"{path}: {key[1]:.60} is not a finite number for every document; left out.")
    if not found.values:
        raise InputError(f"{path} holds no metric with a number for every document, so runs cannot be paired by it")
    return found


def _document(sample: object, where: str) -> tuple[int, str]:
    """A row's document and filter."""
    document = sample.get("doc_id") if isinstance(sample, dict) else None
    if type(document) is not int:
        raise InputError(f"{where}: no doc_id, so not a sample of lm_eval")
    chosen = sample.get("filter")
    return document, chosen if isinstance(chosen, str) else "none"


def _hash(sample: dict, where: str) -> str:
    """The harness's hash of the document; of older samples our own."""
    known = sample.get("doc_hash")
    if isinstance(known, str):
        return known
    if "doc" not in sample:
        raise InputError(f"{where}: no doc_hash and no document, so nobody knows what was asked")
    return hashlib.sha256(json.dumps(sample["doc"], sort_keys=True).encode()).hexdigest()


def _metrics(sample: dict) -> list[str]:
    named = sample.get("metrics")
    if isinstance(named, list):
        return [name for name in named if isinstance(name, str)]
    return [name for name, value in sample.items() if name not in OTHERS and type(value) in (bool, int, float)]
