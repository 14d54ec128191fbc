"""Rows (prompt, candidate) in, responses out: many sub-models decoded in shared batches.

Each row is decoded under its own candidate's mask, greedily or from a seed of its own. Its text is the one that it has
alone: token-identical in float32, except where two logits nearly tie. Rows go the fast way (`fast/scheduler.py`) where
the model and the settings allow it, and else through transformers' own `generate` (`fallback.py`).
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sprint_lmeval.generation.account import Account
from sprint_lmeval.generation.fallback import generate_batch
from sprint_lmeval.generation.fast.device_limits import limits_of
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import PromptGroup
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.scheduler import Scheduler
from sprint_lmeval.generation.fast.supported import repetition_penalty, stretched, why_not_fast
from sprint_lmeval.generation.rows import Response, Row, Settings, encode, end_token_ids, response_of
from sprint_lmeval.pruning.hooks import HeadLayout, head_layout

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts
MOST_ROWS = 512  # in flight where the batch size is left to memory
LEAST_PASS = 64  # tokens: with less memory than for this the model itself is too large


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Iterable[Row],
    settings: Settings,
    layout: HeadLayout | None = None,
    account: Account | None = None,
    keep_tokens: bool = False,
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
        account: receives what is computed, and how long it takes.
        keep_tokens: whether responses keep their token ids.

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
            found = _generate(model, tokenizer, of_kind, settings, layout, account)
            for row, response in found if account is None else _timed(found, account):
                yield row, response if keep_tokens else replace(response, tokens=())


def _timed(found: Iterator[tuple[Row, Response]], account: Account) -> Iterator[tuple[Row, Response]]:
    """Hand responses on; the account receives their tokens, and the seconds until each of them."""
    while True:
        started = time.perf_counter()
        row, response = next(found, (None, None))
        account.total_s += time.perf_counter() - started
        if row is None:
            return
        account.written += response.new_tokens
        yield row, response


def _generate(model, tokenizer, rows, settings, layout, account) -> Iterator[tuple[Row, Response]]:
    encoded = {prompt: encode(tokenizer, prompt, settings) for prompt in {row.prompt for row in rows}}
    room = settings.max_prompt_tokens or max(map(len, encoded.values()), default=0)
    cut = {prompt: max(0, len(ids) - room) for prompt, ids in encoded.items()}
    prompts = {prompt: ids[-room:] for prompt, ids in encoded.items()}
    rows.sort(key=lambda row: (-len(encoded[row.prompt]), row.prompt))
    whole, rows = _whole(model, tokenizer, rows, settings)
    for row, response in whole.items():
        yield row, replace(response, cut_tokens=cut[row.prompt])
    if not rows:
        return
    way = _fast if _may_be_fast(model, layout, settings, rows, prompts) else _plain
    for row, response in way(model, tokenizer, rows, prompts, settings, layout, account):
        yield row, replace(response, cut_tokens=cut[row.prompt])


def _whole(model, tokenizer, rows, settings) -> tuple[dict[Row, Response], list[Row]]:
    """Return the responses of rows whose given tokens are a whole answer already, and the other rows."""
    ends, whole = end_token_ids(model, tokenizer, settings.until), {}
    for row in rows:
        if len(row.given) >= settings.max_new_tokens or not set(ends).isdisjoint(row.given):
            whole[row] = response_of(tokenizer, list(row.given), None, ends, settings, len(row.given))
    return whole, [row for row in rows if row not in whole]


def _may_be_fast(model, layout, settings, rows, prompts) -> bool:
    longest = max(map(len, prompts.values())) + settings.max_new_tokens
    reason = why_not_fast(model, layout, settings, longest)
    if reason:
        log.warning("decoding without shortcuts, which is slower: %s", reason)
    return reason is None


def _plain(model, tokenizer, rows, prompts, settings, layout, account) -> Iterator[tuple[Row, Response]]:
    longest = max(map(len, prompts.values()), default=0) + settings.max_new_tokens
    size = 1 if stretched(model, longest) else settings.batch_size
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        texts = [[*prompts[row.prompt], *row.given] for row in batch]
        yield from generate_batch(model, tokenizer, batch, texts, settings, layout, account)


def _fast(model, tokenizer, rows, prompts, settings, layout, account) -> Iterator[tuple[Row, Response]]:
    """Decode the fast way; where memory runs out, the rows that are left go on with half of every limit."""
    limits, size, left = limits_of(model), settings.batch_size, dict.fromkeys(rows)
    longest = max(map(len, prompts.values())) + settings.max_new_tokens
    while left:
        try:
            passes = Passes(model, layout, longest, limits, account)
            for row, response in _scheduler(passes, tokenizer, list(left), prompts, settings, size).run():
                del left[row]
                yield row, response
        except RuntimeError as error:
            if not should_reduce_batch_size(error) or limits.pass_tokens < LEAST_PASS:
                raise
            limits, size = limits.halved(), max(1, size // 2)
            log.warning("out of memory: %d rows go on with at most %d in a pass, and half the cache", len(left), size)
        if left:  # behind the error, which held the caches
            clear_device_cache(garbage_collection=True)


def _scheduler(passes, tokenizer, rows, prompts, settings, size) -> Scheduler:
    grouped = defaultdict(list)  # branches share what they have in common with branches of the same candidate
    for row in rows:
        grouped[row.prompt, row.candidate if row.given else None].append(row)
    groups = [PromptGroup(prompts[prompt], of_group) for (prompt, _), of_group in grouped.items()]
    ends = end_token_ids(passes.model, tokenizer, settings.until)
    penalty = repetition_penalty(passes.model, settings)
    choice = TokenChoice(passes, settings, penalty, sampled=rows[0].seed is not None)
    return Scheduler(passes, tokenizer, settings, ends, groups, size, choice)
