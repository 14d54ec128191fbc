"""The best token behind each hidden state, with the logits of few tokens in memory at a time.

With a vocabulary of 150,000 tokens the logits of a large pass take more memory than everything else. So the pass leaves
the output head out, which is then applied to a part of its tokens at a time.
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
    """A linear output head of a model whose logits are nothing but that head's output.

    Attributes:
        most: for how many tokens there are logits at a time, in about `logits_bytes`.
    """

    def __init__(self, head: nn.Linear, logits_bytes: int) -> None:
        self.head = head
        self.most = max(1, logits_bytes // (len(head.weight) * head.weight.element_size()))

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
        return torch.cat([first_best(self.head(part)) for part in lines.split(self.most)]).view(hidden.shape[:-1])


def plain_head(model: PreTrainedModel, probe: Probe, logits_bytes: int) -> OutputHead | None:
    """Return the model's head where its logits are exactly what an untouched `nn.Linear` gives; else None."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head.weight.is_meta or "forward" in head.__dict__:
        return None
    if head._forward_pre_hooks or head._forward_hooks or model._forward_hooks:
        return None
    return OutputHead(head, logits_bytes) if probe.head_gives_logits else None


def first_best(logits: torch.Tensor) -> torch.Tensor:
    """Return the index of the first of the best logits, [...], as argmax does.

    Bits of positive numbers, read as integers, have the same order as the numbers. On a CPU `max` of integers takes a
    quarter of the time of `max` of numbers, over 150,000 tokens, and that less than `argmax`. NaN is the best, as for
    argmax, except for a negative NaN beside numbers.
    """
    if logits.device.type != "cpu":
        return logits.argmax(-1)
    if logits.element_size() in INTEGERS:
        best = logits.contiguous().view(INTEGERS[logits.element_size()]).max(-1)
        if (best.values > 0).all():
            return best.indices
    return logits.max(-1).indices


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
