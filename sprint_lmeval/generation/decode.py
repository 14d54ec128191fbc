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
from dataclasses import dataclass, replace

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sprint_lmeval.generation.account import Account
from sprint_lmeval.generation.alternatives import alternatives
from sprint_lmeval.generation.fallback import generate_batch
from sprint_lmeval.generation.fast.device_limits import limits_of
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import Ends, PromptGroup
from sprint_lmeval.generation.fast.next_token import TokenChoice
from sprint_lmeval.generation.fast.scheduler import Scheduler
from sprint_lmeval.generation.fast.supported import repetition_penalty, stretched, why_not_fast
from sprint_lmeval.generation.fast.trees.scheduler import TreeScheduler
from sprint_lmeval.generation.rows import (
    Response,
    Row,
    Settings,
    Step,
    Successors,
    encode,
    end_token_ids,
    whole_response,
)
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
    successors: Successors | None = None,
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
        successors: decides which rows follow a response; they are decoded, too. Responses then keep tokens and steps.

    Returns:
        Each distinct row with its response, as soon as it is finished.

    Raises:
        ValueError: heads that the model does not have.
    """
    rows = list(dict.fromkeys(rows))
    layout = layout or head_layout(model)
    kinds = defaultdict(list)
    for row in rows:
        kinds[row.seed is not None, bool(row.given or successors)].append(row)
    for _, of_kind in sorted(kinds.items()):
        found = _generate(model, tokenizer, of_kind, settings, layout, account, successors)
        for row, response in found if account is None else _timed(found, account):
            yield row, response if keep_tokens or successors else replace(response, tokens=())


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


def _generate(model, tokenizer, rows, settings, layout, account, successors) -> Iterator[tuple[Row, Response]]:
    encoded = {prompt: encode(tokenizer, prompt, settings) for prompt in {row.prompt for row in rows}}
    room = settings.max_prompt_tokens or max(map(len, encoded.values()), default=0)
    cut = {prompt: max(0, len(ids) - room) for prompt, ids in encoded.items()}
    prompts = {prompt: ids[-room:] for prompt, ids in encoded.items()}
    rows.sort(key=lambda row: (-len(encoded[row.prompt]), row.prompt))
    in_trees = bool(successors or rows[0].given)
    way = _fast if _may_be_fast(model, layout, settings, rows, prompts, in_trees) else _plain
    asked = _Asked(tokenizer, settings, end_token_ids(model, tokenizer, settings.until), rows, successors)
    while asked.rows:
        for row, response in way(model, tokenizer, asked, prompts, settings, layout, account):
            response = replace(response, cut_tokens=cut[row.prompt], steps=asked.steps(row, response))
            yield row, response
            asked.note(row, response)


@dataclass
class _Asked:
    """Rows that are to be decoded; `note` adds those that follow a response."""

    tokenizer: PreTrainedTokenizerBase
    settings: Settings
    ends: list[int]
    rows: list[Row]
    successors: Successors | None

    def note(self, row: Row, response: Response) -> None:
        self.rows += self.successors.after(row, response) if self.successors else ()

    def top(self, row: Row) -> int:
        return self.successors.top(row) if self.successors else 0

    def steps(self, row: Row, response: Response) -> tuple[Step, ...]:
        """Return a response's steps with as many others as are asked for, whatever its neighbours asked for."""
        top = self.top(row) if response.steps else 0
        return tuple(step._replace(others=step.others[:top]) for step in response.steps)

    def taken(self) -> tuple[dict[Row, Response], list[Row]]:
        """Take all rows out: those whose given tokens are a whole answer, with their responses, and the others."""
        rows, self.rows = self.rows, []
        whole = {row: whole_response(self.tokenizer, row, self.ends, self.settings) for row in rows}
        return {row: found for row, found in whole.items() if found}, [row for row in rows if not whole[row]]


def _may_be_fast(model, layout, settings, rows, prompts, in_trees) -> bool:
    longest = max(map(len, prompts.values())) + settings.max_new_tokens
    reason = why_not_fast(model, layout, settings, longest, in_trees)
    if reason:
        log.warning("decoding without shortcuts, which is slower: %s", reason)
    return reason is None


def _plain(model, tokenizer, asked, prompts, settings, layout, account) -> Iterator[tuple[Row, Response]]:
    whole, rows = asked.taken()
    yield from whole.items()
    longest = max(map(len, prompts.values()), default=0) + settings.max_new_tokens
    size = 1 if stretched(model, longest) else settings.batch_size
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        texts = [[*prompts[row.prompt], *row.given] for row in batch]
        found = generate_batch(model, tokenizer, batch, texts, settings, layout, account)
        top = max(map(asked.top, batch))
        yield from _with_steps(model, tokenizer, list(found), settings, layout, top) if top else found


def _with_steps(model, tokenizer, found, settings, layout, top) -> Iterator[tuple[Row, Response]]:
    """Read responses once more, for the steps of their generated tokens."""
    read = [replace(row, given=response.tokens) for row, response in found]
    steps = alternatives(model, tokenizer, read, settings, top, layout)
    for (row, response), of_row in zip(found, steps, strict=True):
        yield row, replace(response, steps=tuple(of_row[len(row.given) :]))


def _fast(model, tokenizer, asked, prompts, settings, layout, account) -> Iterator[tuple[Row, Response]]:
    """Decode the fast way; where memory runs out, the rows that are left go on with half of every limit."""
    whole, rows = asked.taken()
    yield from whole.items()
    limits, size, left = limits_of(model, settings.roomy), settings.batch_size, dict.fromkeys(rows)
    longest = max(map(len, prompts.values())) + settings.max_new_tokens
    while left:
        try:
            passes = Passes(model, layout, longest, limits, account)
            scheduler = _scheduler(passes, tokenizer, list(left), prompts, settings, size, asked)
            for row, response in scheduler.run():
                del left[row]
                yield row, response
                while asked.rows:
                    whole, rows = asked.taken()
                    left |= dict.fromkeys(rows)
                    scheduler.add(rows)
                    yield from whole.items()
        except RuntimeError as error:
            if not should_reduce_batch_size(error) or limits.pass_tokens < LEAST_PASS:
                raise
            limits, size = limits.halved(), max(1, size // 2)
            log.warning("out of memory: %d rows go on with at most %d in a pass, and half the cache", len(left), size)
        if left:  # behind the error, which held the caches
            clear_device_cache(garbage_collection=True)


def _scheduler(passes, tokenizer, rows, prompts, settings, size, asked) -> Scheduler | TreeScheduler:
    choice = TokenChoice(passes, settings, repetition_penalty(passes.model, settings), rows[0].seed is not None)
    ends = Ends(tokenizer, asked.ends, settings.until, settings.max_new_tokens)
    if asked.successors or rows[0].given:
        return TreeScheduler(passes, tokenizer, settings, ends, prompts, rows, size, choice, asked.top)
    grouped = defaultdict(list)
    for row in rows:
        grouped[row.prompt].append(row)
    groups = [PromptGroup(prompts[prompt], of_group) for prompt, of_group in grouped.items()]
    return Scheduler(passes, tokenizer, settings, ends, groups, size, choice)
