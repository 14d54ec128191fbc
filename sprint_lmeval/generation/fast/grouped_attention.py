"""Attention for several new tokens at a time with fewer key heads than query heads, without copying the keys.

With a mask and more than one new token, transformers' SDPA function repeats keys and values for every query head; over
a long cache these copies cost more than the attention. Here the query heads of one key head become further queries of
that head: the same products, in the same precision. Position biases, capped and sink attention go to transformers' own
function.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from sprint_lmeval.pruning.heads import text_config

NAME = "sprint_lmeval_grouped"
UNUSUAL = ("position_bias", "cache", "softcap", "s_aux", "head_mask")


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Take query [rows, heads, tokens, dim], key, value [rows, key heads, positions, dim].

    The mask is [rows, 1, tokens, positions].

    Returns [rows, tokens, heads, dim], as transformers' attention functions do.
    """
    rows, heads, tokens, _ = query.shape
    key_heads = key.shape[1]
    plain = heads == key_heads or attention_mask is None or attention_mask.shape[1] != 1
    if plain or any(kwargs.get(name) is not None for name in UNUSUAL):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    groups = heads // key_heads
    packed = query.reshape(rows, key_heads, groups * tokens, -1)
    mask = _repeated(attention_mask, groups)
    output = torch.nn.functional.scaled_dot_product_attention(packed, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(rows, heads, tokens, -1).transpose(1, 2).contiguous(), None


def _repeated(mask: torch.Tensor, groups: int) -> torch.Tensor:
    """Return the mask for grouped queries, [rows, 1, groups * tokens, positions]; all layers of a pass share it."""
    kept = getattr(mask, "sprint_lmeval_repeated", None)
    if kept is None or kept[0] != groups:
        mask.sprint_lmeval_repeated = kept = groups, mask.repeat(1, 1, groups, 1)
    return kept[1]


AttentionInterface.register(NAME, grouped_attention)


@contextmanager
def grouped(model: PreTrainedModel) -> Iterator[None]:
    """Within the block a model with SDPA attention computes it grouped; other models stay as they are."""
    configs = {id(c): c for c in (model.config, text_config(model.config))}.values()
    changed = [config for config in configs if getattr(config, "_attn_implementation", None) == "sdpa"]
    try:
        for config in changed:
            config._attn_implementation_internal = NAME
        yield
    finally:
        for config in changed:
            config._attn_implementation_internal = "sdpa"
