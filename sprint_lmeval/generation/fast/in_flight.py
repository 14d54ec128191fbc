"""What fast decoding keeps of each question and each of its rows while they are in work."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from sprint_lmeval.candidates import MAX_NUMBER
from sprint_lmeval.generation.fast.drafts import ORDERS, Siblings
from sprint_lmeval.generation.fast.kv_cache import Parts
from sprint_lmeval.generation.fast.shared_layers import Entry
from sprint_lmeval.generation.rows import Row
from sprint_lmeval.generation.stopping import StopStrings

WORTH_FOLLOWING = 2  # rows of a question beside the leading one, from which on its text is read along
SMALL_GROUP = 8  # rows of neighbouring layers are read together until there are this many


@dataclass(eq=False)
class Trunk:
    """Unpruned computation of some tokens: the entries of the layers that are asked for, keys and values up to there.

    Attributes:
        entries: layer -> of one row, from place `start` on.
        parts: keys and values of all tokens from place 0 on, per layer; None above the last entry.
        start: place of the first token of the entries.
        until: place behind the last token.
    """

    entries: dict[int, Entry]
    parts: Parts
    start: int
    until: int

    def between(self, layer: int, read: int, until: int) -> Entry:
        """Return the layer's entry for the tokens from `read` to `until`."""
        return self.entries[layer].between(read - self.start, until - self.start)

    def keep(self, layers: Collection[int]) -> None:
        """Let go of the entries of other layers."""
        self.entries = {layer: entry for layer, entry in self.entries.items() if layer in layers}


@dataclass(eq=False)
class Question:
    """One prompt and the rows that answer it.

    Attributes:
        prompt: its token ids.
        rows: not yet begun, in order; the first one leads, the others follow its text as far as they agree with it.
        siblings: the prompt, and what its rows have written so far.
        leader: the first row, once it is begun.
        trunk: of prompt and lead, while followers need it.
        unfinished: how many of its rows have no whole text yet.
    """

    prompt: list[int]
    rows: list[Row]
    siblings: Siblings = field(default_factory=Siblings)
    leader: ActiveRow | None = None
    trunk: Trunk | None = None
    unfinished: int = field(init=False)

    def __post_init__(self) -> None:
        self.unfinished = len(self.rows)
        self.siblings.learn(self.prompt, 0)

    @property
    def lead(self) -> list[int]:
        """What the first row has written so far."""
        return self.leader.new if self.leader else []

    def first_group(self) -> list[Row]:
        """Return the row that leads; all rows where they are too few for one to lead."""
        return self.rows[:1] if len(self.rows) > WORTH_FOLLOWING else list(self.rows)

    def next_group(self) -> list[Row]:
        """Return rows to read together: of the lowest pruned layer, or of several where those are few."""
        group: list[Row] = []
        for row in sorted(self.rows, key=first_pruned):
            if len(group) >= SMALL_GROUP and first_pruned(group[-1]) != first_pruned(row):
                break
            group.append(row)
        return group

    def take(self, group: Sequence[Row]) -> None:
        """Count rows as begun."""
        taken = set(map(id, group))
        self.rows = [row for row in self.rows if id(row) not in taken]


class Ends:
    """Where a row's text ends: an end token, a stop string, or the limit of new tokens."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, ends: Collection[int], until: Sequence[str], limit: int
    ) -> None:
        self.ends, self.limit = frozenset(ends), limit
        self.stops = StopStrings(tokenizer, list(until), rows=0, prompt_tokens=0)


@dataclass(eq=False)
class ActiveRow:
    """A row in work.

    Attributes:
        written: the last prompt tokens, then its new ones.
        context: how many of `written` belong to the prompt.
        stopped: how many new tokens it had when a stop string was complete.
        finished: whether its text is whole.
        stream: of a sampled row, its random numbers, one for each token; `drawn` are those so far.
    """

    row: Row
    question: Question
    written: list[int]
    context: int
    stopped: int | None = None
    finished: bool = False
    stream: random.Random | None = None
    drawn: list[float] = field(default_factory=list)

    @classmethod
    def begin(cls, row: Row, question: Question) -> ActiveRow:
        tail = question.prompt[-ORDERS[0] :]
        stream = None if row.seed is None else random.Random(row.seed)
        return cls(row, question, list(tail), len(tail), stream=stream)

    @property
    def new(self) -> list[int]:
        return self.written[self.context :]

    @property
    def count(self) -> int:
        """How many new tokens there are."""
        return len(self.written) - self.context

    @property
    def places(self) -> int:
        """Places that a cache holds of it: everything but its last token."""
        return len(self.question.prompt) + self.count - 1

    @property
    def tokens(self) -> list[int]:
        """The whole prompt and everything new."""
        return self.question.prompt + self.new

    def numbers(self, count: int) -> list[float]:
        """Return the random numbers of the next `count` tokens: the same, however often a token is guessed at."""
        written = self.count
        while len(self.drawn) < written + count:
            self.drawn.append(self.stream.random())
        return self.drawn[written : written + count]

    def advance(self, tokens: Sequence[int], ends: Ends, known: int = 0) -> None:
        """Write tokens up to where the text ends, and let the siblings know them, except for the first `known` ones."""
        begun = len(self.written)
        for token in tokens:
            self.written.append(token)
            count = self.count
            if ends.stops.met(self.written, count):
                self.stopped = count
            if token in ends.ends or self.stopped or count >= ends.limit:
                self.finished = True
                break
        self.question.siblings.learn(self.written, begun + known)


def first_pruned(row: Row) -> int:
    """Return the lowest layer in which the row's own computation begins; behind the last one where it prunes none."""
    return row.candidate.heads[0][0] if row.candidate.heads else MAX_NUMBER + 1


def common_start(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens all prompts share, at least one token of each left over."""
    first, last = min(prompts), max(prompts)  # in the order of texts: what these two share, all share
    most = min(map(len, prompts)) - 1
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b or i >= most), most)
