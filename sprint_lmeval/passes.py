"""One forward pass of a model over rows of different lengths, each with its own heads pruned.

Also the pass that leaves lower layers out: below the first layer that any of its candidates prunes, rows with the same
tokens compute the same, so their common hidden states are computed once (`Trunk`) and put in where the others begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from sprint_lmeval.architectures import HeadLayout, decoder_layers, text_config
from sprint_lmeval.candidates import Candidate
from sprint_lmeval.grouped_attention import grouped
from sprint_lmeval.pruning import prune_heads
from sprint_lmeval.row_cache import RowCache

LOGITS_BYTES = 256 << 20  # in one pass; with 150,000 tokens in a vocabulary they outgrow everything else


class Passes:
    """The passes of one model; `longest` is the highest number of places that any row may have."""

    def __init__(self, model: PreTrainedModel, layout: HeadLayout, longest: int) -> None:
        self.model, self.layout, self.longest = model, layout, longest
        self.layers = decoder_layers(model)
        self.additive = getattr(model.config, "_attn_implementation", None) != "sdpa"
        self.free_tokens = free_tokens_of(model)
        self._bytes_per_logits = text_config(model.config).vocab_size * model.dtype.itemsize

    def most_logits(self, rows: int) -> int:
        """Return how many places of each of `rows` rows may have logits in one pass; at least 1."""
        return max(1, LOGITS_BYTES // (rows * self._bytes_per_logits))

    def cache(self, rows: int) -> RowCache:
        return RowCache(len(self.layers), rows)

    @torch.inference_mode()
    def run(
        self, cache: RowCache, tokens: Sequence[Sequence[int]], candidates: Sequence[Candidate], logits: int
    ) -> torch.Tensor:
        """Read the same number of tokens in each row; returns logits [rows, `logits`, vocabulary] of the last ones.

        The cache's first `len(tokens)` rows take part; their lengths are left to the caller.
        """
        ids = torch.tensor(tokens, device=self.model.device)  # [rows, tokens]
        places = cache.begin(*ids.shape)
        with prune_heads(self.model, candidates, self.layout), grouped(self.model):
            output = self.model(
                input_ids=ids,
                attention_mask=self._mask(cache.visible()),
                position_ids=places.clamp(max=self.longest - 1).to(ids.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=logits,
            )
        return output.logits[:, -logits:]  # a model may take no notice of logits_to_keep

    def _mask(self, visible: torch.Tensor) -> torch.Tensor:
        visible = visible.to(self.model.device)
        if not self.additive:
            return visible
        dtype = self.model.dtype
        return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
            ~visible, torch.finfo(dtype).min
        )

    @contextmanager
    def capturing(self, before: Sequence[int]) -> Iterator[dict[int, torch.Tensor]]:
        """Within the block, what enters layers `before` is left in the dict; from the highest of them on none runs."""
        captured: dict[int, torch.Tensor] = {}
        hooks = [
            self.layers[number].register_forward_pre_hook(_keep(captured, number), with_kwargs=True)
            for number in before
        ]
        try:
            with _stubs(dict.fromkeys(self.layers[max(before, default=0) :], _same)):
                yield captured
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def beginning_at(self, number: int, hidden: torch.Tensor) -> Iterator[None]:
        """Within the block, passes begin at layer `number` with `hidden` [rows, tokens, width] as its input."""
        stubs = dict.fromkeys(self.layers[:number], _same)
        if number:
            stubs[self.layers[number - 1]] = lambda *args, **kwargs: hidden
        with _stubs(stubs):
            yield


def free_tokens_of(model: PreTrainedModel) -> int:
    """Return f such that a pass over t tokens costs about f + t units: below f it mostly waits for the weights.

    A documented rule and not a measurement, so that a run can be repeated: on GPUs 16-bit arithmetic outruns memory by
    several hundred operations a byte. CPUs: fitted to the times of passes of Qwen2.5-Coder-0.5B over 64 rows of 1, 4
    and 8 tokens in bfloat16 with AMX (0.25, 0.62 and 1.05 s on one core), and lower where arithmetic is slower.
    """
    if model.device.type != "cpu":
        return 256
    return 72 if model.dtype in (torch.bfloat16, torch.float16) else 24


def _keep(captured: dict, number: int):
    def hook(layer: nn.Module, args: tuple, kwargs: dict) -> None:
        captured[number] = args[0] if args else kwargs["hidden_states"]

    return hook


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
