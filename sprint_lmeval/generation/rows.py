"""The data of generation: a `Row` is one answer to be generated, a `Response` its text, `Settings` how to decode."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sprint_lmeval.candidates import Candidate

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Row:
    """One answer to be generated: `Row("Question: ...", "L1H2")`.

    Attributes:
        prompt: the text that the model sees.
        candidate: what is pruned; its notation is taken too, and becomes a `Candidate`.
        sample: distinguishes equal rows, such as repeated samples.
        seed: of the row's own random numbers; None: greedy.
        code: of an arithmetic sample (arXiv 2210.15458), from 0 up to below 1; None: an ordinary sample. Response i of
            a question has the code (v(i) + shift) % 1, where v is the van der Corput sequence 0, 1/2, 1/4, 3/4, ... and
            the shift, drawn once for the question, is the same for all of its rows. Each row needs a seed of its own,
            too: behind the first tokens, which the code decides, it draws its numbers from the seed.
        given: answer tokens that stand already; decoding goes on behind them. The response's text holds them, stop
            strings and the token limit count them, `Response.new_tokens` and min_new_tokens do not. With the first
            tokens of its own greedy answer as `given`, a row has the text of that answer.

    Raises:
        ValueError: a candidate that cannot be read, a code without a seed or out of range.
    """

    prompt: str
    candidate: Candidate
    sample: int = 0
    seed: int | None = None
    code: float | None = None
    given: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidate", Candidate.of(self.candidate))
        object.__setattr__(self, "given", tuple(self.given))
        if self.code is not None and (self.seed is None or not 0 <= self.code < 1):
            raise ValueError(f"code={self.code}, seed={self.seed} given: a code is from 0 up to below 1, beside a seed")


class Step(NamedTuple):
    """One token of an answer.

    Attributes:
        token: its id.
        log_probability: natural logarithm, without temperature, penalties or filters.
        others: the best other tokens, (id, log-probability) each, the most probable first.
    """

    token: int
    log_probability: float
    others: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Response:
    """The text of a row.

    Attributes:
        text: what was generated, up to the first stop string, without special tokens.
        truncated: whether the token limit ended it.
        new_tokens: how many tokens were generated, the end token included, a row's given tokens not.
        cut_tokens: how many tokens the prompt lost at its left end, where it was too long for the model.
        tokens: ids of the whole response, given tokens and end token included; only where `generate` was asked to keep
            them. A response from a store has none: a row that needs them is generated again.
        steps: the generated tokens, with what else there was to choose; only where `Successors` asked for it.
    """

    text: str
    truncated: bool
    new_tokens: int
    cut_tokens: int = 0
    tokens: tuple[int, ...] = field(default=(), compare=False, repr=False)
    steps: tuple[Step, ...] = field(default=(), compare=False, repr=False)


class Successors(Protocol):
    """Decides which rows are decoded after others, from what else those might have written."""

    def top(self, row: Row) -> int:
        """Return how many other tokens `Response.steps` has at each step of this row; 0: no steps are needed."""

    def after(self, row: Row, response: Response) -> Sequence[Row]:
        """Return rows to decode next, which have the prompt and candidate of `row` and `given` tokens."""


@dataclass(frozen=True)
class Settings:
    """How rows are decoded.

    Attributes:
        max_new_tokens: token limit of a response.
        until: stop strings; the text ends before the first of them.
        batch_size: most rows in one forward pass.
        roomy: whether the rows in flight may take a quarter of a CPU's free memory, so that they are `batch_size`.
        max_prompt_tokens: longer prompts lose their left end, as in the harness; None: no limit.
        temperature, top_k, top_p: of rows that have a seed.
        add_special_tokens: None leaves it to the tokenizer.
        think_end_token: text or token id behind which the response begins, or None.
        generate_arguments: further arguments of transformers' `generate`, such as repetition_penalty.
    """

    max_new_tokens: int
    until: Sequence[str] = ()
    batch_size: int = 16
    roomy: bool = False
    max_prompt_tokens: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    add_special_tokens: bool | None = None
    think_end_token: int | str | None = None
    generate_arguments: dict = field(default_factory=dict)


def end_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, until: Sequence[str] = ()) -> list[int]:
    """Return every token id that ends a response.

    These are the checkpoint's own list, the tokenizer's end token, and each stop string that is one special token:
    decoded text does not show special tokens.
    """
    listed = getattr(model, "generation_config", None) and model.generation_config.eos_token_id
    listed = [] if listed is None else listed if isinstance(listed, list) else [listed]
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    special = tokenizer.get_added_vocab()
    return sorted({*listed, *own, *(special[stop] for stop in until if stop in special)})


def encode(tokenizer: PreTrainedTokenizerBase, prompt: str, settings: Settings) -> list[int]:
    """Return the prompt's token ids, as the harness's `hf` model makes them, before any cut."""
    options = {} if settings.add_special_tokens is None else {"add_special_tokens": settings.add_special_tokens}
    if tokenizer.bos_token and prompt.startswith(tokenizer.bos_token):
        options = {"add_special_tokens": False}
    ids = tokenizer(prompt, **options)["input_ids"]
    if not ids:
        ids = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None][:1]
    return ids


def whole_response(
    tokenizer: PreTrainedTokenizerBase, row: Row, ends: Collection[int], settings: Settings
) -> Response | None:
    """Return the response of a row whose given tokens are a whole answer; None where it has to be decoded."""
    given, stops = list(row.given), [stop for stop in settings.until if stop]
    text = tokenizer.decode(given, skip_special_tokens=True) if stops else ""
    stopped = len(given) if any(stop in text for stop in stops) else None
    if stopped is None and len(given) < settings.max_new_tokens and set(ends).isdisjoint(given):
        return None
    return response_of(tokenizer, given, stopped, ends, settings, len(given))


def response_of(
    tokenizer: PreTrainedTokenizerBase,
    tokens: list[int],
    stopped: int | None,
    ends: Collection[int],
    settings: Settings,
    given: int = 0,
) -> Response:
    """Return the response that `tokens` make.

    Args:
        tokenizer: decodes them.
        tokens: of the answer; those behind an end token do not count.
        stopped: how many there were when a stop string was complete, or None.
        ends: token ids that end a response.
        settings: its stop strings, token limit and think_end_token count.
        given: how many of the tokens were not generated.
    """
    from lm_eval.models.utils import postprocess_generated_text  # here, so that a store opens without transformers

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
    return Response(text, truncated, max(0, length - given), tokens=tuple(tokens))
