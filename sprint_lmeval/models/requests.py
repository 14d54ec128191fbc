"""The harness's requests: which repeat of a document each one is, and its question. `ResponseText` answers one."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.strategies.strategy import Attempt


@dataclass
class RequestGroup:
    """Requests with the same generation settings.

    Attributes:
        settings: how their rows are decoded.
        asked: row -> (index, attempt) of every request that it answers.
        branches: row of a greedy answer -> repeat, from 1 -> (index, attempt) of every request that a branch answers.
    """

    settings: Settings
    asked: dict[Row, list[tuple[int, Attempt]]] = field(default_factory=lambda: defaultdict(list))
    branches: dict[Row, dict[int, list[tuple[int, Attempt]]]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def rows(self) -> int:
        """How many rows are to be decoded, those of branches included."""
        return len(self.asked) + sum(map(len, self.branches.values()))


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
    """The raw question of a request's document, or its prompt where the document has another shape."""
    doc = request.doc if isinstance(request.doc, dict) else {}
    return next((doc[key] for key in ("question", "problem") if isinstance(doc.get(key), str)), request.args[0])


class ResponseText(str):
    """Text of one response.

    Attributes:
        candidate: notation of the candidate that wrote it, for example ``L5H0`` or ``base``.
        truncated: whether it ended because the token limit was reached.
        new_tokens: tokens generated, the end token included.
        exchangeable: whether its siblings are independent samples, so that their order means nothing.
        distinct: whether its siblings have other texts by construction, so that votes among them mean nothing.
        score: the strategy's score of the candidate for this question, or None.
        judgements: where verdicts are kept (`Memory` in answers/), or None; not pickled, not written to files.
    """

    candidate: str
    truncated: bool
    new_tokens: int
    exchangeable: bool
    distinct: bool
    score: float | None
    judgements: object

    def __new__(
        cls,
        text: str,
        *,
        candidate: str,
        truncated: bool,
        new_tokens: int,
        exchangeable: bool = False,
        distinct: bool = False,
        score: float | None = None,
        judgements: object = None,
    ) -> ResponseText:
        response = super().__new__(cls, text)
        response.candidate, response.truncated, response.new_tokens = candidate, truncated, new_tokens
        response.exchangeable, response.distinct = exchangeable, distinct
        response.score, response.judgements = score, judgements
        return response

    def __reduce__(self):
        return _restore, (str(self), {**self.__dict__, "judgements": None})


def _restore(text: str, attributes: dict) -> ResponseText:
    return ResponseText(text, **attributes)
