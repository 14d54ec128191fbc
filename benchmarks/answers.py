"""Verdicts per second, for distinct answers that need algebra, for plain numbers and for equal answers.

    python benchmarks/answers.py

Prints one line per case, the median of three rounds. Each round asks what no round before it asked.
"""

import statistics
import time
from collections.abc import Callable

from sprint_lmeval.answer_pool import pool
from sprint_lmeval.answers import judge_many

QUESTIONS = 40
RESPONSES = 16


def algebra(question: int, response: int, round_: int) -> str:
    """An answer that is equal to the gold one every other time, never by its text."""
    return rf"\boxed{{\sqrt{{{4 * (question + 50 * round_ + 2)}}} + {response // 2}x + {response % 2}}}"


def plain_number(question: int, response: int, round_: int) -> str:
    return rf"\boxed{{\frac{{{question}}}{{{response + 7 + round_}}}}}"


def equal(question: int, response: int, round_: int) -> str:
    return rf"\boxed{{\sqrt{{{question + 50 * round_ + 2}}} + {question}x}}"


def verdicts_per_second(case: Callable[[int, int, int], str], round_: int) -> float:
    questions = [
        (
            [case(question, response, round_) for response in range(RESPONSES)],
            rf"2\sqrt{{{question + 50 * round_ + 2}}} + 3x",
            "math",
        )
        for question in range(QUESTIONS)
    ]
    start_s = time.perf_counter()
    judge_many(questions)
    return QUESTIONS * RESPONSES / (time.perf_counter() - start_s)


def main() -> None:
    pool().run_many([{"gold": "x"}] * pool().size)  # the workers are up
    print(f"{QUESTIONS} questions x {RESPONSES} responses, groups included, {pool().size} workers")
    for case in (algebra, plain_number, equal):
        rates = [verdicts_per_second(case, round_) for round_ in range(3)]
        print(f"{case.__name__:<13} {statistics.median(rates):9.0f} verdicts/s")


if __name__ == "__main__":
    main()
