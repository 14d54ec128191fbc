"""A response as the harness carries it: text, plus what only the model knows about how it came to be.

The harness hands models' texts to `process_results` unchanged within one process, so attributes of a `str` subclass
arrive there; sample files hold the plain text. A model that returns plain `str` leaves these things unknown.
"""

from __future__ import annotations


class ResponseText(str):
    """Text of one response.

    Attributes:
        candidate: notation of the candidate that wrote it, for example ``L5H0`` or ``base``.
        truncated: whether it ended because the token limit was reached.
        new_tokens: tokens generated, the end token included.
        exchangeable: whether its siblings are independent samples, so that their order means nothing.
        score: the strategy's score of the candidate for this question, or None.
        judgements: where verdicts are kept (`answers.Memory`), or None; neither pickled nor written to sample files.
    """

    candidate: str
    truncated: bool
    new_tokens: int
    exchangeable: bool
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
        score: float | None = None,
        judgements: object = None,
    ) -> ResponseText:
        response = super().__new__(cls, text)
        response.candidate, response.truncated, response.new_tokens = candidate, truncated, new_tokens
        response.exchangeable, response.score, response.judgements = exchangeable, score, judgements
        return response

    def __reduce__(self):
        return _restore, (str(self), {**self.__dict__, "judgements": None})


def _restore(text: str, attributes: dict) -> ResponseText:
    return ResponseText(text, **attributes)
