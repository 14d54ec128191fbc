"""Keys and values of rows of different lengths in one batch.

A row's next tokens are written right behind its own last one, at whatever place that is: rows of one batch need no
common length, a rejected token is forgotten by not counting it, and a finished row's place goes to another row.
Places are positions, so rotary, learned and windowed positions stay what they are for the row alone.

Rows read what stands in masked places too, with weight zero: such places must hold finite numbers.
"""

from __future__ import annotations

import math

import torch
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

GROWTH = 32  # places added at a time

Parts = list  # one row taken out: per layer its (keys, values), [heads, time, dim] each, or None for a layer never run


class Written(Exception):
    """Raised inside a forward pass once the keys and values that were wanted are in the cache."""


class _RowLayer(CacheLayerMixin):
    """One layer: keys and values [rows, heads, places, dim]."""

    is_sliding = False

    def __init__(self, owner: RowCache) -> None:
        super().__init__()
        self.owner = owner

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        shape = (self.owner.rows, key_states.shape[1], self.owner.places)
        least = self.owner.least_bytes // (2 * len(self.owner.layers))
        self.keys = _zeros(key_states, (*shape, key_states.shape[-1]), least)
        self.values = _zeros(value_states, (*shape, value_states.shape[-1]), least)
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs) -> tuple:
        """Write [rows, heads, tokens, dim] behind each row's last place; return everything up to the longest row."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.grow(self.owner.places)
        first, where = self.owner.index(key_states.device)
        self.keys[first, :, where] = key_states.transpose(1, 2)
        self.values[first, :, where] = value_states.transpose(1, 2)
        count, width = len(key_states), self.owner.width
        return self.keys[:count, :, :width], self.values[:count, :, :width]

    def grow(self, places: int) -> None:
        if self.keys.shape[2] < places:
            self.resize(self.keys.shape[0], places, self.keys.shape[0])

    @torch.inference_mode()
    def resize(self, rows: int, places: int, kept: int) -> None:
        self.keys = _resized(self.keys, rows, places, kept)
        self.values = _resized(self.values, rows, places, kept)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.owner.width, 0

    def get_seq_length(self) -> int:
        return self.owner.width

    def get_max_length(self) -> int:
        return -1


class RowCache(Cache):
    """A transformers cache of `rows` rows with a length each.

    Attributes:
        lengths: places that count, per row; [rows], on the CPU.
        width: places that the current pass sees.
        places: places that there is room for; grows by itself.
        least_bytes: memory that is taken at once, for this and later shapes.
        last_layer: where set, a pass ends with `Written` when this layer's keys and values are there.
    """

    def __init__(self, layers: int, rows: int, least_bytes: int = 0) -> None:
        self.rows, self.places, self.width, self.least_bytes = rows, 0, 0, least_bytes
        self.lengths = torch.zeros(rows, dtype=torch.long)
        self.where = torch.zeros(0, 0, dtype=torch.long)
        self.last_layer: int | None = None
        super().__init__(layers=[_RowLayer(self) for _ in range(layers)])

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs) -> tuple:
        found = self.layers[layer_idx].update(key_states, value_states)
        if layer_idx == self.last_layer:
            raise Written
        return found

    def resize(self, rows: int, places: int, kept: int) -> None:
        """Make room for `rows` rows of `places` places; the first `kept` rows stay."""
        lengths = self.lengths.new_zeros(rows)
        lengths[:kept] = self.lengths[:kept]
        self.rows, self.places, self.lengths = rows, places, lengths
        for layer in self.layers:
            if layer.is_initialized:
                layer.resize(rows, places, kept)

    def begin_anew(self, rows: int, places: int) -> None:
        """Forget everything, and have room for at least so much."""
        if rows > self.rows or places > self.places:
            self.resize(max(rows, self.rows), max(up_to_growth(places), self.places), kept=0)
        self.lengths.zero_()
        if not self._finite(slice(None)):
            self._blank(slice(None))

    @property
    def bytes_per_place(self) -> int:
        """Return how much memory a place of one row takes, layers that have not run taken for like the others."""
        layers = [layer for layer in self.layers if layer.is_initialized]
        known = sum(t.shape[1] * t.shape[3] * t.element_size() for layer in layers for t in (layer.keys, layer.values))
        return known * len(self.layers) // max(1, len(layers))

    def begin(self, count: int, tokens: int) -> torch.Tensor:
        """Prepare a pass of the first `count` rows with `tokens` new tokens each; returns their places [rows, tokens].

        The tokens are kept only by adding to `lengths` afterwards.
        """
        self.where = self.lengths[:count, None] + torch.arange(tokens)
        self.width = int(self.lengths[:count].max()) + tokens
        if self.width > self.places:
            self.places = up_to_growth(self.width)
        self._indices: dict = {}
        return self.where

    def index(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        if device not in self._indices:
            rows = torch.arange(len(self.where))[:, None]
            self._indices[device] = rows.to(device), self.where.to(device)
        return self._indices[device]

    def visible(self) -> torch.Tensor:
        """Return which places each new token sees: its own and those before it, [rows, 1, tokens, width]."""
        return (torch.arange(self.width) <= self.where[:, :, None])[:, None]

    @torch.inference_mode()
    def take(self, row: int, length: int) -> Parts:
        """Return the first `length` places of a row: views, which change with the cache (`copied` keeps them)."""
        return [
            (layer.keys[row, :, :length], layer.values[row, :, :length]) if layer.is_initialized else None
            for layer in self.layers
        ]

    @torch.inference_mode()
    def put(self, row: int, parts: Parts, length: int) -> None:
        """Let a row begin with `length` places; layers without parts stay as they are."""
        self.lengths[row] = length
        if length > self.places:
            self.places = up_to_growth(length)
        for layer, part in zip(self.layers, parts, strict=True):
            if part is None:
                continue
            keys, values = part
            if not layer.is_initialized:
                layer.lazy_initialization(keys[None], values[None])
            layer.grow(self.places)
            layer.keys[row, :, :length], layer.values[row, :, :length] = keys[:, :length], values[:, :length]

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        """Give the places of row `source` to row `target`."""
        self.leave([target])
        length = int(self.lengths[source])
        self.lengths[target] = length
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[target, :, :length] = layer.keys[source, :, :length]
                layer.values[target, :, :length] = layer.values[source, :, :length]
        self.leave([source])

    def leave(self, rows: list[int]) -> None:
        """Let go of rows; numbers that are not finite do not stay for the next ones to read."""
        if rows and not self._finite(rows):
            self._blank(rows)

    def _finite(self, rows: list[int] | slice) -> bool:
        """Return whether nothing has overflowed; in other types than float16 nothing does."""
        layers = [layer for layer in self.layers if layer.is_initialized and layer.keys.dtype == torch.float16]
        return all(bool(t[rows].isfinite().all()) for layer in layers for t in (layer.keys, layer.values))

    @torch.inference_mode()
    def _blank(self, rows: list[int] | slice) -> None:
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[rows], layer.values[rows] = 0, 0


def up_to_growth(places: int) -> int:
    return -(-places // GROWTH) * GROWTH


def copied(parts: Parts, first: int = 0) -> Parts:
    """Return parts that keep their numbers; those of layers before `first` need no copy."""
    return [
        part and (part[0].clone(), part[1].clone()) if number >= first else part for number, part in enumerate(parts)
    ]


def bytes_of(parts: Parts) -> int:
    """Return how much memory the numbers of parts take."""
    return sum(t.numel() * t.element_size() for part in parts if part is not None for t in part)


def _resized(old: torch.Tensor, rows: int, places: int, kept: int) -> torch.Tensor:
    """Return [rows, heads, places, dim] with the first `kept` rows of `old`, in the same memory where there is enough.

    New memory at every change would leave holes that nothing else fits into.
    """
    shape = (rows, old.shape[1], places, old.shape[3])
    kept, most = min(kept, len(old)), min(places, old.shape[2])
    keep = old[:kept, :, :most].clone()
    new = _zeros(old, shape, old.untyped_storage().nbytes(), old)
    new[:kept, :, :most] = keep
    return new


def _zeros(like: torch.Tensor, shape: tuple[int, ...], least: int, reused: torch.Tensor | None = None) -> torch.Tensor:
    """Return zeros at the beginning of at least `least` bytes of memory: that of `reused` where it suffices."""
    size, least = math.prod(shape), least // like.element_size()
    whole = reused if reused is not None and size <= least else like.new_empty(max(size, least))
    return whole.as_strided((size,), (1,), 0).view(shape).zero_()
