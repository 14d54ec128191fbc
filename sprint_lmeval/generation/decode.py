"""Rows (prompt, candidate) in, responses out: many sub-models decoded in shared batches.

Each row is decoded under its own candidate's mask, greedily or from a seed of its own. Its text is the one that it has
alone: token-identical in float32, except where two logits nearly tie. Rows go the fast way (`fast/scheduler.py`) where
the model and the settings allow it, and else through transformers' own `generate` (`fallback.py`).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sprint_lmeval.generation.fallback import generate_batch
from sprint_lmeval.generation.fast.device_limits import limits_of
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import PromptGroup
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.scheduler import Scheduler
from sprint_lmeval.generation.fast.supported import repetition_penalty, stretched, why_not_fast
from sprint_lmeval.generation.rows import Response, Row, Settings, encode, end_token_ids
from sprint_lmeval.pruning.hooks import HeadLayout, head_layout

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts
MOST_ROWS = 512  # in flight where the batch size is left to memory
LEAST_PASS = 64  # tokens: with less memory than for this the model itself is too large
__all__ = ["Response", "Row", "Settings", "end_token_ids", "generate"]


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Iterable[Row],
    settings: Settings,
    layout: HeadLayout | None = None,
) -> Iterator[tuple[Row, Response]]:
    """Decode rows, each with its own heads pruned.

        rows = [Row(prompt, candidate) for candidate in ("base", "L5H0")]
        responses = dict(generate(model, tokenizer, rows, Settings(max_new_tokens=256)))

    Args:
        model: a decoder of transformers, on its device, in evaluation mode.
        tokenizer: the model's own.
        rows: any number; equal rows are decoded once. Greedy rows come before those with a seed.
        settings: token limit, stop strings, sampling.
        layout: the model's heads, where they were looked up already.

    Returns:
        Each distinct row with its response, as soon as it is finished.

    Raises:
        ValueError: heads that the model does not have.
    """
    rows = list(dict.fromkeys(rows))
    layout = layout or head_layout(model)
    for sampled in (False, True):
        of_kind = [row for row in rows if (row.seed is not None) == sampled]
        if of_kind:
            yield from _generate(model, tokenizer, of_kind, settings, layout)


def _generate(model, tokenizer, rows, settings, layout) -> Iterator[tuple[Row, Response]]:
    encoded = {prompt: encode(tokenizer, prompt, settings) for prompt in {row.prompt for row in rows}}
    room = settings.max_prompt_tokens or max(map(len, encoded.values()), default=0)
    cut = {prompt: max(0, len(ids) - room) for prompt, ids in encoded.items()}
    prompts = {prompt: ids[-room:] for prompt, ids in encoded.items()}
    rows.sort(key=lambda row: (-len(encoded[row.prompt]), row.prompt))
    way = _fast if _may_be_fast(model, layout, settings, rows, prompts) else _plain
    for row, response in way(model, tokenizer, rows, prompts, settings, layout):
        yield row, replace(response, cut_tokens=cut[row.prompt])


def _may_be_fast(model, layout, settings, rows, prompts) -> bool:
    longest = max(map(len, prompts.values())) + settings.max_new_tokens
    reason = why_not_fast(model, layout, settings, longest)
    if reason:
        log.warning("decoding without shortcuts, which is slower: %s", reason)
    return reason is None


def _plain(model, tokenizer, rows, prompts, settings, layout) -> Iterator[tuple[Row, Response]]:
    longest = max(map(len, prompts.values()), default=0) + settings.max_new_tokens
    size = 1 if stretched(model, longest) else settings.batch_size
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        yield from generate_batch(model, tokenizer, batch, [prompts[row.prompt] for row in batch], settings, layout)


def _fast(model, tokenizer, rows, prompts, settings, layout) -> Iterator[tuple[Row, Response]]:
    """Decode the fast way; where memory runs out, the rows that are left go on with half of every limit."""
    limits, size, left = limits_of(model), settings.batch_size, dict.fromkeys(rows)
    while left:
        try:
            for row, response in _scheduler(
                model, tokenizer, list(left), prompts, settings, layout, limits, size
            ).run():
                del left[row]
                yield row, response
        except RuntimeError as error:
            if not should_reduce_batch_size(error) or limits.pass_tokens < LEAST_PASS:
                raise
            limits, size = limits.halved(), max(1, size // 2)
            log.warning("out of memory: %d rows go on with at most %d in a pass, and half the cache", len(left), size)
        clear_device_cache(garbage_collection=True)


def _scheduler(model, tokenizer, rows, prompts, settings, layout, limits, size) -> Scheduler:
    of_prompt = defaultdict(list)
    for row in rows:
        of_prompt[row.prompt].append(row)
    groups = [PromptGroup(prompts[prompt], of_it) for prompt, of_it in of_prompt.items()]
    longest = max(map(len, prompts.values())) + settings.max_new_tokens
    ends = end_token_ids(model, tokenizer, settings.until)
    passes = Passes(model, layout, longest, limits)
    choice = TokenChoice(passes, settings, repetition_penalty(model, settings), sampled=rows[0].seed is not None)
    return Scheduler(passes, tokenizer, settings, ends, groups, size, choice)
