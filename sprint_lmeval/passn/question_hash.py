"""Hashes a question's text: equal hashes mean one question, in training and test sets, matrices and selectors."""

from __future__ import annotations

import hashlib


def question_hash(text: str) -> str:
    """Return the sha256 of a question's text, with all white space as single blanks; any Python string has one."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()
