"""Verdicts: (responses, gold answer) in, one of five verdicts per response out, and which answers say the same.

    correct    the response's final answer equals the gold one
    incorrect  it has a final answer that does not, one that cannot be read as mathematics included
    no_answer  it has none (extraction.py says what an answer is)
    timeout    comparing took longer than 2 s of processor time, or stood still for 10 s, twice
    error      comparing crashed or needed more than 1 GB (where sympy copes with its own failure: incorrect)

Text and plain numbers are decided here; everything else by algebra in worker processes that can be killed, so a hostile
response costs at most those limits and never the run. Each distinct answer of a question is judged once, then, where it
is incorrect, compared with the other ones in one more job. Importing this module is cheap (no sympy, no torch). Linux
and macOS; not Windows.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from sprint_lmeval.answers.extraction import extract_math, extract_number, paper_answer
from sprint_lmeval.answers.numerals import exact_number, lone_number
from sprint_lmeval.answers.plain import MAX_PARSED, is_plain, same_without_algebra
from sprint_lmeval.answers.worker_pool import pool

KINDS = ("math", "number")
NUMBER_TOLERANCE = Fraction(1, 10_000)  # as in the paper's grader for GSM8K


class Verdict(StrEnum):
    """What became of one response: it counts where it is `correct`, and stays in the denominator whatever it is."""

    correct = "correct"
    incorrect = "incorrect"
    no_answer = "no_answer"
    timeout = "timeout"
    error = "error"


VERDICTS = tuple(Verdict)  # verdict code -> verdict
NOT_RUN = -1  # verdict code of a candidate that did not answer a question
UNKNOWN = -1  # of `truncated` and `new_tokens`

Comparison = tuple[str, str, str]  # answer, gold, kind


class Memory(Protocol):
    """What is known from earlier runs of the same grader, and is not done again (store/judgements.py)."""

    def verdicts(self, asked: list[Comparison]) -> dict[Comparison, Verdict]: ...

    def keep_verdicts(self, verdicts: dict[Comparison, Verdict]) -> None: ...

    def alike(self, answer: str, others: list[str]) -> dict[str, bool]:
        """Of which other answers it is known whether this one equals them by algebra."""

    def keep_alike(self, answer: str, alike: dict[str, bool]) -> None: ...


@dataclass(frozen=True)
class Judgement:
    """The responses of one question: answer, verdict and group of equal answers (None without an answer), in order."""

    answers: list[str | None]
    verdicts: list[Verdict]
    groups: list[int | None]


def _versions() -> dict[str, str]:
    found = {"sprint_lmeval_grader": "2"}
    for package in ("math-verify", "latex2sympy2_extended", "sympy"):
        try:
            found[package.replace("-", "_")] = version(package)
        except PackageNotFoundError:
            found[package.replace("-", "_")] = "absent"
    return found


GRADER: dict[str, str] = _versions()


def extract_answer(response: str, kind: str) -> str | None:
    """The final answer of a response as text, None where it has none. Kind: "math" or "number"."""
    _check_kind(kind)
    return extract_math(response) if kind == "math" else extract_number(response)


def check_answer(response: str, gold: str, kind: str = "math") -> Verdict:
    r"""Return the verdict of one response.

    Args:
        response: all that the model wrote.
        gold: the right answer: LaTeX without dollar signs (`math`), or a number (`number`).
        kind: `math` reads the last `\boxed{}`, as in MATH; `number` the final number, as in GSM8K.
    """
    return judge_responses([response], gold, kind).verdicts[0]


def judge_responses(responses: list[str], gold: str, kind: str, memory: Memory | None = None) -> Judgement:
    """Verdicts and groups of the responses of one question.

    All correct answers are one group. An answer whose comparison timed out or crashed is a group of its own.
    """
    return judge_many([(responses, gold, kind)], memory)[0]


def judge_many(questions: list[tuple[list[str], str, str]], memory: Memory | None = None) -> list[Judgement]:
    """`judge_responses` for many questions (responses, gold, kind) at once, which keeps all cores at work."""
    answers = [[extract_answer(response, kind) for response in responses] for responses, _, kind in questions]
    asked = {
        (answer, gold, kind): None
        for found, (_, gold, kind) in zip(answers, questions, strict=True)
        for answer in found
        if answer is not None
    }
    verdicts = _verdicts(list(asked), memory)
    rows = []
    for found, (_, gold, kind) in zip(answers, questions, strict=True):
        rows.append((found, [verdicts.get((answer, gold, kind), Verdict.no_answer) for answer in found], kind, memory))
    return [Judgement(*row[:2], groups) for row, groups in zip(rows, pool().each(_groups, rows), strict=True)]


def paper_verdicts(responses: list[str], gold: str, kind: str, memory: Memory | None = None) -> list[Verdict]:
    """Verdicts of the answers that the paper's grader reads (`paper_answer`); what equals the gold is decided as ever.

    Its tolerance for numbers, 1e-4, is ours too.
    """
    answers = [paper_answer(response, kind) for response in responses]
    verdicts = _verdicts([(answer, gold, kind) for answer in dict.fromkeys(answers) if answer is not None], memory)
    return [verdicts.get((answer, gold, kind), Verdict.no_answer) for answer in answers]


def group_answers(questions: list[tuple[list[str | None], list[Verdict], str]]) -> list[list[int | None]]:
    """Groups of equal answers for answers that were judged before: (answers, verdicts, kind) of each question."""
    for _, _, kind in questions:
        _check_kind(kind)
    return pool().each(_groups, [(answers, verdicts, kind, None) for answers, verdicts, kind in questions])


def _verdicts(asked: list[Comparison], memory: Memory | None) -> dict[Comparison, Verdict]:
    known = memory.verdicts(asked) if memory else {}
    unknown = [one for one in asked if one not in known]
    judged = dict(zip(unknown, pool().each(_judge, unknown), strict=True))
    if memory:
        memory.keep_verdicts(judged)
    return known | judged


def check_gold(gold: str, kind: str = "math") -> None:
    """ValueError where a gold answer cannot be read or does not equal itself: it would score every response wrong."""
    _check_kind(kind)
    problem = _gold_problem(gold, kind)
    if problem:
        raise ValueError(problem)


def check_golds(golds: list[str], kind: str = "math") -> list[str | None]:
    """What `check_gold` says of each gold answer, None where it is good; on all cores."""

    _check_kind(kind)
    distinct = list(dict.fromkeys(golds))
    problems = dict(zip(distinct, pool().each(lambda gold: _gold_problem(gold, kind), distinct), strict=True))
    return [problems[gold] for gold in golds]


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown kind of answer {kind!r}: the kinds are {' and '.join(KINDS)}")


def _gold_problem(gold: str, kind: str) -> str | None:
    problem = _number_problem(gold) if kind == "number" else _math_problem(gold)
    return problem and f"gold answer {gold[:200]!r} {problem}: every response to it would be judged wrong"


def _number_problem(gold: str) -> str | None:
    return None if lone_number(gold) is not None else "is not a number"


def _math_problem(gold: str) -> str | None:
    if gold.strip() in ("", "None", "null", "nan"):  # an absent value; None would be read as the product N*o*n*e
        return "is empty"
    if len(gold) > MAX_PARSED:
        return f"is longer than {MAX_PARSED} characters"
    if is_plain(gold):
        return None
    reply = pool().run({"gold": gold})
    return reply.get("problem", "could not be compared with itself in time")


def _judge(asked: Comparison) -> Verdict:
    """The verdict of one distinct answer."""
    answer, gold, kind = asked
    if kind == "number":
        return _as_verdict(_same_number(gold, answer))
    same = same_without_algebra(gold, answer)
    if same is not None:
        return _as_verdict(same)
    reply = pool().run({"gold": gold, "answer": answer})
    if "same" in reply:
        return _as_verdict(reply["same"])
    return Verdict.timeout if "timeout" in reply else Verdict.error


def _as_verdict(same: bool) -> Verdict:
    return Verdict.correct if same else Verdict.incorrect


def _same_number(gold: str, answer: str) -> bool:
    left, right = lone_number(gold), exact_number(answer)
    return left is not None and right is not None and abs(left - right) < NUMBER_TOLERANCE


def _groups(row: tuple[list[str | None], list[Verdict], str, Memory | None]) -> list[int | None]:
    """Group numbers in order of appearance."""
    answers, verdicts, kind, memory = row
    representatives: list[str] = []  # the first answer of each group of incorrect answers
    named: dict[str, str] = {}  # answer -> name of its group
    for answer, verdict in zip(answers, verdicts, strict=True):
        if answer is None or answer in named:
            continue
        if verdict is Verdict.correct:
            named[answer] = "correct"
        elif verdict is Verdict.incorrect:
            named[answer] = "like " + _representative(answer, representatives, kind, memory)
        else:
            named[answer] = "alone " + answer
    numbers = {name: number for number, name in enumerate(dict.fromkeys(named.values()))}
    return [None if answer is None else numbers[named[answer]] for answer in answers]


def _representative(answer: str, representatives: list[str], kind: str, memory: Memory | None) -> str:
    """The first answer of the group to which this one belongs; itself, as the first of a new group, else."""
    undecided = []
    for first in representatives:
        same = _same_number(first, answer) or first == answer if kind == "number" else _same_plainly(first, answer)
        if same:
            return first
        if same is None:
            undecided.append(first)
    reply = _first_alike(answer, undecided, memory) if undecided else {"index": None}
    if reply.get("index") is not None:
        return undecided[reply["index"]]
    if "index" in reply:  # an answer whose comparison failed is compared with no other one
        representatives.append(answer)
    return answer


def _first_alike(answer: str, others: list[str], memory: Memory | None) -> dict:
    """{"index": which of the others is the first that this answer equals, or None}, without it where that failed."""
    known = memory.alike(answer, others) if memory else {}
    start = next((i for i, other in enumerate(others) if known.get(other) is not False), len(others))
    if start == len(others) or known.get(others[start]):
        return {"index": start if start < len(others) else None}
    reply = pool().run({"answer": answer, "others": others[start:]})
    if "index" not in reply:
        return {}
    index = None if reply["index"] is None else start + reply["index"]
    if memory:
        memory.keep_alike(answer, {other: i == index for i, other in enumerate(others[: _after(index)])})
    return {"index": index}


def _after(index: int | None) -> int | None:
    return None if index is None else index + 1


def _same_plainly(answer: str, other: str) -> bool | None:
    """As `same_without_algebra`, with neither answer the gold one."""
    return same_without_algebra(answer, other) or same_without_algebra(other, answer)
