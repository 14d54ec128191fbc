"""The best token behind each hidden state, without logits of the whole vocabulary in memory.

With a vocabulary of 150,000 tokens the logits of one pass take more memory than everything else, and finding the best
of them takes as long as a layer. So the output head is applied to one piece of the vocabulary at a time, and only each
piece's best token is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from sprint_lmeval.generation.fast.probe import Probe
from sprint_lmeval.generation.rows import Step
from sprint_lmeval.generation.sampling import rows_at_once

INTEGERS = {2: torch.int16, 4: torch.int32}


class OutputHead:
    """A linear output head of a model whose logits are nothing but that head's output."""

    def __init__(self, head: nn.Linear, piece_bytes: int) -> None:
        self.head, self.piece_bytes = head, piece_bytes
        self.best_of = _as_integers if _has_integers(head.weight) else _as_numbers

    @contextmanager
    def left_out(self) -> Iterator[list[torch.Tensor]]:
        """Within the block, a forward pass puts its last hidden states into the list and computes no logits."""
        kept: list[torch.Tensor] = []

        def keep(hidden: torch.Tensor) -> torch.Tensor:
            kept.append(hidden)
            return hidden[..., :1]

        self.head.forward = keep
        try:
            yield kept
        finally:
            del self.head.forward

    @torch.inference_mode()
    def best(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the first of the best tokens behind each of `hidden` [..., width]; [...]."""
        lines = hidden.reshape(-1, hidden.shape[-1])
        values, tokens = self._best(lines)
        if self.best_of is _as_integers and not (values > 0).all():
            self.best_of = _as_numbers  # from now on: where a best logit is negative once, others will be
            _, tokens = self._best(lines)
        return tokens.view(hidden.shape[:-1])

    def _best(self, lines: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best logits and their tokens, [lines] each."""
        weight, bias = self.head.weight, self.head.bias
        size = max(1, self.piece_bytes // (len(lines) * lines.element_size()))
        starts = range(0, len(weight), -(-len(weight) // -(-len(weight) // size)))  # pieces of one size
        values, indices = [], []
        for start in starts:
            part = slice(start, start + starts.step)
            logits = nn.functional.linear(lines, weight[part], None if bias is None else bias[part])
            value, index = self.best_of(logits)
            values.append(value)
            indices.append(index + start)
        values = torch.stack(values)  # [pieces, lines]
        piece = values.argmax(0, keepdim=True)
        return values.gather(0, piece)[0], torch.stack(indices).gather(0, piece)[0]


def plain_head(model: PreTrainedModel, probe: Probe, piece_bytes: int) -> OutputHead | None:
    """Return the model's head where its logits are exactly what an untouched `nn.Linear` gives; else None."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head.weight.is_meta or "forward" in head.__dict__:
        return None
    if head._forward_pre_hooks or head._forward_hooks or model._forward_hooks:
        return None
    return OutputHead(head, piece_bytes) if probe.head_gives_logits else None


def first_best(logits: torch.Tensor) -> torch.Tensor:
    """Return the index of the first of the best logits, [...], as argmax does.

    Bits of positive numbers, read as integers, have the same order as the numbers. On a CPU `max` of integers takes a
    quarter of the time of `max` of numbers, over 150,000 tokens, and that less than `argmax`. NaN is the best, as for
    argmax, except for a negative NaN beside numbers.
    """
    if _has_integers(logits):
        values, indices = _as_integers(logits)
        if (values > 0).all():
            return indices
    return _as_numbers(logits)[1]


def steps_of(logits: torch.Tensor, tokens: Sequence[int], top: int) -> list[Step]:
    """Return the steps that took `tokens` where there were `logits` [tokens, vocabulary]."""
    most = rows_at_once(logits[:1])
    starts = range(0, len(tokens), most)
    return [step for i in starts for step in _steps_of(logits[i : i + most], tokens[i : i + most], top)]


def _steps_of(logits: torch.Tensor, tokens: Sequence[int], top: int) -> list[Step]:
    scores = logits.float().log_softmax(-1)
    own = scores.gather(1, torch.tensor(tokens, device=scores.device)[:, None])[:, 0].tolist()
    best = scores.topk(min(top + 1, scores.shape[-1]))
    found = zip(tokens, own, *map(torch.Tensor.tolist, best), strict=True)
    return [
        Step(token, probability, tuple([p for p in zip(ids, values, strict=True) if p[0] != token][:top]))
        for token, probability, values, ids in found
    ]


def _has_integers(logits: torch.Tensor) -> bool:
    return logits.device.type == "cpu" and logits.element_size() in INTEGERS


def _as_integers(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the best values, as integers, and their indices; right where the best value is positive."""
    return tuple(logits.contiguous().view(INTEGERS[logits.element_size()]).max(-1))


def _as_numbers(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if logits.device.type == "cpu":
        return tuple(logits.max(-1))
    indices = logits.argmax(-1, keepdim=True)
    return logits.gather(-1, indices)[..., 0], indices[..., 0]
