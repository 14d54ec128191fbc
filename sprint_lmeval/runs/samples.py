"""One samples_*.jsonl of a harness run -> verdicts, lengths and answers as arrays, and where each response stands.

In: a file that somebody else wrote; its lines are read one by one, checked, and forgotten but for what a report needs.
Out: `Samples`, its questions in the order of their ids; the responses stay in the file and are read when asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from sprint_lmeval.answers.verdicts import UNKNOWN, VERDICTS
from sprint_lmeval.candidates import MAX_CANDIDATES
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.passn.metrics import unbiased_pass_at_k

MAX_LINE = 256 << 20  # bytes of one question's row: its N responses are in it
MAX_ROWS = 1_000_000
MAX_TEXT = 1 << 20  # characters of an answer or a problem
CODES = {verdict.value: code for code, verdict in enumerate(VERDICTS)}
CORRECT = CODES["correct"]


@dataclass(frozen=True)
class Question:
    """A document: `hash` is the harness's hash of all of it, `text` is "" where the file holds no problems."""

    id: str
    hash: str
    text: str = ""
    subject: str | None = None
    level: int | None = None
    gold: str = ""


@dataclass(frozen=True, eq=False)
class Samples:
    """What one run answered.

    Attributes:
        questions: in the order of their ids, every one once.
        prompt_hashes: the harness's hash of each question's prompt, "" where it is not known.
        verdicts: int8 [questions, n], index into `VERDICTS`.
        truncated: int8 [questions, n], 1 or 0, -1 unknown.
        new_tokens: int32 [questions, n], -1 unknown.
        candidates: [questions][n] names, None where the model does not tell.
        answers: [questions][n], None where a response has none.
        scores: float32 [questions, n] of the strategy, or None.
        majority: float64 [questions], the harness's `maj@n` of each question, nan unknown.
        distinct: float64 [questions], the number of distinct answers, nan unknown.
        exchangeable: whether the n are independent samples.
        places: the byte at which each question's line begins in `path`; empty where no file holds responses.
    """

    path: Path
    questions: tuple[Question, ...]
    prompt_hashes: tuple[str, ...]
    verdicts: np.ndarray
    truncated: np.ndarray
    new_tokens: np.ndarray
    candidates: list[list[str]] | None
    answers: list[list[str | None]]
    scores: np.ndarray | None
    majority: np.ndarray
    distinct: np.ndarray
    exchangeable: bool
    places: tuple[int, ...]

    def rates(self) -> dict[str, float]:
        """Return what the harness averages over questions, by its names, as far as the samples tell."""
        n = self.verdicts.shape[1]
        correct = self.verdicts == CORRECT
        passed = np.logical_or.accumulate(correct, axis=1).mean(0)
        found = {f"pass@{k}": passed[k - 1] for k in range(1, n + 1)} | {f"mean@{n}": correct.mean()}
        found["no_answer"] = (self.verdicts == CODES["no_answer"]).mean()
        found["grader_failed"] = np.isin(self.verdicts, [CODES["timeout"], CODES["error"]]).mean()
        if self.exchangeable:
            solved = correct.sum(1)
            found |= {f"unbiased_pass@{k}": chances(n, k)[solved].mean() for k in range(1, n + 1)}
        if (self.truncated != UNKNOWN).all():
            found["truncated"] = self.truncated.mean()
        averaged = {f"maj@{n}": self.majority.mean(), "distinct_answers": self.distinct.mean()}
        return found | {name: value for name, value in averaged.items() if not np.isnan(value)}

    def responses(self, question: int) -> list[str] | None:
        """Read the n responses of a question from the file; None where it was published without them."""
        if not self.places:
            return None
        with self.path.open("rb") as stream:
            stream.seek(self.places[question])
            row = _parsed(stream.readline(MAX_LINE), f"{self.path}, question {self.questions[question].id}")
        given = row.get("resps") if isinstance(row, dict) else None
        texts = given[0] if isinstance(given, list) and given and isinstance(given[0], list) else given
        fits = (
            isinstance(texts, list) and len(texts) >= self.verdicts.shape[1] and all(isinstance(t, str) for t in texts)
        )
        return texts[: self.verdicts.shape[1]] if fits else None


@lru_cache(maxsize=4096)
def chances(n: int, k: int) -> np.ndarray:
    """Return the unbiased Pass@k of n independent samples of which 0 ... n are correct, [n + 1]."""
    return np.array([unbiased_pass_at_k(n, c, k) for c in range(n + 1)])


@dataclass
class _Row:
    place: int
    question: Question
    prompt_hash: str
    lists: dict[str, list | None]
    numbers: dict[str, float]
    exchangeable: bool


@dataclass
class Shared:
    """Texts and questions that many files have in common are kept once."""

    texts: dict[str, str] = field(default_factory=dict)
    questions: dict[Question, Question] = field(default_factory=dict)

    def text(self, value: str | None) -> str | None:
        return value if value is None else self.texts.setdefault(value, value)

    def question(self, value: Question) -> Question:
        return self.questions.setdefault(value, value)


def read_samples(path: Path, shared: Shared | None = None) -> Samples:
    """Return what a file of samples holds.

    Raises:
        InputError: it is not the samples of one whole run of a `*_passn` task; the sentence names file and line.
    """
    rows = sorted(_rows(path, shared or Shared()), key=lambda row: _natural(row.question.id))
    if not rows:
        raise InputError(f"{path} is empty: its run was stopped before it wrote samples, or the file was cut")
    for before, row in pairwise(rows):
        if before.question.id == row.question.id:
            raise InputError(f"{path}: question {row.question.id!a:.80} is in it twice, so it holds more than one run")
    lengths = {len(row.lists["verdicts"]) for row in rows}
    if len(lengths) != 1:
        raise InputError(f"{path}: its questions have {_some(lengths)} responses; all of one run have the same N")
    return _arrays(path, rows, lengths.pop())


def _arrays(path: Path, rows: list[_Row], n: int) -> Samples:
    shape = (len(rows), n)
    arrays = {"truncated": np.full(shape, UNKNOWN, np.int8), "new_tokens": np.full(shape, UNKNOWN, np.int32)}
    for name in arrays:
        for number, row in enumerate(rows):
            if row.lists[name] is not None:
                arrays[name][number] = row.lists[name]
    kept = {name: [row.lists[name] for row in rows] for name in ("candidates", "scores")}
    return Samples(
        path=path,
        questions=tuple(row.question for row in rows),
        prompt_hashes=tuple(row.prompt_hash for row in rows),
        verdicts=np.array([row.lists["verdicts"] for row in rows], np.int8),
        candidates=None if None in kept["candidates"] else kept["candidates"],
        answers=[row.lists["answers"] or [None] * n for row in rows],
        scores=None if None in kept["scores"] else np.array(kept["scores"], np.float32),
        majority=np.array([row.numbers.get(f"maj@{n}", np.nan) for row in rows]),
        distinct=np.array([row.numbers.get("distinct_answers", np.nan) for row in rows]),
        exchangeable=all(row.exchangeable for row in rows),
        places=tuple(row.place for row in rows),
        **arrays,
    )


def _rows(path: Path, shared: Shared) -> Iterator[_Row]:
    try:
        with path.open("rb") as stream:
            place = 0
            for number in range(1, MAX_ROWS + 1):
                line = stream.readline(MAX_LINE)
                if not line:
                    return
                where = f"{path}, line {number}"
                yield _row(_parsed(line, where), where, place, shared)
                place += len(line)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    raise InputError(f"{path} has more than {MAX_ROWS:,} lines")


def _parsed(line: bytes, where: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        said = cause(error, 100)
        raise InputError(f"{where}: not JSON ({said}), the file is damaged or cut short") from None


def _row(sample: object, where: str, place: int, shared: Shared) -> _Row:
    """What a report keeps of one line; `doc` may have been left out, its id then stands in the row itself."""
    if not isinstance(sample, dict) or not isinstance(sample.get("verdicts"), list):
        raise InputError(f"{where}: no list of verdicts, so not a sample of a *_passn task")
    lists = {name: sample.get(name) for name in ("verdicts", "candidates", "answers", "new_tokens", "scores")}
    lists["truncated"] = sample.get("truncated_rows")
    _check_lists(lists, where)
    lists["verdicts"] = [CODES[v] for v in lists["verdicts"]]
    for name in ("candidates", "answers"):
        lists[name] = lists[name] and [shared.text(value) for value in lists[name]]
    numbers = {k: float(v) for k, v in sample.items() if type(v) in (int, float) and k[:4] in ("maj@", "dist")}
    prompt = sample.get("prompt_hash")
    question = shared.question(_question(sample, where))
    return _Row(place, question, prompt if isinstance(prompt, str) else "", lists, numbers, "unbiased_pass@1" in sample)


def _question(sample: dict, where: str) -> Question:
    doc = sample.get("doc", {})
    named = doc.get("id", sample.get("id")) if isinstance(doc, dict) else None
    if not isinstance(named, str) or not isinstance(sample.get("doc_hash"), str):
        raise InputError(f"{where}: no document with id and hash, so not a sample of a *_passn task")
    texts = {name: doc.get(name) or "" for name in ("question", "subject", "answer")}
    for name, text in {"id": named, **texts}.items():
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise InputError(f"{where}: the {name} of its document is no text of at most {MAX_TEXT:,} characters")
    level = doc.get("level")
    return Question(
        id=named,
        hash=sample["doc_hash"],
        text=texts["question"],
        subject=texts["subject"] or None,
        level=level if type(level) is int and abs(level) < 2**31 else None,
        gold=texts["answer"],
    )


def _check_lists(lists: dict, where: str) -> None:
    lengths = {len(value) for value in lists.values() if isinstance(value, list)}
    if len(lengths) != 1 or not 0 < max(lengths) <= MAX_CANDIDATES:
        raise InputError(f"{where}: its lists have {_some(lengths)} entries; they must be as long as each other")
    for name, fits in _ALLOWED.items():
        values = lists[name]
        if values is not None and not (isinstance(values, list) and all(map(fits, values))):
            wrong = next((v for v in values if not fits(v)), None) if isinstance(values, list) else values
            raise InputError(f"{where}: {wrong!a:.80} stands among its {name}, so the file was not written by a run")


_ALLOWED = {
    "verdicts": lambda v: isinstance(v, str) and v in CODES,
    "candidates": lambda v: isinstance(v, str) and len(v) < 10_000,
    "answers": lambda v: v is None or (isinstance(v, str) and len(v) <= MAX_TEXT),
    "truncated": lambda v: isinstance(v, bool),
    "new_tokens": lambda v: type(v) is int and 0 <= v < 2**31,
    "scores": lambda v: type(v) in (int, float) and abs(v) < 1e30,
}


def _some(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)[:5])) + (", ..." if len(numbers) > 5 else "")


def _natural(name: str) -> list:
    """`test-2` before `test-10`."""
    parts = re.split(r"(\d{1,18})", name)
    return [(0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p) for p in parts if p] + [(2, 0, name)]
