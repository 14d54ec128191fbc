"""One forward pass of a model over rows of different lengths, each with its own heads pruned.

A pass may end early, once its keys and values are written, and may start at an upper layer (`shared_layers.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from transformers import PreTrainedModel

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation.account import Account
from sprint_lmeval.generation.fast.device_limits import DeviceLimits, limits_of, release_free_memory
from sprint_lmeval.generation.fast.grouped_attention import grouped
from sprint_lmeval.generation.fast.kv_cache import RowCache, StopForward, TreeCache, cache_argument
from sprint_lmeval.generation.fast.lm_head import OutputHead, plain_head
from sprint_lmeval.generation.fast.probe import probe_of
from sprint_lmeval.generation.fast.shared_layers import LayerInput, LayerInputs
from sprint_lmeval.pruning.heads import HeadLayout, text_config
from sprint_lmeval.pruning.hooks import prune_heads

SECONDS_BETWEEN_RELEASES = 2.0


class Passes:
    """The passes of one model; no row may have more than `longest` tokens; `account` counts what they compute."""

    def __init__(
        self,
        model: PreTrainedModel,
        layout: HeadLayout,
        longest: int,
        limits: DeviceLimits | None = None,
        account: Account | None = None,
    ) -> None:
        self.model, self.layout, self.longest = model, layout, longest
        self.timed, self.account = account is not None, account or Account()
        self.inputs, self._released = LayerInputs(model, layout), time.monotonic()
        self.layers = self.inputs.layers
        self.limits = limits or limits_of(model)
        self._cache_argument = cache_argument(model.forward)
        self._bytes_per_logits = text_config(model.config).vocab_size * model.dtype.itemsize

    def head(self) -> OutputHead | None:
        """Return the output head by itself; None where it does more than give the logits."""
        return plain_head(self.model, probe_of(self.model, self.layout), self.limits.logits_bytes)

    def most_logits(self, rows: int) -> int:
        """Return how many tokens of each of `rows` rows may have logits in one pass; at least 1."""
        return max(1, min(self.limits.pass_tokens // rows, self.limits.logits_bytes // (rows * self._bytes_per_logits)))

    def most_tokens(self, rows: int) -> int:
        """Return how many tokens of each of `rows` rows one pass may read; at least 1."""
        return max(1, self.limits.pass_tokens // rows)

    def cache(self, rows: int, least_bytes: int = 0) -> RowCache:
        return RowCache(len(self.layers), rows, least_bytes)

    def tree_cache(self, slots: int) -> TreeCache:
        return TreeCache(len(self.layers), slots)

    def run(
        self, cache: RowCache, tokens: Sequence[Sequence[int]], candidates: Sequence[Candidate], logits: int
    ) -> torch.Tensor:
        """Read tokens [rows, n] in the first slots; returns logits [rows, `logits`, vocabulary] of the last tokens.

        The caller adds to the cache's lengths what it keeps.
        """
        with self._counted(tokens, len(self.layers)):
            return self._forward(cache, tokens, candidates, logits)[:, -logits:]  # some models ignore logits_to_keep

    def run_hidden(
        self,
        cache: RowCache,
        tokens: Sequence[Sequence[int]],
        candidates: Sequence[Candidate],
        count: int,
        head: OutputHead,
    ) -> torch.Tensor:
        """Read tokens as `run` does; returns the last hidden states [rows, `count`, width] instead of logits."""
        with self._counted(tokens, len(self.layers)):
            with head.left_out() as hidden:
                self._forward(cache, tokens, candidates, count)
            return hidden[0][:, -count:]

    def write(self, cache: RowCache, tokens: Sequence[Sequence[int]], candidates: Sequence[Candidate]) -> None:
        """Read tokens [rows, n] for their keys and values only."""
        cache.last_layer = len(self.layers) - 1
        try:
            with self._counted(tokens, len(self.layers) - 1), suppress(StopForward):
                self._forward(cache, tokens, candidates, 1)
        finally:
            cache.last_layer = None

    def enter(self, cache: RowCache, tokens: Sequence[Sequence[int]], numbers: Sequence[int]) -> dict[int, LayerInput]:
        """Read tokens [rows, n] unpruned, up to the last of the layers `numbers`; returns these layers' inputs."""
        with self._counted(tokens, numbers[-1]), self.inputs.kept(numbers) as inputs, suppress(StopForward):
            self._forward(cache, tokens, [BASE] * len(tokens), 1)
        return inputs

    @contextmanager
    def _counted(self, tokens: Sequence[Sequence[int]], until: int) -> Iterator[None]:
        """Count a pass that ends before layer `until`, and time it."""
        started = time.perf_counter()
        yield
        if self.timed and self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        share = max(0, until - self.inputs.first_layer) / len(self.layers)
        self.account.add_pass(len(tokens) * len(tokens[0]), time.perf_counter() - started, share)

    @torch.inference_mode()
    def _forward(self, cache: RowCache, tokens, candidates, logits: int) -> torch.Tensor:
        ids = torch.tensor(tokens, device=self.model.device)  # [rows, tokens]
        positions = cache.begin(*ids.shape)
        self._release_memory()
        with prune_heads(self.model, candidates, self.layout), grouped(self.model):
            return self.model(
                input_ids=ids,
                attention_mask=self._mask(cache.visible()),
                position_ids=positions.clamp(max=self.longest - 1).to(ids.device),
                use_cache=True,
                logits_to_keep=logits,
                **{self._cache_argument: cache},
            ).logits

    def _release_memory(self) -> None:
        if self.model.device.type == "cpu" and time.monotonic() - self._released > SECONDS_BETWEEN_RELEASES:
            release_free_memory()
            self._released = time.monotonic()

    def _mask(self, visible: torch.Tensor) -> torch.Tensor:
        """Additive mask [rows, 1, tokens, width], built once: every layer would convert a boolean mask again."""
        visible, dtype = visible.to(self.model.device), self.model.dtype
        return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
            ~visible, torch.finfo(dtype).min
        )
