"""The questions of an outcome matrix, each known again by the hash of its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sprint_lmeval.errors import InputError
from sprint_lmeval.passn.question_hash import question_hash

MAX_LEVEL = 2**31 - 1
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Question:
    """One question; `text` is "" in a matrix that is published without the problems, `hash` stays."""

    id: str
    hash: str
    text: str = ""
    subject: str = ""
    level: int = 0
    split: str = ""

    def check(self) -> None:
        """Raise InputError for what no file can hold, and for a hash that is not the text's own.

        By the hash, questions seen in training are recognised: a made-up hash would hide them.
        """
        for name in ("id", "hash", "text", "subject", "split"):
            if not _is_text(getattr(self, name)):
                raise InputError(f"question {self.id!a:.80}: its {name} is not text, or not in Unicode")
        if type(self.level) is not int or abs(self.level) > MAX_LEVEL:
            raise InputError(f"question {self.id!a:.80} has level {self.level}, allowed is at most {MAX_LEVEL}")
        if not HASH.fullmatch(self.hash):
            raise InputError(f"question {self.id!a:.80} has hash {self.hash!a:.80}, which is not 64 hexadecimal digits")
        if self.text and question_hash(self.text) != self.hash:
            raise InputError(f"question {self.id!a:.80} has a hash that is not of its text: one of the two was changed")


def _is_text(value: object) -> bool:
    """Whether it is a string that UTF-8 can hold: half of a surrogate pair is none."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False
