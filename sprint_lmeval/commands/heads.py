"""`sprint-lmeval heads`: a model folder or hub id in, its layers and heads out.

Only the model's configuration is read: the model is built on the meta device, without weights.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from sprint_lmeval.strategies.head_lists import spread_candidates

if TYPE_CHECKING:
    from sprint_lmeval.pruning.heads import HeadLayout


def add(commands):
    parser = commands.add_parser("heads", help="list a model's layers and heads", allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="a model folder, a hub id, or tiny")
    parser.add_argument("--trust-remote-code", action="store_true", help="run model code from the hub")
    return parser


def call(options) -> str:
    """Return the listing."""
    return head_listing(options.model, trust_remote_code=options.trust_remote_code)


def head_listing(model: str, trust_remote_code: bool = False) -> str:
    """Return a text that lists the heads of `model` (`tiny`, a folder or a hub id).

    Raises:
        InputError: the model cannot be found, or its heads cannot be pruned.
    """
    from sprint_lmeval.checkpoints.pretrained import config_heads, resolve_pretrained

    layout = config_heads(resolve_pretrained(model), trust_remote_code=trust_remote_code)
    return "\n".join(f"{name:<13} {value}" for name, value in listed(model, layout))


def listed(model: str, layout: HeadLayout) -> list[tuple[str, str]]:
    """Return (name, value) lines; consecutive layers of equal shape share one."""
    heads = [layer.heads for layer in layout.layers]
    spread = spread_candidates(heads)
    spread_layers = sorted({layer for candidate in spread for layer, _ in candidate.heads})
    last = len(heads) - 1
    return [
        ("model", model),
        ("architecture", layout.architecture),
        ("layers", f"{len(heads)}: L0 … L{last}"),
        *[("heads", line) for line in layer_lines(layout.layers)],
        ("single heads", f"{sum(heads)}: L0H0 … L{last}H{heads[last] - 1}"),
        ("spread", f"{len(spread)} heads of layers {', '.join(map(str, spread_layers))}"),
    ]


def layer_lines(layers: tuple) -> list[str]:
    """Return one line per run of layers with the same number and width of heads."""
    lines = []
    for (heads, head_dim), run in groupby(enumerate(layers), key=lambda item: (item[1].heads, item[1].head_dim)):
        numbers = [number for number, _ in run]
        where = f"L{numbers[0]}" + (f" … L{numbers[-1]}" if len(numbers) > 1 else "")
        lines.append(f"{where}: {heads} each, H0 … H{heads - 1}, head_dim {head_dim}")
    return lines
