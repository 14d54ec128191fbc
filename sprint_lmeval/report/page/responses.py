"""What the page tells of single responses, in blocks that it unpacks one at a time.

In: a run with samples. Out: blocks of some questions each, as gzip in base64: candidates, answers, scores, lengths and
response texts, every distinct one once. The texts are what a page of many runs has no room for: they are shortened in
the middle, all to the same length, the longest at which everything fits, and at last only those of first answers stay.
"""

from __future__ import annotations

import base64
import gzip
import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sprint_lmeval.candidates import MAX_CANDIDATES
from sprint_lmeval.report.page.mathematics import Mathematics
from sprint_lmeval.runs.run import Run

QUESTIONS_IN_BLOCK = 20
WHOLE = 20_000  # characters of a text that is shown as it is
SHORTEST = 300  # rather than shorter ones, fewer texts
LENGTHS = (WHOLE, 10_000, 6_000, 4_000, 3_000, 2_400, 2_000, 1_700, 1_400, 1_200, 1_000, 850, 700, 600, 500, 420, 360)
FIRST = (48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0)  # answers of a question whose texts are shown
STEPS = (*((length, MAX_CANDIDATES) for length in (*LENGTHS, SHORTEST)), *((SHORTEST, first) for first in FIRST))
SAMPLED_BLOCKS = 40  # of all runs, from which the length is chosen; of every run one at least
MARGIN = 0.95  # of the room: the blocks that were not sampled may be larger

Texts = list[str] | None


@dataclass
class Blocks:
    """Blocks of all runs, and what their texts lost.

    Attributes:
        length, answers: a text kept at most `length` characters, and a question the texts of its first `answers`.
        packed: of each run its blocks, in the order of its questions.
        shown, shortened, left_out: counts of texts; of those shown some were shortened.
    """

    length: int
    answers: int
    packed: list[list[str]] = field(default_factory=list)
    shown: int = 0
    shortened: int = 0
    left_out: int = 0

    @property
    def size(self) -> int:
        return sum(len(block) for of_run in self.packed for block in of_run)


class Distinct:
    """Values, each once, by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, value: str | None) -> int:
        return -1 if value is None else self.numbers.setdefault(value, len(self.numbers))

    def values(self) -> list[str]:
        return list(self.numbers)


def pack_blocks(runs: Sequence[Run], room: int, mathematics: Mathematics) -> Blocks:
    """Pack what is known of the responses of all runs into at most `room` characters of base64.

    Should even the answers not fit, the texts are left out and the answers stay.
    """
    for length, answers in STEPS[_first_that_fits(runs, room * MARGIN, mathematics) :]:
        blocks = Blocks(length, answers)
        for run in runs:
            read = run.responses if answers else _no_texts
            packed = [pack(_block(run, start, read, blocks, mathematics)) for start in _starts(run)]
            blocks.packed.append(packed)
        if blocks.size <= room:
            break
    return blocks


def pack(value: object) -> str:
    """JSON, gzip, base64: letters that end no script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode()


def shorten(text: str, length: int) -> str | list:
    """The text, or [start, characters left out, end] where it is longer than `length`."""
    left_out = len(text) - length
    if left_out <= 0:
        return text
    start = length * 2 // 5
    return [text[:start], left_out, text[start + left_out :]]


def _starts(run: Run) -> range:
    return range(0, len(run.questions), QUESTIONS_IN_BLOCK)


def _first_that_fits(runs: Sequence[Run], room: float, mathematics: Mathematics) -> int:
    """Place in STEPS: by a few blocks of each run, how large all would be."""
    pairs = [(run, _sample(run, max(1, SAMPLED_BLOCKS // len(runs)))) for run in runs]

    def fits(place: int) -> bool:
        sizes = (_estimate(run, texts, Blocks(*STEPS[place]), mathematics) for run, texts in pairs)
        return sum(sizes) <= room

    return min(bisect_left(range(len(STEPS)), True, key=fits), len(STEPS) - 1)


def _sample(run: Run, blocks: int) -> dict[int, Texts]:
    """Texts of the questions of a few blocks."""
    starts = _starts(run)
    chosen = starts[:: max(1, len(starts) // blocks)][:blocks]
    return {n: run.responses(n) for start in chosen for n in _numbers(run, start)}


def _numbers(run: Run, start: int) -> range:
    return range(start, min(start + QUESTIONS_IN_BLOCK, len(run.questions)))


def _estimate(run: Run, texts: dict[int, Texts], tried: Blocks, mathematics: Mathematics) -> float:
    starts = [start for start in _starts(run) if start in texts]
    size = sum(len(pack(_block(run, start, texts.get, tried, mathematics))) for start in starts)
    return size * len(_starts(run)) / max(len(starts), 1)


def _no_texts(number: int) -> None:
    return None


def _block(run: Run, start: int, read: Callable[[int], Texts], blocks: Blocks, mathematics: Mathematics) -> dict:
    candidates, answers, texts = Distinct(), Distinct(), Distinct()
    rows = []
    for number in _numbers(run, start):
        given = _counted(read(number), blocks)
        rows.append(
            {
                "candidates": run.candidates and [candidates(name) for name in run.candidates[number]],
                "answers": run.answers and [answers(answer) for answer in run.answers[number]],
                "scores": _scores(run, number),
                "tokens": _known(run.new_tokens[number]),
                "truncated": _known(run.truncated[number]),
                "texts": given and [texts(text) for text in given],
            }
        )
    return {
        "candidates": candidates.values(),
        "answers": [mathematics.of_answer(answer) for answer in answers.values()],
        "texts": [shorten(text, blocks.length) for text in texts.values()],
        "rows": rows,
    }


def _counted(given: Texts, blocks: Blocks) -> Texts:
    """The texts that are shown."""
    shown = given and given[: blocks.answers]
    blocks.shown += len(shown or ())
    blocks.left_out += len(given or ()) - len(shown or ())
    blocks.shortened += sum(len(text) > blocks.length for text in shown or ())
    return shown


def _known(values) -> list[int] | None:
    return None if (values < 0).all() else values.tolist()


def _scores(run: Run, number: int) -> list[float | None] | None:
    if run.scores is None:
        return None
    return [None if score != score else float(f"{score:.5g}") for score in run.scores[number].tolist()]
