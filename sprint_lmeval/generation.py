"""Rows (prompt, candidate) in, responses out: many sub-models decoded in shared batches.

Every row is decoded under its own candidate's mask (`prune_heads`), greedily or with a seed of its own, so its text
is the text of that row alone: token-identical in float32, except where the two best logits nearly tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from lm_eval.models.utils import postprocess_generated_text
from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteriaList

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.pruning import HeadLayout, prune_heads
from sprint_lmeval.row_sampling import RowSampler
from sprint_lmeval.stopping import StopStrings


@dataclass(frozen=True)
class Row:
    """One text to write: `sample` tells repeats apart, `seed` draws it (None: greedy)."""

    prompt: str
    candidate: Candidate
    sample: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class Response:
    """What a row became: `truncated` if the token limit ended it; `new_tokens` counts the end token."""

    text: str
    truncated: bool
    new_tokens: int


@dataclass(frozen=True)
class Settings:
    """How rows are decoded.

    Attributes:
        max_new_tokens: token limit of a response.
        until: stop strings; the text ends before the first of them.
        batch_size: rows per `generate` call.
        max_prompt_tokens: longer prompts lose their left end, as in the harness; None: no limit.
        temperature, top_k, top_p: of rows that have a seed.
        add_special_tokens: None leaves it to the tokenizer.
        think_end_token: text or token id after which the response begins, or None.
        generate_arguments: further arguments of transformers' `generate`, such as repetition_penalty.
    """

    max_new_tokens: int
    until: Sequence[str] = ()
    batch_size: int = 16
    max_prompt_tokens: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    add_special_tokens: bool | None = None
    think_end_token: int | str | None = None
    generate_arguments: dict = field(default_factory=dict)


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Iterable[Row],
    settings: Settings,
    layout: HeadLayout | None = None,
) -> Iterator[tuple[Row, Response]]:
    """Decode every row and yield it with its response, batch by batch, longest prompts first.

    `layout` saves looking the heads of `model` up again.

    Raises:
        InputError: when rows of one call mix seeds and none.
    """
    rows = list(rows)
    if len({row.seed is None for row in rows}) > 1:
        raise InputError("rows with and without a seed were given together: decode them in two calls")
    encoded = {prompt: _encode(tokenizer, prompt, settings) for prompt in {row.prompt for row in rows}}
    rows.sort(key=lambda row: (-len(encoded[row.prompt]), row.prompt))
    for start in range(0, len(rows), settings.batch_size):
        batch = rows[start : start + settings.batch_size]
        prompts = [encoded[row.prompt] for row in batch]
        with prune_heads(model, [row.candidate for row in batch], layout):
            responses = _generate_batch(model, tokenizer, batch, prompts, settings)
        yield from zip(batch, responses, strict=True)


def end_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return every token id that ends a response: the checkpoint's own list and the tokenizer's end token."""
    listed = getattr(model, "generation_config", None) and model.generation_config.eos_token_id
    listed = [] if listed is None else listed if isinstance(listed, list) else [listed]
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return sorted({*listed, *own})


def _encode(tokenizer: PreTrainedTokenizerBase, prompt: str, settings: Settings) -> list[int]:
    options = {} if settings.add_special_tokens is None else {"add_special_tokens": settings.add_special_tokens}
    if tokenizer.bos_token and prompt.startswith(tokenizer.bos_token):
        options = {"add_special_tokens": False}
    ids = tokenizer(prompt, **options)["input_ids"]
    if not ids:
        ids = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None][:1]
    return ids[-settings.max_prompt_tokens :] if settings.max_prompt_tokens else ids


@torch.inference_mode()
def _generate_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: list[Row],
    encoded: list[list[int]],
    settings: Settings,
) -> list[Response]:
    prompt_tokens = max(map(len, encoded))
    ends = end_token_ids(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends or [0])[0]
    ids = torch.tensor([[pad] * (prompt_tokens - len(e)) + e for e in encoded])  # [rows, time]
    mask = torch.tensor([[0] * (prompt_tokens - len(e)) + [1] * len(e) for e in encoded])
    stops = StopStrings(tokenizer, list(settings.until), len(batch), prompt_tokens)
    output = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=settings.max_new_tokens,
        pad_token_id=pad,
        eos_token_id=ends or None,
        stopping_criteria=StoppingCriteriaList([stops] if stops.stops else []),
        logits_processor=_samplers(batch, settings),
        **{"do_sample": False, "temperature": None, "top_k": None, "top_p": None, "use_cache": True},
        **settings.generate_arguments,
    )
    new = output[:, prompt_tokens:].tolist()
    return [
        _response(tokenizer, tokens, stopped, ends, settings)
        for tokens, stopped in zip(new, stops.new_tokens_at_stop, strict=True)
    ]


def _samplers(batch: list[Row], settings: Settings) -> LogitsProcessorList:
    if batch[0].seed is None:
        return LogitsProcessorList()
    seeds = [row.seed for row in batch]
    return LogitsProcessorList([RowSampler(seeds, settings.temperature, settings.top_k, settings.top_p)])


def _response(
    tokenizer: PreTrainedTokenizerBase, tokens: list[int], stopped: int | None, ends: list[int], settings: Settings
) -> Response:
    ended = next((i + 1 for i, token in enumerate(tokens) if token in ends), None)
    length = min(n for n in (ended, stopped, len(tokens)) if n is not None)
    tokens = tokens[:length]
    think_end = settings.think_end_token
    visible = tokens
    if isinstance(think_end, int) and think_end in tokens:
        visible = tokens[len(tokens) - tokens[::-1].index(think_end) :]
    text = tokenizer.decode(visible, skip_special_tokens=True)
    text = text.lstrip() if isinstance(think_end, int) else text
    text = postprocess_generated_text(text, list(settings.until), think_end if isinstance(think_end, str) else None)
    truncated = ended is None and stopped is None and length >= settings.max_new_tokens
    return Response(text, truncated, length)
