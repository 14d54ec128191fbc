"""What is chosen from: the stored responses of one run, with their prompts and the classes of equal answers.

In: a run with samples. Out: classes by symbolic equality (computed in the answer workers, from the answers and verdicts
in the file, so that no gold is needed), prompts and texts. The file is untrusted; its verdicts are taken as they are.
Also steps and prefixes of responses, for what decides before the end which of them go on. Samples hold no tokens, so a
text is cut at the same share of its characters.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sprint_lmeval.answers.verdicts import KINDS, UNKNOWN, VERDICTS, Verdict, group_answers
from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.result_files import read_results
from sprint_lmeval.runs.run import Run, require_samples
from sprint_lmeval.scoring.votes import AnswerClasses

MAX_PROMPT = 4 << 20  # characters
SECONDS_BETWEEN_LINES = 30  # of progress, where there is no terminal
STEP = re.compile(r"[^\n]*\S[^\n]*")
NO_ANSWER = VERDICTS.index(Verdict.no_answer)


@dataclass(frozen=True)
class StoredResponses:
    """One question as the model saw it: prompt, the raw question, and N responses."""

    prompt: str
    question: str
    responses: list[str]


def texts_read(model: str, count: int) -> tqdm:
    """Return the bar of a model that reads so many texts."""
    pause = 0.5 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES
    said = {"desc": f"read by {Path(model).name}", "unit": " texts", "mininterval": pause}
    return tqdm(total=count, disable=not count, **said)


def answer_classes(run: Run) -> list[list[int | None]]:
    """Return the class of every answer, [questions][n], None where there is no answer.

    Raises:
        InputError: the file holds no answers, or does not say of which kind they are.
    """
    require_samples(run)
    kind = answer_kind(run)
    answers = [
        [None if code == NO_ANSWER else answer for answer, code in zip(row, codes, strict=True)]
        for row, codes in zip(run.answers, run.verdicts, strict=True)
    ]
    if not any(answer is not None for row in answers for answer in row) and (run.verdicts != NO_ANSWER).any():
        raise InputError(f"{run.samples_path} holds verdicts and no answers, so equal answers cannot be told")
    verdicts = [[VERDICTS[code] for code in row] for row in run.verdicts]
    return group_answers([(a, v, kind) for a, v in zip(answers, verdicts, strict=True)])


def answer_kind(run: Run) -> str:
    """Return how answers of the run's task are compared. InputError where its results do not say."""
    config = read_results(run.path, must_be=True)["configs"].get(run.task) or {}
    metadata = config.get("metadata")
    kind = metadata.get("answer_kind") if isinstance(metadata, dict) else None
    if kind not in KINDS:
        raise InputError(
            f"{run.path} says of {run.task} answer_kind {kind!a:.40}, allowed are {' and '.join(KINDS)}: it is not of "
            "a task of this package"
        )
    return kind


def texts_of(run: Run) -> list[list[str]] | None:
    """Return the responses, [questions][n]; None where the file was published without them."""
    texts = [run.responses(number) for number in range(len(run.questions))]
    return None if None in texts else texts


def stored_responses(run: Run) -> list[StoredResponses]:
    """Return prompts and responses of every question.

    Raises:
        InputError: the file holds none.
    """
    return [_of_question(run, number) for number in range(len(run.questions))]


def _of_question(run: Run, number: int) -> StoredResponses:
    where = f"{run.samples_path}, question {run.questions[number].id}"
    responses = run.responses(number)
    if responses is None:
        raise InputError(f"{where}: its responses were not kept, and this way of choosing reads them")
    arguments = run.samples.row(number).get("arguments")
    first = arguments.get("gen_args_0") if isinstance(arguments, dict) else None
    prompt = first.get("arg_0") if isinstance(first, dict) else None
    if not isinstance(prompt, str) or not 0 < len(prompt) <= MAX_PROMPT:
        raise InputError(f"{where}: no prompt of at most {MAX_PROMPT:,} characters, and this way of choosing reads it")
    return StoredResponses(prompt, run.questions[number].text, responses)


# ---- steps and prefixes ----


def steps_of(text: str) -> list[str]:
    """Return the lines of a response that are not empty."""
    return STEP.findall(text)


def step_ends(text: str) -> list[int]:
    """Return where each of `steps_of` ends, in characters."""
    return [found.end() for found in STEP.finditer(text)]


@dataclass(frozen=True)
class Prefix:
    """A share of a response, between 0 and 1, or a whole number of tokens."""

    size: float

    @classmethod
    def parsed(cls, size: float, option: str = "--prefix") -> Prefix:
        """Return the prefix of a size. InputError for one out of range."""
        if not (0 < size < 1 or (float(size).is_integer() and 1 <= size <= 1e6)):
            raise InputError(
                f"{option} {size:g} given, it is a share between 0 and 1, such as 0.3, or a whole number of tokens"
            )
        return cls(size)

    def __str__(self) -> str:
        return f"{self.size:g}" if self.size < 1 else f"{self.size:g} tokens"

    def tokens(self, lengths: np.ndarray) -> np.ndarray:
        """Return how many tokens of responses with so many are the prefix, int [n]."""
        wanted = np.ceil(self.size * lengths) if self.size < 1 else np.full(len(lengths), self.size)
        return np.minimum(wanted, lengths).astype(int)


def prefixes_of(
    run: Run, rows: Sequence[StoredResponses], prefix: Prefix
) -> tuple[list[StoredResponses], list[np.ndarray]]:
    """Return the questions with prefixes as responses, and how many tokens each prefix has, [questions][n].

    Raises:
        InputError: the samples hold no lengths.
    """
    require_lengths(run)
    tokens = [prefix.tokens(lengths) for lengths in run.new_tokens]
    found = []
    for row, taken, lengths in zip(rows, tokens, run.new_tokens, strict=True):
        shares = taken / np.maximum(lengths, 1)
        texts = [text[: round(len(text) * share)] for text, share in zip(row.responses, shares, strict=True)]
        found.append(StoredResponses(row.prompt, row.question, texts))
    return found, tokens


def require_lengths(run: Run) -> None:
    """Raise InputError unless the samples hold the number of tokens of every response."""
    if (run.new_tokens == UNKNOWN).any():
        raise InputError(
            f"{run.samples_path} does not say how many tokens each response has, which this way of choosing counts"
        )


def stopped(classes: AnswerClasses, kept: Sequence[int]) -> list[int | None]:
    """Return the classes without the answers of responses that were stopped."""
    return [one if index in kept else None for index, one in enumerate(classes)]


def spent_tokens(run: Run, kept: Sequence[Sequence[int]], tokens: Sequence[np.ndarray]) -> list[int]:
    """Return the tokens of each question: whole ones of those that were kept, of the others `tokens` [questions][n]."""
    spent = []
    for indices, lengths, of_part in zip(kept, run.new_tokens, tokens, strict=True):
        whole = np.isin(np.arange(len(lengths)), indices)
        spent.append(int(np.where(whole, lengths, of_part).sum()))
    return spent
