"""Run each row of a batch with its own heads pruned.

In: a Hugging Face decoder-only model and one `Candidate` per row. Out: the same model, whose row i computes as if the
heads of `candidates[i]` put out zero. Following SPRINT (arXiv 2506.03978), a head is pruned before the heads are
concatenated: its slice of the input [rows, time, heads * head_dim] of the attention output projection is multiplied by
zero. Hooks do that, so no weights are copied and no modelling code is replaced; `self_test.py` checks it on the model.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.pruning.heads import HeadLayout, LayerHeads, head_layout

__all__ = ["HeadLayout", "LayerHeads", "check_heads", "head_layout", "prune_heads"]


@contextmanager
def prune_heads(
    model: nn.Module, candidates: Sequence[str | Candidate], layout: HeadLayout | None = None
) -> Generator[None]:
    """Inside the `with` block, row i of every batch runs with `candidates[i]` pruned (paper section 3).

        with prune_heads(model, ["base", "L5H0"]):
            logits = model(ids).logits  # ids [2, time]: the first row is the whole model's, the second lacks head L5H0

    Blocks may be nested: a row then loses the heads of both. The hooks sit on the model, so other threads that use the
    same model at that time are pruned too. Inside the block what torch.compile compiled runs uncompiled, since compiled
    code does not see hooks that come later.

    Args:
        model: a decoder of transformers.
        candidates: one for each row of every forward pass, as `Candidate` or in its notation.
        layout: the model's heads, where they were looked up already.

    Raises:
        ValueError: unknown heads, a model without heads, or another number of rows.
    """
    layout = layout or head_layout(model)
    if not candidates:
        raise ValueError("no candidates given; prune_heads needs one for each row of the batch")
    candidates = [Candidate.of(given) for given in candidates]
    check_heads(layout, candidates)
    hooks = []
    try:
        for number in sorted({layer for candidate in candidates for layer, _ in candidate.heads}):
            mask = _HeadMask(number, layout.layers[number], candidates)
            hooks.append(layout.layers[number].projection.register_forward_pre_hook(mask))
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def check_heads(layout: HeadLayout, candidates: Sequence[Candidate]) -> None:
    """Raise ValueError for the first candidate with a layer or head that the model does not have."""
    last_layer = len(layout.layers) - 1
    for candidate in candidates:
        for layer, head in candidate.heads:
            if layer > last_layer:
                what = f"layer {layer} given, the model has layers 0-{last_layer}"
            elif head >= layout.layers[layer].heads:
                what = f"head {head} of layer {layer} given, layer {layer} has heads 0-{layout.layers[layer].heads - 1}"
            else:
                continue
            raise ValueError(f"candidate {candidate}: {what}; correct it or leave it out")


class _HeadMask:
    """Pre-hook of one output projection: multiplies each row's pruned heads by zero.

    It multiplies, since torch.where took two to four times as long on a CPU; like a zeroed weight column, a product
    lets a NaN through. The input is never changed in place, since it may be shared or need a gradient.
    """

    def __init__(self, number: int, layer: LayerHeads, candidates: Sequence[Candidate]):
        self.number, self.rows = number, len(candidates)
        keep = torch.ones(len(candidates), layer.heads, layer.head_dim)
        for row, candidate in enumerate(candidates):
            for layer_number, head in candidate.heads:
                if layer_number == number:
                    keep[row, head] = 0
        self.keep = keep.view(len(candidates), 1, -1)  # [rows, 1, heads * head_dim]
        self.cached: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}

    def __call__(self, projection: nn.Module, args: tuple) -> tuple:
        values = args[0]  # [rows, time, heads * head_dim], or [rows * time, heads * head_dim]
        self._check(values)
        mask = self.cached.get((values.device, values.dtype))
        if mask is None:
            with torch.inference_mode(False):
                mask = self.cached[values.device, values.dtype] = self.keep.to(values.device, values.dtype)
        if values.ndim == 3:
            return (values * mask, *args[1:])
        return ((values.view(self.rows, -1, values.shape[-1]) * mask).view_as(values), *args[1:])

    def _check(self, values: torch.Tensor) -> None:
        width = self.keep.shape[-1]
        if values.ndim not in (2, 3) or values.shape[-1] != width:
            raise ValueError(
                f"layer {self.number} gave its output projection values of shape {list(values.shape)}, pruning needs "
                f"[rows, time, {width}]; tensor-parallel models are not supported"
            )
        rows = values.shape[0]
        if rows == self.rows or (values.ndim == 2 and rows % self.rows == 0):
            return
        raise ValueError(
            f"the batch has {rows} rows, but {self.rows} candidates were given; give one candidate for each row, "
            "without num_beams or num_return_sequences above 1"
        )
