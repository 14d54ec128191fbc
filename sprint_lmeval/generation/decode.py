"""Rows (prompt, candidate) in, responses out: many sub-models decoded in shared batches.

Every row is decoded under its own candidate's mask, greedily or with a seed of its own, so its text is the text of that
row alone: token-identical in float32, except where two choices nearly tie. Rows go the fast way (`decoding.py`) where
the model and the settings allow it, and else through transformers' own `generate` (`plain_generation.py`).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.fallback import generate_batch
from sprint_lmeval.generation.fast.device_limits import rules_of
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import Question
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.scheduler import Pool
from sprint_lmeval.generation.fast.supported import obstacle, repetition_penalty, stretched
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
    """Decode every distinct row and yield it with its response as it is finished.

    `layout` saves looking the heads of `model` up again.

    Raises:
        InputError: when rows of one call mix seeds and none.
    """
    rows = list(dict.fromkeys(rows))
    if len({row.seed is None for row in rows}) > 1:
        raise InputError("rows with and without a seed were given together: decode them in two calls")
    encoded = {prompt: encode(tokenizer, prompt, settings) for prompt in {row.prompt for row in rows}}
    room = settings.max_prompt_tokens or max(map(len, encoded.values()), default=0)
    cut = {prompt: max(0, len(ids) - room) for prompt, ids in encoded.items()}
    prompts = {prompt: ids[-room:] for prompt, ids in encoded.items()}
    rows.sort(key=lambda row: (-len(encoded[row.prompt]), row.prompt))
    layout = layout or head_layout(model)
    way = _fast if rows and _may_be_fast(model, layout, settings, rows, prompts) else _plain
    for row, response in way(model, tokenizer, rows, prompts, settings, layout):
        yield row, replace(response, cut_tokens=cut[row.prompt])


def _may_be_fast(model, layout, settings, rows, prompts) -> bool:
    longest = max(map(len, prompts.values())) + settings.max_new_tokens
    reason = obstacle(model, layout, settings, longest)
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
    """Decode the fast way; where memory does not suffice, the rows that are left with half of everything."""
    rules, size, left = rules_of(model), settings.batch_size, dict.fromkeys(rows)
    while left:
        try:
            for row, response in _pool(model, tokenizer, list(left), prompts, settings, layout, rules, size).run():
                del left[row]
                yield row, response
        except RuntimeError as error:
            if not should_reduce_batch_size(error) or rules.pass_tokens < LEAST_PASS:
                raise
            rules, size = rules.halved(), max(1, size // 2)
            log.warning("out of memory: %d rows go on with at most %d in a pass, and half the cache", len(left), size)
        clear_device_cache(garbage_collection=True)


def _pool(model, tokenizer, rows, prompts, settings, layout, rules, size) -> Pool:
    grouped = defaultdict(list)
    for row in rows:
        grouped[row.prompt].append(row)
    questions = [Question(prompts[prompt], group) for prompt, group in grouped.items()]
    longest = max(map(len, prompts.values())) + settings.max_new_tokens
    ends = end_token_ids(model, tokenizer, settings.until)
    passes = Passes(model, layout, longest, rules)
    choice = TokenChoice(passes, settings, repetition_penalty(model, settings), sampled=rows[0].seed is not None)
    return Pool(passes, tokenizer, settings, ends, questions, size, choice)
