"""What a trial pass finds out about a model: what its attentions return, and whether its output head gives the logits.

In: a model and its heads. Out: a `Probe`, made once for each model of a process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from sprint_lmeval.pruning.heads import HeadLayout, decoder_layers

_probes: WeakKeyDictionary[PreTrainedModel, Probe] = WeakKeyDictionary()


@dataclass
class Probe:
    """What is known of one model.

    Attributes:
        attentions: the modules that own the output projections, by layer.
        returned: how many values each attention returns; None unless the first is always its projection's output.
        head_gives_logits: whether the logits are exactly what the output head returns, not scaled or capped.
        comparisons: attention kind, dtype and autocast -> why rows may not be decoded the fast way, or None.
    """

    attentions: list[nn.Module]
    returned: list[int] | None
    head_gives_logits: bool
    comparisons: dict[tuple, str | None] = field(default_factory=dict)


def probe_of(model: PreTrainedModel, layout: HeadLayout) -> Probe:
    if model not in _probes:
        _probes[model] = _probed(model, layout)
    return _probes[model]


@torch.inference_mode()
def _probed(model: PreTrainedModel, layout: HeadLayout) -> Probe:
    projections = [layer.projection for layer in layout.layers]
    attentions = list(map(_owner, decoder_layers(model), projections))
    head = model.get_output_embeddings()
    outputs: dict[nn.Module, list] = {module: [] for module in (*projections, *attentions, head) if module is not None}

    def keep(module: nn.Module, _: tuple, output: object) -> None:
        outputs[module].append(output.clone() if isinstance(output, torch.Tensor) else output)  # may change in place

    hooks = [module.register_forward_hook(keep) for module in outputs]
    try:
        with torch.compiler.set_stance("force_eager"):
            logits = model(input_ids=torch.tensor([[1, 0]], device=model.device), use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    counts = [_count(outputs[a], outputs[p]) for a, p in zip(attentions, projections, strict=True)]
    return Probe(attentions, counts if all(counts) else None, _equal(outputs.get(head, []), logits))


def _owner(layer: nn.Module, projection: nn.Module) -> nn.Module:
    return next(module for module in layer.modules() if projection in list(module.children()))


def _count(returned: list, projected: list) -> int:
    """Return how many values an attention returns; 0 unless the first of them is its projection's output."""
    if len(returned) != 1 or len(projected) != 1 or not isinstance(returned[0], tuple) or projected[0].ndim != 3:
        return 0
    return len(returned[0]) if torch.equal(returned[0][0], projected[0]) else 0


def _equal(given: list, logits: torch.Tensor) -> bool:
    return len(given) == 1 and given[0].dtype == logits.dtype and torch.equal(given[0], logits)
