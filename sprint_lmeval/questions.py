"""What an outcome matrix is made of: its questions, and what the numbers in its cells mean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sprint_lmeval.answers import Verdict

VERDICTS = tuple(Verdict)  # verdict code -> verdict: correct, incorrect, no_answer, timeout, error
NOT_RUN = -1  # verdict code of a candidate that did not answer a question
UNKNOWN = -1  # of `truncated` and `new_tokens`


def question_hash(text: str) -> str:
    """Return the sha256 of a question's text, with all white space as single blanks."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Question:
    """One question; `text` is "" in a matrix that is published without the problems, `hash` stays."""

    id: str
    hash: str
    text: str = ""
    subject: str = ""
    level: int = 0
    split: str = ""
