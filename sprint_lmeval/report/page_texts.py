"""What the page tells of single responses, in blocks that it unpacks one at a time.

In: a run with samples. Out: blocks of some questions each, as gzip in base64: candidates, answers, scores, lengths and
response texts, every distinct one once. The texts are what a page of many runs has no room for: they are shortened in
the middle, all to the same length, the longest at which everything fits.
"""

from __future__ import annotations

import base64
import gzip
import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sprint_lmeval.report.page_math import Mathematics
from sprint_lmeval.report.runs import Run

QUESTIONS_IN_BLOCK = 20
LENGTHS = (20_000, 10_000, 6_000, 4_000, 3_000, 2_000, 1_500, 1_200, 900, 700, 550, 420, 320, 240, 180, 120, 60, 0)
SAMPLED_BLOCKS = 3  # of a run, from which the length is chosen
MARGIN = 0.93  # of the room: the blocks that were not sampled may be larger

Texts = list[str] | None


@dataclass(frozen=True)
class Blocks:
    """Blocks of all runs, and to how many characters their texts were shortened (0: left out).

    Attributes:
        packed: of each run its blocks, in the order of its questions.
        length: characters that each response kept at most.
        shortened: how many responses of how many lost some.
    """

    packed: list[list[str]]
    length: int
    shortened: int
    responses: int


class Distinct:
    """Values, each once, by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, value: str | None) -> int:
        return -1 if value is None else self.numbers.setdefault(value, len(self.numbers))

    def values(self) -> list[str]:
        return list(self.numbers)


@dataclass
class Count:
    """What was packed."""

    shortened: int = 0
    responses: int = 0
    size: int = 0


def pack_blocks(runs: Sequence[Run], room: int, mathematics: Mathematics) -> Blocks:
    """Pack what is known of the responses of all runs into at most `room` characters of base64.

    Should even the answers not fit, the texts are left out and the answers stay.
    """
    for length in LENGTHS[_first_that_fits(runs, room * MARGIN, mathematics) :]:
        count = Count()
        packed = [[_packed(run, start, length, mathematics, count) for start in _starts(run)] for run in runs]
        if count.size <= room or length == 0:
            return Blocks(packed, length, count.shortened, count.responses)
    raise AssertionError("the last length is 0")


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
    """Place in LENGTHS: by a few blocks of each run, how large all would be."""
    samples = [_sample(run) for run in runs]

    def fits(place: int) -> bool:
        sizes = (_estimate(run, texts, LENGTHS[place], mathematics) for run, texts in zip(runs, samples, strict=True))
        return sum(sizes) <= room

    return min(bisect_left(range(len(LENGTHS)), True, key=fits), len(LENGTHS) - 1)


def _sample(run: Run) -> dict[int, Texts]:
    """Texts of the questions of a few blocks."""
    starts = _starts(run)
    chosen = starts[:: max(1, len(starts) // SAMPLED_BLOCKS)][:SAMPLED_BLOCKS]
    return {n: run.responses(n) for start in chosen for n in _numbers(run, start)}


def _numbers(run: Run, start: int) -> range:
    return range(start, min(start + QUESTIONS_IN_BLOCK, len(run.questions)))


def _estimate(run: Run, texts: dict[int, Texts], length: int, mathematics: Mathematics) -> float:
    starts = [start for start in _starts(run) if start in texts]
    blocks = [_block(run, start, length, texts.get, mathematics, Count()) for start in starts]
    return sum(len(pack(block)) for block in blocks) * len(_starts(run)) / max(len(starts), 1)


def _packed(run: Run, start: int, length: int, mathematics: Mathematics, count: Count) -> str:
    read = run.responses if length else _no_texts
    packed = pack(_block(run, start, length, read, mathematics, count))
    count.size += len(packed)
    return packed


def _no_texts(number: int) -> None:
    return None


def _block(
    run: Run, start: int, length: int, read: Callable[[int], Texts], mathematics: Mathematics, count: Count
) -> dict:
    candidates, answers, texts = Distinct(), Distinct(), Distinct()
    rows = []
    for number in _numbers(run, start):
        given = read(number) if length else None
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
        count.responses += len(given or ())
        count.shortened += sum(len(text) > length for text in given or ())
    return {
        "candidates": candidates.values(),
        "answers": [mathematics.of_answer(answer) for answer in answers.values()],
        "texts": [shorten(text, length) for text in texts.values()],
        "rows": rows,
    }


def _known(values) -> list[int] | None:
    return None if (values < 0).all() else values.tolist()


def _scores(run: Run, number: int) -> list[float | None] | None:
    if run.scores is None:
        return None
    return [None if score != score else float(f"{score:.5g}") for score in run.scores[number].tolist()]
