"""Rows (prompt, candidate) in, responses out: many sub-models decoded in shared batches.

Every row is decoded under its own candidate's mask (`prune_heads`), greedily or with a seed of its own, so its text
is the text of that row alone: token-identical in float32, except where the two best logits nearly tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from lm_eval.models.utils import postprocess_generated_text
from transformers import Cache, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteriaList

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.pruning import HeadLayout, prune_heads
from sprint_lmeval.row_sampling import RowSampler
from sprint_lmeval.stopping import StopStrings

SPAN = 64  # new tokens between two looks at which rows of a batch are finished
# Settings of `generate` whose meaning would start anew with each span: with them there is one span only.
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


@dataclass(frozen=True)
class Row:
    """One text to write: `sample` tells repeats apart, `seed` draws it (None: greedy)."""

    prompt: str
    candidate: Candidate
    sample: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class Response:
    """What a row became.

    `truncated` if the token limit ended it; `new_tokens` counts the end token; `cut_tokens` of the prompt's left end
    found no room in the model.
    """

    text: str
    truncated: bool
    new_tokens: int
    cut_tokens: int = 0


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
    """Decode every row and yield it with its response as it is finished, longest prompts first.

    `layout` saves looking the heads of `model` up again.

    Raises:
        InputError: when rows of one call mix seeds and none.
    """
    rows = list(rows)
    if len({row.seed is None for row in rows}) > 1:
        raise InputError("rows with and without a seed were given together: decode them in two calls")
    encoded = {prompt: _encode(tokenizer, prompt, settings) for prompt in {row.prompt for row in rows}}
    room = settings.max_prompt_tokens or max(map(len, encoded.values()), default=0)
    rows.sort(key=lambda row: (-len(encoded[row.prompt]), row.prompt))
    for start in range(0, len(rows), settings.batch_size):
        batch = rows[start : start + settings.batch_size]
        prompts = [encoded[row.prompt][-room:] for row in batch]
        for row, response in _generate_batch(model, tokenizer, batch, prompts, settings, layout):
            yield row, replace(response, cut_tokens=max(0, len(encoded[row.prompt]) - room))


def end_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, until: Sequence[str] = ()) -> list[int]:
    """Return every token id that ends a response.

    The checkpoint's own list, the tokenizer's end token, and the stop strings that are one special token: decoded text
    does not show those.
    """
    listed = getattr(model, "generation_config", None) and model.generation_config.eos_token_id
    listed = [] if listed is None else listed if isinstance(listed, list) else [listed]
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    special = tokenizer.get_added_vocab()
    return sorted({*listed, *own, *(special[stop] for stop in until if stop in special)})


def _encode(tokenizer: PreTrainedTokenizerBase, prompt: str, settings: Settings) -> list[int]:
    options = {} if settings.add_special_tokens is None else {"add_special_tokens": settings.add_special_tokens}
    if tokenizer.bos_token and prompt.startswith(tokenizer.bos_token):
        options = {"add_special_tokens": False}
    ids = tokenizer(prompt, **options)["input_ids"]
    if not ids:
        ids = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None][:1]
    return ids


def _generate_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: list[Row],
    encoded: list[list[int]],
    settings: Settings,
    layout: HeadLayout | None,
) -> Iterator[tuple[Row, Response]]:
    """Decode one batch in spans; rows that are finished leave it, and the others go on from their cache."""
    width = max(map(len, encoded))
    ends = end_token_ids(model, tokenizer, settings.until)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends or [0])[0]
    # Masked places on the left repeat the row's own first token: a repetition penalty then meets nothing new there.
    ids = torch.tensor([e[:1] * (width - len(e)) + e for e in encoded], device=model.device)  # [rows, time]
    mask = torch.tensor([[0] * (width - len(e)) + [1] * len(e) for e in encoded], device=model.device)
    decoder = _Decoder(model, tokenizer, settings, layout, ends, pad, width, _longest_span(model, settings))
    running, cache = list(range(len(batch))), None
    sampler = _sampler(batch, settings)
    while running:
        ids, cache, finished = decoder.span(ids, mask, cache, [batch[i].candidate for i in running], sampler)
        for place, (tokens, stopped) in finished.items():
            yield batch[running[place]], _response(tokenizer, tokens, stopped, ends, settings)
        keep = [place for place in range(len(running)) if place not in finished]
        running = [running[place] for place in keep]
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


def _of_rows(cache: Cache | None, places: list[int], device: torch.device) -> Cache | None:
    """Return the cache of some rows, or None where a cache cannot be cut: the next span then reads the text again."""
    if not hasattr(cache, "batch_select_indices"):
        return None
    cache.batch_select_indices(torch.tensor(places, device=device))
    return cache


@dataclass
class _Decoder:
    """What stays the same while one batch is decoded."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    settings: Settings
    layout: HeadLayout | None
    ends: list[int]
    pad: int
    prompt_tokens: int
    longest_span: int

    @torch.inference_mode()
    def span(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        cache: Cache | None,
        candidates: list[Candidate],
        sampler: RowSampler | None,
    ) -> tuple[torch.Tensor, Cache, dict[int, tuple[list[int], int | None]]]:
        """Write up to SPAN more tokens in every row.

        Returns ids [rows, longer time], the cache, and the new tokens of each row that is finished, by its place,
        with how many it had at a stop string (None where an end token or the limit finished it).
        """
        before = ids.shape[1] - self.prompt_tokens
        stops = StopStrings(self.tokenizer, list(self.settings.until), len(ids), self.prompt_tokens)
        with prune_heads(self.model, candidates, self.layout):
            output = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=cache,
                max_new_tokens=min(self.longest_span, self.settings.max_new_tokens - before),
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
                **self.settings.generate_arguments,
            )
        new = output.sequences[:, self.prompt_tokens :].tolist()
        full = len(new[0]) >= self.settings.max_new_tokens
        finished = {
            place: (tokens, stopped)
            for place, (tokens, stopped) in enumerate(zip(new, stops.new_tokens_at_stop, strict=True))
            if full or stopped is not None or not set(self.ends).isdisjoint(tokens[before:])
        }
        return output.sequences, output.past_key_values, finished


def _sampler(batch: list[Row], settings: Settings) -> RowSampler | None:
    if batch[0].seed is None:
        return None
    return RowSampler([row.seed for row in batch], settings.temperature, settings.top_k, settings.top_p)


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
