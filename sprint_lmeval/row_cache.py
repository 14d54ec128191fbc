"""Keys and values of rows of different lengths in one batch.

A row's next tokens are written right behind its own last one, at whatever place that is: rows of one batch need no
common length, a rejected token is forgotten by not counting it, and a finished row's place goes to another row.
Places are positions, so rotary, learned and windowed positions stay what they are for the row alone.
"""

from __future__ import annotations

import torch
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

GROWTH = 64  # places added at a time

Parts = list  # one row taken out: per layer its (keys, values), [heads, time, dim] each, or None for a layer never run


class _RowLayer(CacheLayerMixin):
    """One layer: keys and values [rows, heads, places, dim]."""

    is_sliding = False

    def __init__(self, owner: RowCache) -> None:
        super().__init__()
        self.owner = owner

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        shape = (self.owner.rows, key_states.shape[1], self.owner.places)
        self.keys = key_states.new_zeros((*shape, key_states.shape[-1]))
        self.values = value_states.new_zeros((*shape, value_states.shape[-1]))
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
            more = (0, 0, 0, places - self.keys.shape[2])
            self.keys, self.values = (torch.nn.functional.pad(t, more) for t in (self.keys, self.values))

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
    """

    def __init__(self, layers: int, rows: int) -> None:
        self.rows, self.places, self.width = rows, 0, 0
        self.lengths = torch.zeros(rows, dtype=torch.long)
        self.where = torch.zeros(0, 0, dtype=torch.long)
        super().__init__(layers=[_RowLayer(self) for _ in range(layers)])

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs) -> tuple:
        return self.layers[layer_idx].update(key_states, value_states)

    def begin(self, count: int, tokens: int) -> torch.Tensor:
        """Prepare a pass of the first `count` rows with `tokens` new tokens each; returns their places [rows, tokens].

        The tokens are kept only by adding to `lengths` afterwards.
        """
        self.where = self.lengths[:count, None] + torch.arange(tokens)
        self.width = int(self.lengths[:count].max()) + tokens
        if self.width > self.places:
            self.places = -(-self.width // GROWTH) * GROWTH
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
        """Return copies of the first `length` places of a row."""
        return [
            (layer.keys[row, :, :length].clone(), layer.values[row, :, :length].clone())
            if layer.is_initialized
            else None
            for layer in self.layers
        ]

    @torch.inference_mode()
    def put(self, row: int, parts: Parts, length: int) -> None:
        """Let a row begin with `length` places; layers without parts stay as they are."""
        self.lengths[row] = length
        if length > self.places:
            self.places = -(-length // GROWTH) * GROWTH
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
        length = int(self.lengths[source])
        self.lengths[target] = length
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[target, :, :length] = layer.keys[source, :, :length]
                layer.values[target, :, :length] = layer.values[source, :, :length]
