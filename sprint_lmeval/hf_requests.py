"""What the harness's requests ask: which repeat of a document each one is, and the raw question behind it."""

from __future__ import annotations

from collections import Counter


def positions_of(requests: list) -> list[int]:
    """Return which repeat of its document each request is.

    The harness repeats one request object N times, and more often to pad a rank: count, modulo N.
    """
    seen: Counter = Counter()
    positions = []
    for request in requests:
        positions.append(seen[id(request)] % max(request.repeats or 1, 1))
        seen[id(request)] += 1
    return positions


def question_of(request) -> str:
    """The raw question of a request's document, or its prompt where the document is of a foreign shape."""
    doc = request.doc if isinstance(request.doc, dict) else {}
    return next((doc[key] for key in ("question", "problem") if isinstance(doc.get(key), str)), request.args[0])
