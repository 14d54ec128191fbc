"""Stop strings row by row: a row whose text contains one is finished, whatever the other rows of its batch do.

In: the token ids of a batch. Out: which rows are finished, and after how many new tokens. The harness's own criterion
ends a batch only when all of its rows contain the same stop string.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria

UNFINISHED_CHARACTER = "\ufffd"  # what decoding shows for a character whose bytes span several tokens


class StopStrings(StoppingCriteria):
    """Finishes a row at the first stop string in its new text, across token boundaries.

    Attributes:
        prompt_tokens: how many tokens of each row are not new.
        given: how many of these, per row, belong to its answer all the same.
        new_tokens_at_stop: per row, how many answer tokens it had when a stop string was complete, or None.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        stops: list[str],
        rows: int,
        prompt_tokens: int,
        given: Sequence[int] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.stops = [s for s in stops if s]
        self.prompt_tokens, self.given = prompt_tokens, given or [0] * rows
        self.new_tokens_at_stop: list[int | None] = [None] * rows
        # A token is at least one byte of text, so this many hold any stop string; a few more for tokens without text.
        self.tail_tokens = max((len(s.encode()) for s in self.stops), default=0) + 4
        self.last_characters = {s[-1] for s in self.stops}
        self.may_end: dict[int, bool] = {}
        self.anchor = tokenizer.encode("a", add_special_tokens=False)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        # input_ids: [rows, time]
        new = input_ids.shape[1] - self.prompt_tokens
        candidates = [
            row
            for row, token in enumerate(input_ids[:, -1].tolist())
            if self.new_tokens_at_stop[row] is None and self._may_end(token)
        ]
        if candidates:
            counts = [new + self.given[row] for row in candidates]
            tails = [
                input_ids[row, -min(n, self.tail_tokens) :].tolist() for row, n in zip(candidates, counts, strict=True)
            ]
            texts = self.tokenizer.batch_decode(tails, skip_special_tokens=True)
            for row, count, text in zip(candidates, counts, texts, strict=True):
                if any(stop in text for stop in self.stops):
                    self.new_tokens_at_stop[row] = count
        return torch.tensor([n is not None for n in self.new_tokens_at_stop], device=input_ids.device)

    def met(self, tokens: list[int], new: int) -> bool:
        """Return whether the last token completes a stop string within the last `new` of a row's tokens."""
        if not self.stops or not self._may_end(tokens[-1]):
            return False
        text = self.tokenizer.decode(tokens[-min(new, self.tail_tokens) :], skip_special_tokens=True)
        return any(stop in text for stop in self.stops)

    def _may_end(self, token: int) -> bool:
        """Return whether this token's text can hold the last character of a stop string."""
        if token not in self.may_end:
            before = self.tokenizer.decode(self.anchor)
            text = self.tokenizer.decode([*self.anchor, token])[len(before) :]
            self.may_end[token] = UNFINISHED_CHARACTER in text or not self.last_characters.isdisjoint(text)
        return self.may_end[token]
