"""How much each head matters, without any outcome: a few forward passes, or one backward pass for each text.

In: a loaded decoder whose attention is eager, its `HeadLayout`, and tokens. Out: float32 [heads] for each layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import torch
from torch import nn

from sprint_lmeval.pruning.heads import HeadLayout

LENGTH = 48  # tokens that are repeated
ROWS = 4  # in a forward pass


def retrieval_scores(
    model: nn.Module, layout: HeadLayout, vocabulary: Sequence[int], passes: int = 3, seed: int = 0
) -> list[torch.Tensor]:
    """Return the attention of each head from a repeated token to the token behind its first occurrence.

    Random tokens stand twice in a row; a head that copies looks there (induction and retrieval heads, arXiv 2209.11895,
    2404.15574). Means over the second half.

    Args:
        vocabulary: tokens to draw from.

    Raises:
        ValueError: the model does not hand out the attention of each head.
    """
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.tensor(list(vocabulary))
    totals = [torch.zeros(layer.heads) for layer in layout.layers]
    second = torch.arange(LENGTH, 2 * LENGTH - 1)
    for _ in range(passes):
        once = tokens[torch.randint(len(tokens), (ROWS, LENGTH), generator=draw)]
        with torch.no_grad():
            seen = model(
                torch.cat([once, once], 1).to(model.device), output_attentions=True, use_cache=False
            ).attentions
        _check(seen, layout)
        for total, weights in zip(totals, seen, strict=True):  # [rows, heads, time, time]
            total += weights[:, :, second, second - LENGTH + 1].float().mean((0, 2)).cpu() / passes
    return totals


def _check(seen: Sequence[torch.Tensor] | None, layout: HeadLayout) -> None:
    wanted = [(layer.heads, 2 * LENGTH) for layer in layout.layers]
    given = [(w.shape[1], w.shape[-1]) for w in seen or () if w is not None and w.ndim == 4]
    if given != wanted:
        raise ValueError(
            f"{layout.architecture} does not hand out the attention of each of its heads, which retrieval reads: take "
            "--rank attribution"
        )


def attribution_scores(
    model: nn.Module, layout: HeadLayout, texts: Iterable[tuple[list[int], list[int]]]
) -> list[torch.Tensor]:
    """Return how much an answer's log-probability changes when a head is pruned, to first order: |gradient x output|.

    Michel et al. (arXiv 1905.10650, equation 2): the product is summed over a text, and its size averaged over texts.

    Args:
        texts: tokens of prompt and answer; one backward pass each.
    """
    model.requires_grad_(False)
    totals, count = [torch.zeros(layer.heads) for layer in layout.layers], 0
    for prompt, answer in texts:
        for total, found in zip(totals, _attributed(model, layout, prompt, answer), strict=True):
            total += found.abs()
        count += 1
    return [total / max(count, 1) for total in totals]


def _attributed(model: nn.Module, layout: HeadLayout, prompt: list[int], answer: list[int]) -> list[torch.Tensor]:
    """Gradient of the answer's log-probability x output of each head, summed over positions: [heads] for each layer."""
    outputs: dict[int, torch.Tensor] = {}

    def keep(number: int):
        def hook(_module: nn.Module, inputs: tuple) -> None:
            outputs[number] = inputs[0]  # [1, time, heads * head_dim]

        return hook

    ids = torch.tensor([prompt + answer], device=model.device)
    with ExitStack() as hooks, torch.enable_grad():
        for number, layer in enumerate(layout.layers):
            hooks.callback(layer.projection.register_forward_pre_hook(keep(number)).remove)
        embedded = model.get_input_embeddings().register_forward_hook(lambda *seen: seen[2].requires_grad_())
        hooks.callback(embedded.remove)
        logits = model(ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()  # [answer, vocabulary]
        value = torch.log_softmax(logits, -1).gather(1, ids[0, len(prompt) :, None]).sum()
        kept = [outputs[number] for number in range(len(layout.layers))]
        grads = torch.autograd.grad(value, kept)
    return [
        (output.detach() * grad).float().reshape(-1, layer.heads, layer.head_dim).sum((0, 2)).cpu()
        for output, grad, layer in zip(kept, grads, layout.layers, strict=True)
    ]
