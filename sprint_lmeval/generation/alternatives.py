"""What else a model might have written: the best other tokens at each position of an answer.

In: rows whose given tokens are the answer. Out: for each of these tokens its log-probability, and the best other tokens
with theirs. The answers are read under their candidates' masks in wide passes, without decoding (teacher forcing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sprint_lmeval.generation.fast.device_limits import limits_of
from sprint_lmeval.generation.fast.lm_head import plain_head, steps_of
from sprint_lmeval.generation.fast.probe import probe_of
from sprint_lmeval.generation.rows import Row, Settings, Step, encode
from sprint_lmeval.pruning.heads import text_config
from sprint_lmeval.pruning.hooks import HeadLayout, head_layout, prune_heads


def alternatives(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    settings: Settings,
    top: int = 1,
    layout: HeadLayout | None = None,
) -> list[list[Step]]:
    """Return for each row the steps of its answer, `row.given`.

        greedy = [(row, response.tokens) for row, response in generate(..., keep_tokens=True)]
        steps = alternatives(model, tokenizer, [replace(row, given=tokens) for row, tokens in greedy], settings, top=4)

    Args:
        model, tokenizer, settings, layout: as for `generate`.
        rows: each with the tokens of its answer as `given`; an end token among them is a token like the others.
        top: how many other tokens at each position, at least 1.
    """
    layout = layout or head_layout(model)
    room = settings.max_prompt_tokens or 0
    texts = [(encode(tokenizer, row.prompt, settings)[-room:], list(row.given)) for row in rows]
    reader = _Reader(model, layout, top)
    steps: list[list[Step]] = [[] for _ in rows]
    for batch in reader.batches(texts):
        with prune_heads(model, [rows[index].candidate for index in batch], layout):
            for index, of_row in zip(batch, reader.read([texts[index] for index in batch]), strict=True):
                steps[index] = of_row
    return steps


class _Reader:
    """Reads answers of one model: the output head is applied to few positions at a time, where it stands alone."""

    def __init__(self, model: PreTrainedModel, layout: HeadLayout, top: int) -> None:
        self.model, self.top, self.limits = model, top, limits_of(model)
        self.head = plain_head(model, probe_of(model, layout), self.limits.logits_bytes)
        vocabulary = text_config(model.config).vocab_size
        self.most_logits = max(1, self.limits.logits_bytes // (vocabulary * torch.float32.itemsize))

    def batches(self, texts: list[tuple[list[int], list[int]]]) -> Iterator[list[int]]:
        """Yield indices of texts that one pass reads, of similar length."""
        most = self.limits.pass_tokens if self.head else self.most_logits
        lengths = {index: len(prompt) + len(answer) for index, (prompt, answer) in enumerate(texts) if answer}
        batch: list[int] = []
        for index in sorted(lengths, key=lengths.get):
            if batch and (len(batch) + 1) * lengths[index] > most:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    @torch.inference_mode()
    def read(self, texts: list[tuple[list[int], list[int]]]) -> Iterator[list[Step]]:
        """Read texts (prompt, answer) in one pass, padded on the right; yield the steps of each answer."""
        width = max(len(prompt) + len(answer) for prompt, answer in texts)
        lines = [[*prompt, *answer, *[0] * (width - len(prompt) - len(answer))] for prompt, answer in texts]
        ids = torch.tensor(lines, device=self.model.device)
        lengths = torch.tensor([[len(prompt) + len(answer)] for prompt, answer in texts], device=ids.device)
        mask = (torch.arange(width, device=ids.device) < lengths).long()
        with self.head.left_out() if self.head else nullcontext() as hidden:
            output = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        states = hidden[0] if self.head else output  # [texts, width, hidden or vocabulary]
        for (prompt, answer), of_text in zip(texts, states, strict=True):
            yield self._steps(of_text[len(prompt) - 1 : len(prompt) + len(answer) - 1], answer)

    def _steps(self, states: torch.Tensor, answer: list[int]) -> list[Step]:
        steps = []
        for start in range(0, len(answer), self.most_logits):
            part, tokens = states[start : start + self.most_logits], answer[start : start + self.most_logits]
            steps += steps_of(self.head.head(part) if self.head else part, tokens, self.top)
        return steps
