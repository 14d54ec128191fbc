"""What the schedulers keep of each prompt and of each row while they are in work."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from sprint_lmeval.candidates import MAX_NUMBER
from sprint_lmeval.generation.fast.drafts import NGRAM_LENGTHS, NgramIndex
from sprint_lmeval.generation.fast.shared_layers import SharedLayers
from sprint_lmeval.generation.rows import Row
from sprint_lmeval.generation.sampling import Code
from sprint_lmeval.generation.stopping import StopStrings

WORTH_A_REFERENCE = 2  # remaining rows from which on they wait for a reference answer to read along
SMALL_COHORT = 8  # rows of neighbouring layers are prefilled together until there are this many


@dataclass(eq=False)
class PromptGroup:
    """One prompt and the rows that answer it.

    Attributes:
        prompt: its token ids.
        remaining: rows not yet begun, in order; the first one writes the reference answer.
        ngrams: of the prompt and of what its rows have written so far.
        reference_row: the row that writes the reference answer, once it is begun.
        shared_layers: of the prompt and the reference answer, while remaining rows need them.
        unfinished: how many of its rows are not finished.
    """

    prompt: list[int]
    remaining: list[Row]
    ngrams: NgramIndex = field(default_factory=NgramIndex)
    reference_row: ActiveRow | None = None
    shared_layers: SharedLayers | None = None
    unfinished: int = field(init=False)

    def __post_init__(self) -> None:
        self.unfinished = len(self.remaining)
        self.ngrams.learn(self.prompt, 0)

    @property
    def reference(self) -> list[int]:
        """The tokens of the reference answer so far."""
        return self.reference_row.new if self.reference_row else []

    def first_cohort(self) -> list[Row]:
        """Return the row that writes the reference answer; all rows where they need none."""
        return self.remaining[:1] if len(self.remaining) > WORTH_A_REFERENCE else list(self.remaining)

    def next_cohort(self) -> list[Row]:
        """Return rows to prefill together: those of the lowest pruned layer, or of several layers with few rows."""
        cohort: list[Row] = []
        for row in sorted(self.remaining, key=first_pruned):
            if len(cohort) >= SMALL_COHORT and first_pruned(cohort[-1]) != first_pruned(row):
                break
            cohort.append(row)
        return cohort

    def take(self, cohort: Sequence[Row]) -> None:
        """Count rows as begun."""
        taken = set(map(id, cohort))
        self.remaining = [row for row in self.remaining if id(row) not in taken]


class Ends:
    """Where a row's text ends: at an end token, at a stop string, or at the limit of new tokens."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, ends: Collection[int], until: Sequence[str], limit: int
    ) -> None:
        self.ends, self.limit = frozenset(ends), limit
        self.stops = StopStrings(tokenizer, list(until), rows=0, prompt_tokens=0)


@dataclass(eq=False)
class ActiveRow:
    """A row in work.

    Attributes:
        written: the last prompt tokens, then the new ones, of which the row's given tokens are the first.
        context: how many of `written` belong to the prompt.
        stopped: how many new tokens it had when a stop string was complete.
        finished: whether its text has ended.
        stream: of a sampled row, its random numbers, one for each generated token; `drawn` are those so far.
        code: of an arithmetic sample, what is left of its code; None once it is used up.
        later_codes: its code behind each of the tokens that were chosen last.
    """

    row: Row
    group: PromptGroup
    written: list[int]
    context: int
    stopped: int | None = None
    finished: bool = False
    stream: random.Random | None = None
    drawn: list[float] = field(default_factory=list)
    code: Code | None = None
    later_codes: list[Code | None] = field(default_factory=list)

    @classmethod
    def begin(cls, row: Row, group: PromptGroup) -> ActiveRow:
        tail = group.prompt[-NGRAM_LENGTHS[0] :]
        stream = None if row.seed is None else random.Random(row.seed)
        code = None if row.code is None else Code(row.code)
        group.ngrams.learn([*tail, *row.given], len(tail))
        return cls(row, group, [*tail, *row.given], len(tail), stream=stream, code=code)

    @property
    def new(self) -> list[int]:
        return self.written[self.context :]

    @property
    def count(self) -> int:
        """How many new tokens there are."""
        return len(self.written) - self.context

    @property
    def cached(self) -> int:
        """How many of its tokens a cache holds: all but the last."""
        return len(self.group.prompt) + self.count - 1

    @property
    def tokens(self) -> list[int]:
        """The whole prompt and the new tokens."""
        return self.group.prompt + self.new

    def numbers(self, count: int) -> list[float]:
        """Return the random numbers of the next `count` tokens: the same, however often a token is drafted."""
        written = self.count - len(self.row.given)
        while len(self.drawn) < written + count:
            self.drawn.append(self.stream.random())
        return self.drawn[written : written + count]

    def advance(self, tokens: Sequence[int], ends: Ends, known: int = 0) -> None:
        """Write tokens up to where the text ends; the n-gram index learns them, except for the first `known`."""
        begun = len(self.written)
        for token in tokens:
            self.written.append(token)
            count = self.count
            if ends.stops.met(self.written, count):
                self.stopped = count
            if token in ends.ends or self.stopped or count >= ends.limit:
                self.finished = True
                break
        if self.code:  # `later_codes` is shorter than the tokens where the code was used up before the last one
            self.code = next(iter(self.later_codes[len(self.written) - begun - 1 :]), None)
        self.group.ngrams.learn(self.written, begun + known)


def first_pruned(row: Row) -> int:
    """Return the lowest layer that the row prunes; a number behind the last layer where it prunes none."""
    return row.candidate.heads[0][0] if row.candidate.heads else MAX_NUMBER + 1


def common_start(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens all prompts share; each prompt has at least one token behind them."""
    first, last = min(prompts), max(prompts)  # in lexicographic order: what these two share, all share
    most = min(map(len, prompts)) - 1
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b or i >= most), most)
