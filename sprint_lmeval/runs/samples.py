"""One samples_*.jsonl of a harness run -> verdicts, lengths and answers as arrays, and where each response stands.

In: a file that somebody else wrote; its lines are read one by one, checked, and forgotten but for what a report needs.
Out: `Samples`, its questions in the order of their ids; the responses stay in the file and are read when asked for.
`sample_lines` and `response_lists` are the steps of it that an outcome matrix shares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from pathlib import Path

import numpy as np

from sprint_lmeval.answers.verdicts import UNKNOWN, VERDICTS
from sprint_lmeval.candidates import MAX_CANDIDATES
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.files import open_regular, parse_json
from sprint_lmeval.passn.metrics import unbiased_pass_at_k

MAX_LINE = 64 << 20  # bytes of one question's row: its N responses are in it, twice
MAX_ROWS = 1_000_000
MAX_TEXT = 1 << 20  # characters of an answer or a problem
MAX_EXACT = 1_000  # samples of a question whose unbiased Pass@k is computed in whole numbers
CODES = {verdict.value: code for code, verdict in enumerate(VERDICTS)}
CORRECT = CODES["correct"]


@dataclass(frozen=True)
class Document:
    """The harness's record of a question: `hash` is of all of it, `text` is "" where the file holds no problems."""

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
        candidates: [questions][n] names, None where the model does not report them.
        answers: [questions][n], None where a response has none.
        scores: float32 [questions, n] of the strategy, or None.
        majority: float64 [questions], the harness's `maj@n` of each question, nan unknown.
        distinct: float64 [questions], the number of distinct answers, nan unknown.
        exchangeable: whether the n are independent samples.
        offsets: the byte at which each question's line begins in `path`; empty where no file holds responses.
    """

    path: Path
    questions: tuple[Document, ...]
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
    offsets: tuple[int, ...]

    def rates(self) -> dict[str, float]:
        """Return what the harness averages over questions, by its names, as far as the samples hold it."""
        n = self.verdicts.shape[1]
        correct = self.verdicts == CORRECT
        found: dict[str, float] = {}
        for name, joined in (("pass", np.logical_or), ("all", np.logical_and)):
            found |= {f"{name}@{k}": rate for k, rate in enumerate(joined.accumulate(correct, axis=1).mean(0), 1)}
        found[f"mean@{n}"] = correct.mean()
        found["no_answer"] = (self.verdicts == CODES["no_answer"]).mean()
        found["grader_failed"] = np.isin(self.verdicts, [CODES["timeout"], CODES["error"]]).mean()
        if self.exchangeable:
            solved = correct.sum(1)
            for k in range(1, n + 1):  # all are right: none of k is among the wrong ones
                found[f"unbiased_pass@{k}"] = chances(n, solved, k).mean()
                found[f"all@{k}"] = 1 - chances(n, n - solved, k).mean()
        if (self.truncated != UNKNOWN).all():
            found["truncated"] = self.truncated.mean()
        averaged = {f"maj@{n}": self.majority.mean(), "distinct_answers": self.distinct.mean()}
        return found | {name: value for name, value in averaged.items() if not np.isnan(value)}

    def row(self, question: int) -> dict:
        """Read a question's whole row from the file; {} where it was published without responses."""
        if not self.offsets:
            return {}
        with open_regular(self.path) as stream:
            stream.seek(self.offsets[question])
            row = _parsed(stream.readline(MAX_LINE + 1), f"{self.path}, question {self.questions[question].id}")
        return row if isinstance(row, dict) else {}

    def responses(self, question: int) -> list[str] | None:
        """Read the n responses of a question from the file; None where it was published without them."""
        return self.sent_and_received(question)[1]

    def sent_and_received(self, question: int) -> tuple[str | None, list[str] | None]:
        """Read a question's prompt, and its n responses, from the file; None for what it was published without."""
        n, row = self.verdicts.shape[1], self.row(question)
        given = row.get("resps")
        texts = given[0] if isinstance(given, list) and given and isinstance(given[0], list) else given
        fits = isinstance(texts, list) and len(texts) >= n and all(isinstance(t, str) for t in texts)
        return _prompt(row.get("arguments")), texts[:n] if fits else None


def _prompt(arguments: object) -> str | None:
    """The first argument of the first request: the harness writes it as lists, and as `gen_args_0`, `arg_0`."""
    for name in ("gen_args_0", "arg_0"):
        arguments = arguments.get(name) if isinstance(arguments, dict) else arguments
        arguments = arguments[0] if isinstance(arguments, list) and arguments else arguments
    return arguments if isinstance(arguments, str) else None


def chances(n: int, solved: np.ndarray, k: int) -> np.ndarray:
    """Return the unbiased Pass@k of questions of whose n independent samples `solved` [questions] are correct."""
    counts, of_question = np.unique(solved, return_inverse=True)
    if n > MAX_EXACT:
        from scipy.special import gammaln

        wrong = n - counts.astype(float)
        enough = wrong >= k  # else a right one is among any k
        log_missed = (
            gammaln(wrong + 1) - gammaln(np.where(enough, wrong - k, 0) + 1) - gammaln(n + 1) + gammaln(n - k + 1)
        )
        return np.where(enough, 1 - np.exp(log_missed), 1.0)[of_question]
    return np.array([unbiased_pass_at_k(n, int(count), k) for count in counts])[of_question]


@dataclass
class Shared:
    """Texts and documents that many files have in common are kept once."""

    texts: dict[str, str] = field(default_factory=dict)
    documents: dict[Document, Document] = field(default_factory=dict)

    def text(self, value: str | None) -> str | None:
        return value if value is None else self.texts.setdefault(value, value)

    def document(self, value: Document) -> Document:
        return self.documents.setdefault(value, value)


@dataclass
class _Row:
    offset: int
    document: Document
    prompt_hash: str
    lists: dict[str, list | None]
    numbers: dict[str, float]
    exchangeable: bool


def read_samples(path: Path, shared: Shared | None = None) -> Samples:
    """Return what a file of samples holds.

    Raises:
        InputError: it is not the samples of one whole run of a `*_passn` task; the sentence names file and line.
    """
    shared = shared or Shared()
    rows = [_row(sample, where, offset, shared) for where, offset, sample in sample_lines(path)]
    rows.sort(key=lambda row: _natural(row.document.id))
    if not rows:
        raise InputError(f"{path} is empty: its run was stopped before it wrote samples, or the file was cut")
    for before, row in pairwise(rows):
        if before.document.id == row.document.id:
            raise InputError(f"{path}: question {row.document.id!a:.80} is in it twice, so it holds more than one run")
    lengths = {len(row.lists["verdicts"]) for row in rows}
    if len(lengths) != 1:
        raise InputError(f"{path}: its questions have {_some(lengths)} responses; all of one run have the same N")
    return _arrays(path, rows, lengths.pop())


def _arrays(path: Path, rows: list[_Row], n: int) -> Samples:
    arrays = {}
    for name, kind in (("truncated_rows", np.int8), ("new_tokens", np.int32)):
        unknown = [UNKNOWN] * n
        arrays[name] = np.array([unknown if row.lists[name] is None else row.lists[name] for row in rows], kind)
    kept = {name: [row.lists[name] for row in rows] for name in ("candidates", "scores")}
    return Samples(
        path=path,
        questions=tuple(row.document for row in rows),
        prompt_hashes=tuple(row.prompt_hash for row in rows),
        verdicts=np.array([row.lists["verdicts"] for row in rows], np.int8),
        truncated=arrays["truncated_rows"],
        new_tokens=arrays["new_tokens"],
        candidates=None if None in kept["candidates"] else kept["candidates"],
        answers=[row.lists["answers"] or [None] * n for row in rows],
        scores=None if None in kept["scores"] else np.array(kept["scores"], np.float32),
        majority=np.array([row.numbers.get(f"maj@{n}", np.nan) for row in rows]),
        distinct=np.array([row.numbers.get("distinct_answers", np.nan) for row in rows]),
        exchangeable=all(row.exchangeable for row in rows),
        offsets=tuple(row.offset for row in rows),
    )


# ---- one line ----


def sample_lines(path: Path) -> Iterator[tuple[str, int, object]]:
    """Yield of each line of a samples file: where it stands in words, the byte at which it begins, and what it says.

    Raises:
        InputError: the file cannot be read, has too many or too long lines, or one that is not JSON.
    """
    offset = 0
    with open_regular(path) as stream:
        for number in range(1, MAX_ROWS + 1):
            line = stream.readline(MAX_LINE + 1)
            if not line:
                return
            where = f"{path}, line {number}"
            yield where, offset, _parsed(line, where)
            offset += len(line)
    raise InputError(f"{path} has more than {MAX_ROWS:,} lines")


def _parsed(line: bytes, where: str) -> object:
    if len(line) > MAX_LINE:
        raise InputError(f"{where}: it has more than {MAX_LINE:,} bytes, so it is not a sample of a *_passn task")
    try:
        return parse_json(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({cause(error, 100)}), the file is damaged or cut short") from None


def response_lists(sample: dict, where: str) -> dict[str, list | None]:
    """Return the lists of N that a sample's row holds, by their names in it; None for those that are absent.

    Verdicts are codes, the indices into `VERDICTS`.

    Raises:
        InputError: there is no list of verdicts, or what stands in the lists no run has written.
    """
    if not isinstance(sample, dict) or not isinstance(sample.get("verdicts"), list):
        raise InputError(f"{where}: no list of verdicts, so not a sample of a *_passn task")
    lists = {name: sample.get(name) for name in _ALLOWED}
    lengths = {len(value) for value in lists.values() if isinstance(value, list)}
    if len(lengths) != 1 or not 0 < max(lengths) <= MAX_CANDIDATES:
        raise InputError(f"{where}: its lists have {_some(lengths)} entries; they must be as long as each other")
    for name, fits in _ALLOWED.items():
        values = lists[name]
        if values is not None and not (isinstance(values, list) and all(map(fits, values))):
            wrong = next((v for v in values if not fits(v)), None) if isinstance(values, list) else values
            raise InputError(f"{where}: {wrong!a:.80} stands among its {name}, so the file was not written by a run")
    return lists | {"verdicts": [CODES[verdict] for verdict in lists["verdicts"]]}


_ALLOWED = {
    "verdicts": lambda v: isinstance(v, str) and v in CODES,
    "candidates": lambda v: isinstance(v, str) and len(v) < 10_000,
    "answers": lambda v: v is None or (isinstance(v, str) and len(v) <= MAX_TEXT),
    "truncated_rows": lambda v: isinstance(v, bool),
    "new_tokens": lambda v: type(v) is int and 0 <= v < 2**31,
    "scores": lambda v: type(v) in (int, float) and abs(v) < 1e30,
}


def _row(sample: object, where: str, offset: int, shared: Shared) -> _Row:
    """What a report keeps of one line; `doc` may have been left out, its id then stands in the row itself."""
    lists = response_lists(sample, where)
    for name in ("candidates", "answers"):
        lists[name] = lists[name] and [shared.text(value) for value in lists[name]]
    numbers = {
        name: float(value)
        for name, value in sample.items()
        if name.startswith(("maj@", "distinct_answers")) and type(value) in (int, float) and isfinite(value)
    }
    prompt = sample.get("prompt_hash")
    prompt_hash = prompt if isinstance(prompt, str) else ""
    document = shared.document(_document(sample, where))
    return _Row(offset, document, prompt_hash, lists, numbers, "unbiased_pass@1" in sample)


def _document(sample: dict, where: str) -> Document:
    doc = sample.get("doc", {})
    named = doc.get("id", sample.get("id")) if isinstance(doc, dict) else None
    if not isinstance(named, str) or not isinstance(sample.get("doc_hash"), str):
        raise InputError(f"{where}: no document with id and hash, so not a sample of a *_passn task")
    texts = {name: doc.get(name) or "" for name in ("question", "subject", "answer")}
    for name, text in {"id": named, **texts}.items():
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise InputError(f"{where}: the {name} of its document is no text of at most {MAX_TEXT:,} characters")
    level = doc.get("level")
    return Document(
        id=named,
        hash=sample["doc_hash"],
        text=texts["question"],
        subject=texts["subject"] or None,
        level=level if type(level) is int and abs(level) < 2**31 else None,
        gold=texts["answer"],
    )


def _some(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)[:5])) + (", ..." if len(numbers) > 5 else "")


def _natural(name: str) -> list:
    """`test-2` before `test-10`."""
    parts = re.split(r"(\d{1,18})", name)
    return [(0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p) for p in parts if p] + [(2, 0, name)]
