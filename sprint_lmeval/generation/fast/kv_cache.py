"""Keys and values of rows of different lengths in one batch.

Each row has a slot, and a length of its own: its next tokens are written behind its own last one. So a rejected token
is forgotten by not counting it, and a finished row's slot goes to another row. The index in the cache is the token's
position, so rotary, learned and windowed positions are those of the row alone.

Attention reads masked positions too, with weight zero: they must hold finite numbers.
"""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable

import torch
from transformers import Cache, GenerationMixin
from transformers.cache_utils import CacheLayerMixin

GROWTH = 32  # positions added at a time

KeysValues = list  # of one row: per layer (keys, values), [heads, time, dim] each, or None where the layer has not run


def cache_argument(function: Callable) -> str:
    """Return the name under which a function of transformers takes the cache.

    `cache` from 5.24 on, `past_key_values` before, and in models whose code comes from the hub.
    """
    parameters = inspect.signature(function).parameters
    known = (*parameters, *inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters)
    return next(name for name in known if name in ("cache", "past_key_values"))


class StopForward(Exception):
    """Raised inside a forward pass to end it there: what the pass was for has been computed."""


class _RowLayer(CacheLayerMixin):
    """One layer: keys and values [slots, heads, positions, dim]."""

    is_sliding = False

    def __init__(self, owner: RowCache) -> None:
        super().__init__()
        self.owner = weakref.proxy(owner)  # a circle would keep the memory until garbage is collected

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        shape = (self.owner.slots, key_states.shape[1], self.owner.positions)
        least = self.owner.least_bytes // (2 * len(self.owner.layers))
        self.keys = _zeros(key_states, (*shape, key_states.shape[-1]), least)
        self.values = _zeros(value_states, (*shape, value_states.shape[-1]), least)
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs) -> tuple:
        """Write [rows, heads, tokens, dim] behind each row's last position; return everything up to the longest row."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.grow(self.owner.positions)
        slots, positions = self.owner.index(key_states.device)
        self.keys[slots, :, positions] = key_states.transpose(1, 2)
        self.values[slots, :, positions] = value_states.transpose(1, 2)
        rows, width = self.owner.rows(key_states), self.owner.width
        return self.keys[:, :, :width][rows], self.values[:, :, :width][rows]

    def grow(self, positions: int) -> None:
        if self.keys.shape[2] < positions:
            self.resize(len(self.keys), positions, len(self.keys))

    @torch.inference_mode()
    def resize(self, slots: int, positions: int, kept: int) -> None:
        self.keys = _resized(self.keys, slots, positions, kept)
        self.values = _resized(self.values, slots, positions, kept)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.owner.width, 0

    def get_seq_length(self) -> int:
        return self.owner.width

    def get_max_length(self) -> int:
        return -1


class RowCache(Cache):
    """A transformers cache with a length for each slot.

    Attributes:
        slots: rows that there is room for.
        lengths: tokens in each slot; [slots], on the CPU.
        positions: tokens that a slot has room for; grows by itself.
        width: positions that the current pass sees.
        new_positions: of the current pass's tokens, [rows, tokens].
        least_bytes: memory that is taken at once, for this and later shapes.
        last_layer: where set, a pass ends with `StopForward` when this layer's keys and values are there.
    """

    def __init__(self, layers: int, slots: int, least_bytes: int = 0) -> None:
        self.slots, self.positions, self.width, self.least_bytes = slots, 0, 0, least_bytes
        self.lengths = torch.zeros(slots, dtype=torch.long)
        self.new_positions = torch.zeros(0, 0, dtype=torch.long)
        self.last_layer: int | None = None
        super().__init__(layers=[_RowLayer(self) for _ in range(layers)])

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs) -> tuple:
        found = self.layers[layer_idx].update(key_states, value_states)
        if layer_idx == self.last_layer:
            raise StopForward
        return found

    def resize(self, slots: int, positions: int, kept: int) -> None:
        """Make room for `slots` rows of `positions` tokens; the first `kept` slots keep their rows."""
        lengths = self.lengths.new_zeros(slots)
        lengths[:kept] = self.lengths[:kept]
        self.slots, self.positions, self.lengths = slots, positions, lengths
        for layer in self.layers:
            if layer.is_initialized:
                layer.resize(slots, positions, kept)

    def begin_anew(self, slots: int, positions: int) -> None:
        """Empty all slots, and have room for at least so much."""
        if slots > self.slots or positions > self.positions:
            self.resize(max(slots, self.slots), max(rounded_up(positions), self.positions), kept=0)
        self.lengths.zero_()
        if not self._finite(slice(None)):
            self._blank(slice(None))

    @property
    def bytes_per_position(self) -> int:
        """Return the memory of one token of one row; a layer that has not run counts as much as the others."""
        layers = [layer for layer in self.layers if layer.is_initialized]
        known = sum(t.shape[1] * t.shape[3] * t.element_size() for layer in layers for t in (layer.keys, layer.values))
        return known * len(self.layers) // max(1, len(layers))

    def begin(self, count: int, tokens: int) -> torch.Tensor:
        """Prepare a pass of `tokens` new tokens in each of the first slots; returns their positions [count, tokens].

        The tokens count only once they are added to `lengths`.
        """
        self.new_positions = self.lengths[:count, None] + torch.arange(tokens)
        self._begin(self.new_positions, int(self.lengths[:count].max()) + tokens)
        return self.new_positions

    def _begin(self, cells: torch.Tensor, width: int) -> None:
        """Let the pass write to `cells` [count, tokens] of the slots, and see the first `width`."""
        self._cells, self.width = cells, width
        if self.width > self.positions:
            self.positions = rounded_up(self.width)
        self._indices: dict = {}

    def index(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        if device not in self._indices:
            self._indices[device] = self._slots(len(self._cells))[:, None].to(device), self._cells.to(device)
        return self._indices[device]

    def _slots(self, count: int) -> torch.Tensor:
        """Return the slots of the current pass."""
        return torch.arange(count)

    def rows(self, states: torch.Tensor) -> slice | torch.Tensor:
        """Return the slots of the current pass, which reads `states` [rows, ...]."""
        return slice(len(states))

    def visible(self) -> torch.Tensor:
        """Return which positions each new token sees: its own and those before it, [rows, 1, tokens, width]."""
        return (torch.arange(self.width) <= self.new_positions[:, :, None])[:, None]

    @torch.inference_mode()
    def take(self, slot: int, length: int) -> KeysValues:
        """Return the first `length` positions of a slot: views, which change with the cache (`copied` keeps them)."""
        return [
            (layer.keys[slot, :, :length], layer.values[slot, :, :length]) if layer.is_initialized else None
            for layer in self.layers
        ]

    @torch.inference_mode()
    def put(self, slot: int, row: KeysValues, length: int) -> None:
        """Put the first `length` positions of a row into a slot; layers for which it has none stay as they are."""
        self.lengths[slot] = length
        if length > self.positions:
            self.positions = rounded_up(length)
        for layer, of_layer in zip(self.layers, row, strict=True):
            if of_layer is None:
                continue
            keys, values = of_layer
            if not layer.is_initialized:
                layer.lazy_initialization(keys[None], values[None])
            layer.grow(self.positions)
            layer.keys[slot, :, :length], layer.values[slot, :, :length] = keys[:, :length], values[:, :length]

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        """Move the row in slot `source` to slot `target`."""
        self.leave([target])
        length = int(self.lengths[source])
        self.lengths[target] = length
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[target, :, :length] = layer.keys[source, :, :length]
                layer.values[target, :, :length] = layer.values[source, :, :length]
        self.leave([source])

    def leave(self, slots: list[int]) -> None:
        """Empty slots; numbers that are not finite do not stay for the next rows to read."""
        if slots and not self._finite(slots):
            self._blank(slots)

    def _finite(self, slots: list[int] | slice) -> bool:
        """Return whether nothing has overflowed; in other types than float16 nothing does."""
        layers = [layer for layer in self.layers if layer.is_initialized and layer.keys.dtype == torch.float16]
        return all(bool(t[slots].isfinite().all()) for layer in layers for t in (layer.keys, layer.values))

    @torch.inference_mode()
    def _blank(self, slots: list[int] | slice) -> None:
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[slots], layer.values[slots] = 0, 0


class TreeCache(RowCache):
    """A cache whose slots hold trees: answers to one prompt, and what they share once.

    A token may stand in any cell of its slot, so its index is not its position, and it sees only its own path.
    """

    def plan(self, slots: list[int], cells: torch.Tensor, positions: torch.Tensor, visible: torch.Tensor) -> None:
        """Say where the next pass writes and what it sees.

        Args:
            slots: of the trees that it reads.
            cells: index in the slot of each token, [slots, tokens].
            positions: of the tokens in their texts, [slots, tokens].
            visible: which cells each token sees, its own included, [slots, tokens, width].
        """
        self._planned = slots, cells
        self.new_positions, self._visible = positions, visible

    def begin(self, count: int, tokens: int) -> torch.Tensor:
        self._begin(self._planned[1], self._visible.shape[-1])
        return self.new_positions

    def _slots(self, count: int) -> torch.Tensor:
        return torch.tensor(self._planned[0])

    def rows(self, states: torch.Tensor) -> slice | torch.Tensor:
        slots = self._planned[0]
        if slots == list(range(slots[0], slots[0] + len(slots))):
            return slice(slots[0], slots[0] + len(slots))
        return self.index(states.device)[0][:, 0]

    def visible(self) -> torch.Tensor:
        return self._visible[:, None]


def rounded_up(positions: int) -> int:
    return -(-positions // GROWTH) * GROWTH


def copied(row: KeysValues, first: int = 0) -> KeysValues:
    """Return a copy of layers `first` and above; the layers below stay views."""
    return [kv and (kv[0].clone(), kv[1].clone()) if number >= first else kv for number, kv in enumerate(row)]


def bytes_of(row: KeysValues) -> int:
    return sum(t.numel() * t.element_size() for kv in row if kv is not None for t in kv)


def _resized(old: torch.Tensor, slots: int, positions: int, kept: int) -> torch.Tensor:
    """Return [slots, heads, positions, dim] with the first `kept` slots of `old`, in its memory where that suffices.

    New memory at every change would leave holes that nothing else fits into.
    """
    shape = (slots, old.shape[1], positions, old.shape[3])
    kept, most = min(kept, len(old)), min(positions, old.shape[2])
    keep = old[:kept, :, :most].clone()
    new = _zeros(old, shape, old.untyped_storage().nbytes(), old)
    new[:kept, :, :most] = keep
    return new


def _zeros(like: torch.Tensor, shape: tuple[int, ...], least: int, reused: torch.Tensor | None = None) -> torch.Tensor:
    """Return zeros, at the beginning of at least `least` bytes: the memory of `reused` where that suffices."""
    size, least = math.prod(shape), least // like.element_size()
    whole = reused if reused is not None and size <= least else like.new_empty(max(size, least))
    return whole.as_strided((size,), (1,), 0).view(shape).zero_()
