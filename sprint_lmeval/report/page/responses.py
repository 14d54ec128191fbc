"""What the page shows of single responses, in blocks of questions that it unpacks one at a time.

In: a run with samples. Out: for each block prompts, candidates, answers, scores, lengths and response texts, every
distinct one once, as gzip in base64.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator

from sprint_lmeval.report.page import limits
from sprint_lmeval.report.page.limits import shorten
from sprint_lmeval.report.page.mathematics import Mathematics
from sprint_lmeval.runs.run import Run

QUESTIONS_IN_BLOCK = 20


class Distinct:
    """Values, each once, by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, value: str | None) -> int:
        return -1 if value is None else self.numbers.setdefault(value, len(self.numbers))

    def values(self) -> list[str]:
        return list(self.numbers)


def packed_blocks(run: Run, mathematics: Mathematics, texts: bool = True) -> Iterator[str]:
    """Yield the packed blocks of a run, in the order of its questions; `texts`: with prompts, answers, responses."""
    for start in range(0, len(run.questions), QUESTIONS_IN_BLOCK):
        numbers = range(start, min(start + QUESTIONS_IN_BLOCK, len(run.questions)))
        yield pack(_block(run, numbers, mathematics, texts))


def pack(value: object) -> str:
    """JSON, gzip, base64: letters that end no script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode()


def _block(run: Run, numbers: range, mathematics: Mathematics, with_texts: bool) -> dict:
    candidates, answers, texts = Distinct(), Distinct(), Distinct()
    rows = []
    for number in numbers:
        prompt, given = run.sent_and_received(number) if with_texts else (None, None)
        found = run.answers[number] if with_texts and run.answers else None
        rows.append(
            {
                "prompt": None if prompt is None else texts(shorten(prompt, limits.PROBLEM)),
                "candidates": run.candidates and [candidates(name) for name in run.candidates[number]],
                "answers": found and [answers(answer) for answer in found],
                "scores": _scores(run, number),
                "tokens": _known(run.new_tokens[number]),
                "truncated": _known(run.truncated[number]),
                "texts": given and [texts(shorten(text, limits.RESPONSE)) for text in given],
            }
        )
    return {
        "candidates": candidates.values(),
        "answers": [mathematics.of_answer(shorten(answer, limits.ANSWER)) for answer in answers.values()],
        "texts": texts.values(),
        "rows": rows,
    }


def _known(values) -> list[int] | None:
    return None if (values < 0).all() else values.tolist()


def _scores(run: Run, number: int) -> list[float | None] | None:
    if run.scores is None:
        return None
    return [None if score != score else float(f"{score:.5g}") for score in run.scores[number].tolist()]
