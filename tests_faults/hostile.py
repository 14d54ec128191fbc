"""Answers that were made to hang or crash a grader: none raises, each ends in bounded time and memory."""

from __future__ import annotations

import random
import resource
import time
from collections import Counter
from dataclasses import dataclass

import psutil

from sprint_lmeval.answers.verdicts import Verdict, check_answer
from tests_faults.outcome import Outcome

DIGITS = "0123456789"
MOST_S = 60.0  # of one answer, by the clock: far above what it takes, since the machine may be busy


def _towers(draw: random.Random) -> str:
    return "^{".join(str(draw.randrange(2, 10)) for _ in range(draw.randrange(3, 40))) + "}" * 40


def _long_numbers(draw: random.Random) -> str:
    return "".join(draw.choice(DIGITS) for _ in range(draw.choice([400, 5_000, 200_000])))


def _deep_fractions(draw: random.Random) -> str:
    depth = draw.choice([10, 100, 2_000])
    return r"\frac{1}{" * depth + "x" + "}" * depth


def _unclosed(draw: random.Random) -> str:
    return draw.choice([r"\left(", "{", r"\boxed{", r"\(", "[", r"\begin{pmatrix}", r"\text{"]) * draw.choice(
        [50, 20_000]
    )


def _factorials(draw: random.Random) -> str:
    return f"{draw.randrange(10**3, 10**9)}" + "!" * draw.randrange(1, 6)


def _matrices(draw: random.Random) -> str:
    side = draw.choice([3, 30, 150])
    rows = r" \\ ".join(" & ".join(str(draw.randrange(9)) for _ in range(side)) for _ in range(side))
    return rf"\begin{{pmatrix}}{rows}\end{{pmatrix}}" + draw.choice(["", "^{-1}", "^{99}"])


def _operators(draw: random.Random) -> str:
    return draw.choice(
        [
            r"\operatorname{eye}(20000)",
            r"\int_0^1 x^{x^x} dx",
            r"\sum_{k=1}^{10^9} \frac{1}{k^2}",
            r"\prod_{k=1}^{10^8} k",
        ]
    ) + "+1" * draw.randrange(50)


def _repeated(draw: random.Random) -> str:
    return draw.choice(["111,", "1 ", "$1$", "-", "= 1 ", "x=1,", r"\pi", "½", "\u202f1"]) * draw.choice([100, 5_000])


def _polynomials(draw: random.Random) -> str:
    return "(x+1)" + "".join(
        f"(x+{draw.randrange(99)})^{{{draw.randrange(1, 60)}}}" for _ in range(draw.randrange(5, 60))
    )


def _code(draw: random.Random) -> str:
    return (
        draw.choice(["__import__('os').system('touch hacked')", "exec('1')", "().__class__", r"\input{/etc/passwd}"])
        * 3
    )


def _garbage(draw: random.Random) -> str:
    return "".join(
        chr(draw.choice([draw.randrange(32, 127), draw.randrange(0xD800, 0xE000), draw.randrange(0x2FFFF)]))
        for _ in range(300)
    )


CLASSES = {
    "towers of powers": _towers,
    "long numbers": _long_numbers,
    "deep fractions": _deep_fractions,
    "unclosed brackets": _unclosed,
    "factorials": _factorials,
    "matrices": _matrices,
    "sums, integrals, operators": _operators,
    "repetition": _repeated,
    "polynomials": _polynomials,
    "code": _code,
    "random characters": _garbage,
}
GOLDS = (("math", "3"), ("math", r"\frac{1}{2}"), ("math", "x^2+1"), ("number", "18"))


@dataclass
class Worst:
    """The slowest and largest answer of a class."""

    seconds: float = 0.0
    megabytes: float = 0.0


def hostile(a_class: int, seed: int) -> tuple[Outcome, dict[str, Worst]]:
    """Judge `a_class` made-up answers of each class."""
    outcome, worst, verdicts = Outcome("hostile answers"), {}, Counter()
    for name, make in CLASSES.items():
        draw = random.Random(f"{seed} {name}")
        worst[name] = Worst()
        for number in range(a_class):
            kind, gold = GOLDS[number % len(GOLDS)]
            text = make(draw)
            response = draw.choice(
                [r"\boxed{" + text + "}", text, f"#### {text}", f"So ${text}$. " + r"\boxed{" + text + "}"]
            )
            outcome.note(_judged(response, gold, kind, worst[name], verdicts))
    outcome.said = ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items()))
    return outcome, worst


def _judged(response: str, gold: str, kind: str, worst: Worst, verdicts: Counter) -> str | None:
    before = time.monotonic()
    try:
        verdict = check_answer(response, gold, kind)
    except Exception as error:
        return f"{type(error).__name__} for {response[:60]!a}"
    seconds = time.monotonic() - before
    verdicts[verdict.value] += 1
    worst.seconds = max(worst.seconds, seconds)
    worst.megabytes = max(worst.megabytes, _megabytes())
    if verdict is Verdict.correct:
        return f"correct: {response[:80]!a} for {gold}"
    return f"{seconds:.1f} s for {response[:60]!a}" if seconds > MOST_S else None


def _megabytes() -> float:
    """Of this process at its largest, or of a worker now."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sizes = [0.0]
    for child in psutil.Process().children(recursive=True):
        try:
            sizes.append(child.memory_info().rss / 2**20)
        except psutil.Error:
            continue
    return max(own, *sizes)
