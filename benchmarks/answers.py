"""Verdicts per second, for distinct answers that need algebra, for plain numbers and for equal answers.

    python benchmarks/answers.py

Prints one line per case, the median of three rounds. Each round asks what no round before it asked.
"""

import statistics
import time
from collections.abc import Callable

from sprint_lmeval.answers.verdicts import judge_many
from sprint_lmeval.answers.worker_pool import pool

QUESTIONS = 40
RESPONSES = 16


def algebra(question: int, round_: int) -> tuple[str, list[str]]:
    """A gold answer and responses, all distinct; every other one equal, none by its text."""
    radicand = question + 50 * round_ + 2
    same = [rf"\sqrt{{{4 * radicand}}} + {n}x - {n - 3}x" for n in range(RESPONSES // 2)]
    other = [rf"\sqrt{{{4 * radicand}}} + {n + 4}x" for n in range(RESPONSES // 2)]
    return rf"2\sqrt{{{radicand}}} + 3x", same + other


def plain_numbers(question: int, round_: int) -> tuple[str, list[str]]:
    return str(question), [
        rf"\frac{{{question * n}}}{{{n + n % 2}}}" for n in range(round_ + 1, round_ + RESPONSES + 1)
    ]


def equal_texts(question: int, round_: int) -> tuple[str, list[str]]:
    return rf"\sqrt{{{question + 2}}}", [rf"\sqrt{{{question + 50 * round_ + 7}}}"] * RESPONSES


def verdicts_per_second(case: Callable[[int, int], tuple[str, list[str]]], round_: int) -> float:
    made = [case(question, round_) for question in range(QUESTIONS)]
    questions = [([rf"\boxed{{{answer}}}" for answer in answers], gold, "math") for gold, answers in made]
    start_s = time.perf_counter()
    judge_many(questions)
    return QUESTIONS * RESPONSES / (time.perf_counter() - start_s)


def main() -> None:
    pool().each(pool().run, [{"gold": "x"}] * pool().size)  # the workers are up
    print(f"{QUESTIONS} questions x {RESPONSES} responses, groups included, {pool().size} workers")
    for case in (algebra, plain_numbers, equal_texts):
        rates = [verdicts_per_second(case, round_) for round_ in range(3)]
        print(f"{case.__name__:<13} {statistics.median(rates):9.0f} verdicts/s")


if __name__ == "__main__":
    main()
