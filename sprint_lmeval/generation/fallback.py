"""Decodes a batch with transformers' own `generate`, for models and settings that the fast way does not take.

Each row is decoded under its own candidate's mask, greedily or from a seed of its own. Finished rows leave the batch at
the end of a span of tokens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import (
    Cache,
    GenerationMixin,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from sprint_lmeval.generation.account import Account
from sprint_lmeval.generation.fast.kv_cache import cache_argument
from sprint_lmeval.generation.rows import Response, Row, Settings, end_token_ids, response_of
from sprint_lmeval.generation.sampling import RowSampler
from sprint_lmeval.generation.stopping import StopStrings
from sprint_lmeval.pruning.hooks import HeadLayout, prune_heads

SPAN = 64  # new tokens after which finished rows leave the batch
# Arguments of `generate` that count from the start of the call: with them there is only one span.
COUNTED_FROM_THE_PROMPT = (
    "begin_suppress_tokens",
    "cache_implementation",
    "encoder_repetition_penalty",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "guidance_scale",
    "max_time",
    "min_length",
    "min_new_tokens",
    "prompt_lookup_num_tokens",
    "watermarking_config",
)


def generate_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: list[Row],
    encoded: list[list[int]],
    settings: Settings,
    layout: HeadLayout | None,
    account: Account | None = None,
) -> Iterator[tuple[Row, Response]]:
    """Decode one batch in spans; finished rows leave it after each, and the others go on from their cache.

    `encoded` holds the token ids of each row's prompt, with its given tokens behind them.
    """
    width = max(map(len, encoded))
    ends = end_token_ids(model, tokenizer, settings.until)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends or [0])[0]
    # Padding on the left repeats the row's first token, so that a repetition penalty finds no other token there.
    ids = torch.tensor([e[:1] * (width - len(e)) + e for e in encoded], device=model.device)  # [rows, time]
    mask = torch.tensor([[0] * (width - len(e)) + [1] * len(e) for e in encoded], device=model.device)
    account = account or Account()
    decoder = _Decoder(model, tokenizer, settings, layout, ends, pad, width, _longest_span(model, settings), account)
    running, cache = list(range(len(batch))), None
    sampler = _sampler(batch, settings)
    while running:
        ids, cache, finished = decoder.span(ids, mask, cache, [batch[i] for i in running], sampler)
        for slot, (tokens, stopped) in finished.items():
            row = batch[running[slot]]
            response = response_of(tokenizer, tokens, stopped, ends, settings, len(row.given))
            account.add("single", response.new_tokens - (ids.shape[1] - width))  # what it computed since is padding
            yield row, response
        keep = [slot for slot in range(len(running)) if slot not in finished]
        running = [running[slot] for slot in keep]
        ids = ids[keep]
        mask = torch.nn.functional.pad(mask[keep], (0, ids.shape[1] - mask.shape[1]), value=1)
        if running and finished:
            cache = _of_rows(cache, keep, model.device)
            sampler = sampler and sampler.of_rows(keep)


def _longest_span(model: PreTrainedModel, settings: Settings) -> int:
    of_checkpoint = model.generation_config.to_diff_dict() if model.generation_config else {}
    given = {**of_checkpoint, **settings.generate_arguments}
    unset = {"min_length": 0, "min_new_tokens": 0}
    counted = any(given.get(name) not in (None, unset.get(name)) for name in COUNTED_FROM_THE_PROMPT)
    return settings.max_new_tokens if counted else SPAN


def _of_rows(cache: Cache | None, slots: list[int], device: torch.device) -> Cache | None:
    """Return the cache of some rows; None where a cache cannot be cut, and the next span reads the text again."""
    if not hasattr(cache, "batch_select_indices"):
        return None
    cache.batch_select_indices(torch.tensor(slots, device=device))
    return cache


@dataclass
class _Decoder:
    """Decodes spans of one batch."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    settings: Settings
    layout: HeadLayout | None
    ends: list[int]
    pad: int
    prompt_tokens: int
    longest_span: int
    account: Account

    @torch.inference_mode()
    def span(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        cache: Cache | None,
        rows: list[Row],
        sampler: RowSampler | None,
    ) -> tuple[torch.Tensor, Cache, dict[int, tuple[list[int], int | None]]]:
        """Write up to SPAN more tokens in every row.

        Returns ids [rows, longer time], the cache, and the finished rows: slot -> its answer tokens, and how many of
        them complete a stop string (None where an end token or the limit finished it).
        """
        before, started = ids.shape[1] - self.prompt_tokens, time.perf_counter()
        given, limit = [len(row.given) for row in rows], self.settings.max_new_tokens
        stops = StopStrings(self.tokenizer, list(self.settings.until), len(ids), self.prompt_tokens, given)
        name = cache_argument(GenerationMixin.prepare_inputs_for_generation)
        with prune_heads(self.model, [row.candidate for row in rows], self.layout):
            output = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=min(self.longest_span, limit - min(given) - before),
                pad_token_id=self.pad,
                eos_token_id=self.ends or None,
                stopping_criteria=StoppingCriteriaList([stops] if stops.stops else []),
                logits_processor=LogitsProcessorList([sampler] if sampler else []),
                return_dict_in_generate=True,
                do_sample=False,
                num_beams=1,
                num_return_sequences=1,
                temperature=None,
                top_k=None,
                top_p=None,
                use_cache=True,
                **{name: cache},
                **self.settings.generate_arguments,
            )
        new = output.sequences[:, self.prompt_tokens :].tolist()
        steps, read = len(new[0]) - before, 0 if before else ids.numel()
        self.account.add_pass(read + len(rows) * steps, time.perf_counter() - started, passes=steps)
        if not before:
            self.account.add("prompt", int(mask.sum()) - sum(given))
            self.account.add("given", sum(given))
        self.account.add("single", len(rows) * steps)
        finished = {
            slot: ([*row.given, *tokens][:limit], None if stopped is None or stopped > limit else stopped)
            for slot, (row, tokens, stopped) in enumerate(zip(rows, new, stops.new_tokens_at_stop, strict=True))
            if len(row.given) + len(tokens) >= limit
            or stopped is not None
            or not set(self.ends).isdisjoint(tokens[before:])
        }
        return output.sequences, output[name], finished


def _sampler(batch: list[Row], settings: Settings) -> RowSampler | None:
    if batch[0].seed is None:
        return None
    seeds, codes = [row.seed for row in batch], [row.code for row in batch]
    return RowSampler(seeds, settings.temperature, settings.top_k, settings.top_p, codes)
