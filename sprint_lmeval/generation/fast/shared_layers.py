"""Computes lower layers once: a sub-model starts at the first layer it prunes, from what the unpruned model computed.

Below that layer a candidate computes what the unpruned model does. In that layer it still does so up to the output
projection of the attention, where its pruned heads are multiplied by zero. So the input of the layer and the input of
its projection are computed once (`LayerInput`), and each candidate starts from them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from sprint_lmeval.generation.fast.kv_cache import KeysValues, StopForward
from sprint_lmeval.generation.fast.probe import probe_of
from sprint_lmeval.pruning.heads import HeadLayout, decoder_layers


class LayerInput(NamedTuple):
    """From where a layer is computed.

    Attributes:
        hidden: input of the layer, [rows, tokens, width].
        heads: input of its output projection, [rows, tokens, heads * head_dim]; None where that cannot be replaced.
    """

    hidden: torch.Tensor
    heads: torch.Tensor | None

    def row(self, index: int, tokens: int) -> LayerInput:
        """Return the first tokens of one row."""
        return self._each(lambda part: part[[index], :tokens])

    def between(self, first: int, until: int) -> LayerInput:
        """Return tokens `first` to `until` of each row."""
        return self._each(lambda part: part[:, first:until])

    def rows(self, count: int) -> LayerInput:
        """Return one row as `count` equal ones, which share their memory."""
        return self._each(lambda part: part.expand(count, -1, -1))

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> LayerInput:
        return LayerInput(change(self.hidden), None if self.heads is None else change(self.heads))


@dataclass(eq=False)
class SharedLayers:
    """What the unpruned model computed of one text.

    Attributes:
        inputs: layer -> its input, one row, from position `start` on.
        keys_values: of all positions from 0 on, per layer; None above the last layer of `inputs`.
        start: position of the first token of the inputs.
        until: position behind the last token.
    """

    inputs: dict[int, LayerInput]
    keys_values: KeysValues
    start: int
    until: int

    def between(self, layer: int, first: int, until: int) -> LayerInput:
        """Return the layer's input at positions `first` to `until`."""
        return self.inputs[layer].between(first - self.start, until - self.start)

    def keep(self, layers: Collection[int]) -> None:
        """Drop the inputs of other layers."""
        self.inputs = {layer: given for layer, given in self.inputs.items() if layer in layers}


def padded(inputs: Sequence[LayerInput], width: int) -> LayerInput:
    """Return inputs of one row each as rows of `width` tokens, shorter ones padded on the right."""

    def rows(parts: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([torch.nn.functional.pad(part, (0, 0, 0, width - part.shape[1])) for part in parts])

    heads = None if inputs[0].heads is None else rows([given.heads for given in inputs])
    return LayerInput(rows([given.hidden for given in inputs]), heads)


class LayerInputs:
    """Takes layer inputs out of passes, and starts passes from them.

    Attributes:
        share_heads: whether the projection's input can be replaced: each attention returns what its projection gives.
        first_layer: at which passes start at present.
    """

    def __init__(self, model: PreTrainedModel, layout: HeadLayout) -> None:
        self.layers = decoder_layers(model)
        self._projections = [layer.projection for layer in layout.layers]
        probe = probe_of(model, layout)
        self._attentions, self._returned = probe.attentions, probe.returned
        self.share_heads, self.first_layer = self._returned is not None, 0

    @contextmanager
    def kept(self, numbers: Sequence[int]) -> Iterator[dict[int, LayerInput]]:
        """Within the block, a pass puts the inputs of layers `numbers` into the dict, and ends with `StopForward`."""
        inputs: dict[int, LayerInput] = {}
        hooks = []

        def keep_hidden(number: int, hidden: torch.Tensor) -> None:
            inputs[number] = LayerInput(hidden, None)
            if number == numbers[-1] and not self.share_heads:
                raise StopForward

        def keep_heads(number: int, heads: torch.Tensor) -> None:
            inputs[number] = inputs[number]._replace(heads=heads)
            if number == numbers[-1]:
                raise StopForward

        try:
            for number in numbers:
                hooks.append(_before(self.layers[number], keep_hidden, number))
                if self.share_heads:
                    hooks.append(_before(self._projections[number], keep_heads, number))
            yield inputs
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def starting_at(self, number: int, given: LayerInput) -> Iterator[None]:
        """Within the block, passes start at layer `number`; `given` has as many rows and tokens as they have."""
        stubs = dict.fromkeys(self.layers[:number], _same)
        if number:
            stubs[self.layers[number - 1]] = lambda *args, **kwargs: given.hidden
        if given.heads is not None:
            projection, others = self._projections[number], [None] * (self._returned[number] - 1)
            # GPT-2's projection refuses rows that share memory; the mask of a pruned row has copied them already.
            stubs[self._attentions[number]] = lambda *args, **kwargs: (projection(given.heads.contiguous()), *others)
        self.first_layer = number
        try:
            with _stubs(stubs):
                yield
        finally:
            self.first_layer = 0


def _before(module: nn.Module, keep: Callable[[int, torch.Tensor], None], number: int) -> RemovableHandle:
    def hook(_: nn.Module, args: tuple, kwargs: dict) -> None:
        keep(number, args[0] if args else kwargs["hidden_states"])

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _same(*args, **kwargs) -> torch.Tensor:
    return args[0] if args else kwargs["hidden_states"]


@contextmanager
def _stubs(stubs: dict) -> Iterator[None]:
    """Within the block, each module runs its stub instead of its own forward."""
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
