"""What is chosen from: the stored responses of one run, with their prompts and the classes of equal answers.

In: a run with samples. Out: classes by symbolic equality (computed in the answer workers, from the answers and verdicts
in the file, so that no gold is needed), prompts and texts. The file is untrusted; its verdicts are taken as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from sprint_lmeval.answers.verdicts import KINDS, VERDICTS, Verdict, group_answers
from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.result_files import read_results
from sprint_lmeval.runs.run import Run, require_samples

MAX_PROMPT = 4 << 20  # characters
NO_ANSWER = VERDICTS.index(Verdict.no_answer)


@dataclass(frozen=True)
class StoredResponses:
    """One question as the model saw it: prompt, the raw question, and N responses."""

    prompt: str
    question: str
    responses: list[str]


def answer_classes(run: Run) -> list[list[int | None]]:
    """Return the class of every answer, [questions][n], None where there is no answer.

    Raises:
        InputError: the file holds no answers, or does not say of which kind they are.
    """
    require_samples(run)
    kind = _answer_kind(run)
    answers = [
        [None if code == NO_ANSWER else answer for answer, code in zip(row, codes, strict=True)]
        for row, codes in zip(run.answers, run.verdicts, strict=True)
    ]
    if not any(answer is not None for row in answers for answer in row) and (run.verdicts != NO_ANSWER).any():
        raise InputError(f"{run.samples_path} holds verdicts and no answers, so equal answers cannot be told")
    verdicts = [[VERDICTS[code] for code in row] for row in run.verdicts]
    return group_answers([(a, v, kind) for a, v in zip(answers, verdicts, strict=True)])


def _answer_kind(run: Run) -> str:
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
