"""Lists of candidates that a model's shape gives: those of `spread`, and every head of some layers for a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError

SPREAD_DEPTHS, SPREAD_OF = (5, 10, 15, 20, 25), 28  # the paper's layers, of the 28 of Qwen2.5-Math-1.5B


def spread_candidates(heads_per_layer: Sequence[int]) -> list[Candidate]:
    """Return single heads round-robin over the layers at the paper's relative depths, which `spread` has behind `base`.

    Args:
        heads_per_layer: number of heads of each layer of the model, layer 0 first.
    """
    depth = len(heads_per_layer)
    layers = sorted({d * depth // SPREAD_OF for d in SPREAD_DEPTHS})
    widest = max(heads_per_layer[layer] for layer in layers)
    return [Candidate(((layer, h),)) for h in range(widest) for layer in layers if h < heads_per_layer[layer]]


def parse_layers(text: str | None, heads: list[int]) -> list[int]:
    """Return layer numbers from `all`, or numbers and ranges such as `4,8,12` and `0-7`; None: those of `spread`."""
    if text is None:
        return sorted({layer for candidate in spread_candidates(heads) for layer, _ in candidate.heads})
    if text.strip() == "all":
        return list(range(len(heads)))
    layers: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(first) > 4 or len(last) > 4:
            raise InputError(f"--layers {text} given, it must be all, or numbers and ranges such as 4,8,12 or 0-7")
        layers += range(int(first), int(last or first) + 1)
    outside = [layer for layer in layers if layer >= len(heads)]
    if outside or not layers or len(set(layers)) < len(layers):
        what = f"layer {outside[0]}" if outside else "a layer twice or none"
        raise InputError(f"--layers {text} given, which has {what}: the model has layers 0-{len(heads) - 1}")
    return sorted(layers)


def every_head(heads: list[int], layers: list[int]) -> list[Candidate]:
    """Return base and each head of the layers by itself."""
    return [BASE, *(Candidate(((layer, head),)) for layer in layers for head in range(heads[layer]))]
