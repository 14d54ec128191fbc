"""What rows with the same tokens compute alike: kept from one pass, put in where the passes of others begin.

Below the first layer that a candidate prunes it computes what the unpruned model does, and in that layer still
everything up to the output projection of the attention, where its heads' values are multiplied by zero. So what enters
a layer and what enters that projection are computed once (`Entry`), and a candidate's own computation begins with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from sprint_lmeval.generation.fast.kv_cache import Written
from sprint_lmeval.pruning.heads import HeadLayout, decoder_layers

_returned: WeakKeyDictionary = WeakKeyDictionary()


class Entry(NamedTuple):
    """Where a layer begins on its own.

    Attributes:
        hidden: what enters the layer, [rows, tokens, width].
        heads: what enters its output projection, [rows, tokens, heads * head_dim]; None where it cannot be put in.
    """

    hidden: torch.Tensor
    heads: torch.Tensor | None

    def row(self, place: int, tokens: int) -> Entry:
        """Return the first tokens of one row."""
        return self._each(lambda part: part[[place], :tokens])

    def between(self, first: int, until: int) -> Entry:
        """Return these tokens of each row."""
        return self._each(lambda part: part[:, first:until])

    def rows(self, count: int) -> Entry:
        """Return one row as `count` equal ones, which share their memory."""
        return self._each(lambda part: part.expand(count, -1, -1))

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Entry:
        return Entry(change(self.hidden), None if self.heads is None else change(self.heads))


def padded(entries: Sequence[Entry], width: int) -> Entry:
    """Return entries of one row each as rows of `width` tokens, shorter ones padded on the right."""

    def rows(parts: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([torch.nn.functional.pad(part, (0, 0, 0, width - part.shape[1])) for part in parts])

    heads = None if entries[0].heads is None else rows([entry.heads for entry in entries])
    return Entry(rows([entry.hidden for entry in entries]), heads)


class LayerEntries:
    """The layers of one model.

    Attributes:
        share_heads: whether heads can be put in: every attention returns just what its output projection gives.
    """

    def __init__(self, model: PreTrainedModel, layout: HeadLayout) -> None:
        self.layers = decoder_layers(model)
        self._projections = [layer.projection for layer in layout.layers]
        self._attentions = list(map(_owner, self.layers, self._projections))
        if model not in _returned:
            _returned[model] = _counts_returned(model, self._attentions, self._projections)
        self._counts = _returned[model]
        self.share_heads = self._counts is not None

    @contextmanager
    def kept(self, numbers: Sequence[int]) -> Iterator[dict[int, Entry]]:
        """Within the block, a pass leaves the entries of layers `numbers` in the dict and ends with `Written` there."""
        entries: dict[int, Entry] = {}
        hooks = []

        def keep_hidden(number: int, hidden: torch.Tensor) -> None:
            entries[number] = Entry(hidden, None)
            if number == numbers[-1] and not self.share_heads:
                raise Written

        def keep_heads(number: int, heads: torch.Tensor) -> None:
            entries[number] = entries[number]._replace(heads=heads)
            if number == numbers[-1]:
                raise Written

        try:
            for number in numbers:
                hooks.append(_before(self.layers[number], keep_hidden, number))
                if self.share_heads:
                    hooks.append(_before(self._projections[number], keep_heads, number))
            yield entries
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def beginning_at(self, number: int, entry: Entry) -> Iterator[None]:
        """Within the block, passes begin at layer `number` with an entry of as many rows and tokens."""
        stubs = dict.fromkeys(self.layers[:number], _same)
        if number:
            stubs[self.layers[number - 1]] = lambda *args, **kwargs: entry.hidden
        if entry.heads is not None:
            projection, others = self._projections[number], [None] * (self._counts[number] - 1)
            # GPT-2's projection refuses rows that share memory; where one of them is pruned, that has copied them.
            stubs[self._attentions[number]] = lambda *args, **kwargs: (projection(entry.heads.contiguous()), *others)
        with _stubs(stubs):
            yield


def _owner(layer: nn.Module, projection: nn.Module) -> nn.Module:
    return next(module for module in layer.modules() if projection in list(module.children()))


def _before(module: nn.Module, keep: Callable[[int, torch.Tensor], None], number: int) -> RemovableHandle:
    def hook(_: nn.Module, args: tuple, kwargs: dict) -> None:
        keep(number, args[0] if args else kwargs["hidden_states"])

    return module.register_forward_pre_hook(hook, with_kwargs=True)


@torch.inference_mode()
def _counts_returned(
    model: PreTrainedModel, attentions: Sequence[nn.Module], projections: Sequence[nn.Module]
) -> list[int] | None:
    """Return how many things each attention returns; None where the first is not its projection's output."""
    projected: dict[nn.Module, list[torch.Tensor]] = {module: [] for module in projections}
    returned: dict[nn.Module, list[object]] = {module: [] for module in attentions}

    def keep_projected(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        if inputs and inputs[0].ndim == 3:
            projected[module].append(output.clone())  # it may be changed in place

    hooks = [module.register_forward_hook(keep_projected) for module in projections]
    for module in attentions:
        hooks.append(module.register_forward_hook(lambda module, _, output: returned[module].append(output)))
    try:
        with torch.compiler.set_stance("force_eager"):
            model(input_ids=torch.tensor([[1, 0]], device=model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    counts = [_count(returned[a], projected[p]) for a, p in zip(attentions, projections, strict=True)]
    return counts if all(counts) else None


def _count(returned: list[object], projected: list[torch.Tensor]) -> int:
    if len(returned) != 1 or len(projected) != 1 or not isinstance(returned[0], tuple):
        return 0
    return len(returned[0]) if torch.equal(returned[0][0], projected[0]) else 0


def _same(*args, **kwargs) -> torch.Tensor:
    return args[0] if args else kwargs["hidden_states"]


@contextmanager
def _stubs(stubs: dict) -> Iterator[None]:
    """Within the block, modules do what stands beside them instead of their own forward."""
    kept = {module: module.__dict__.get("forward") for module in stubs}
    try:
        for module, stub in stubs.items():
            module.forward = stub
        yield
    finally:
        for module, forward in kept.items():
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = forward
