r"""The answer inside a response: a model's text in, the text of its final answer (or None) out, in linear time.

What stands within `<think>` is no answer: the text behind the last closing tag is read, an unfinished `<think>` is not.
Kind "math" (MATH): the last `\boxed{}` or `\fbox{}` whose braces balance and that is not empty. There is no other way
to answer, so a response that breaks off before its box has no answer: under an oracle over many candidates, numbers
picked from unfinished working would add up to lucky hits. Where a last box breaks off after a complete one, the
complete one counts.
Kind "number" (GSM8K): that box, else what follows the last `####`, else "answer is", else the last number of the text.
`paper_answer` reads as the paper's grader does: the first box, the last number.
"""

import re
from fractions import Fraction

from sprint_lmeval.answers.numerals import last_number, leading_number, lone_number, show_number

MAX_RESPONSE = 1_000_000  # characters; of a longer response only the end is read

_BOX_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(
    r"\\boxed(?: {1,9}|(?=[\\(\d]))"
    r"([-+]?(?:\.?\d|[(\[]-?(?:[\d\\]|[a-z][,)]))[^\s$]{0,99}"
    r"|\\text ?\{[^{}]{0,99}\}|\\[a-z]+[^\s$]{0,99}|[A-Za-z](?=[\s$.,;]*$))",
    re.MULTILINE,
)
_THINK = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_WORKING = re.compile(r"[=≈]|\\approx\b")
_ANSWER_WORDS = r"answer(?: is\b| ?:| ?=| should be\b| would be\b)"
_HASHES = re.compile(rf"####[\s*]{{0,20}}(?:(?:the )?(?:final )?{_ANSWER_WORDS})?([^\n]{{0,200}})", re.IGNORECASE)
_ANSWER_IS = re.compile(rf"{_ANSWER_WORDS}[\s:*=]{{0,20}}([^\n]{{0,200}})", re.IGNORECASE)
_REMARK = re.compile(r"\([^()\n]{0,200}\)")
_HEADING = re.compile(r"\s*\d{1,2}[.)]\s+[A-Za-z]")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DIGITS = re.compile(r"-?\d+(?:\.\d+)?")


def last_box(response: str) -> str | None:
    """The content of the last balanced, non-empty box of the response; the inner one where boxes are nested."""
    start = _first_box(response)
    if start < 0:
        return None
    opened: list[int] = []  # for every open brace: where a box's content starts, or -1
    best_start, best = -1, None
    for token in _BOX_TOKEN.finditer(response, start):
        text = token.group()
        if text == "}":
            content_start = opened.pop() if opened else -1
            if content_start > best_start and response[content_start : token.start()].strip():
                best_start, best = content_start, (content_start, token.start())
        elif text == "{":
            opened.append(-1)
        elif text.endswith("{") and len(text) > 2:
            opened.append(token.end())
    if best is None:
        return _bare_box(response, start)
    return response[best[0] : best[1]].strip()


def extract_math(response: str) -> str | None:
    """The final answer of a MATH response, or None."""
    return last_box(readable(response))


def extract_number(response: str) -> str | None:
    """The final number of a GSM8K response as plain text ("29", "-3.5", "2/3"), or None.

    A box that holds something other than one number gives its own text (short), which equals no number.
    """
    response = readable(response)
    box = last_box(response)
    if box is not None:
        number = lone_number(_last_side(box[-1000:]))
        return box[:200] if number is None else show_number(number)
    for pattern in (_HASHES, _ANSWER_IS):
        for match in reversed(list(pattern.finditer(response))[-50:]):
            answer = _stated_answer(match.group(1))
            if answer is not None:
                return answer
    number = _last_number(response[-20_000:])
    return None if number is None else show_number(number)


def paper_answer(response: str, kind: str) -> str | None:
    r"""The answer as the paper's grader finds it: the first `\boxed{}` (math), the last run of digits (number)."""
    response = readable(response)
    if kind == "number":
        return next(reversed(_DIGITS.findall(response[-20_000:].replace(",", ""))), None)
    start, depth = response.find("\\boxed{") + len("\\boxed{"), 1
    for brace in _BRACE.finditer(response, start) if start >= len("\\boxed{") else ():
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if not depth:
            return response[start : brace.start()].strip() or None
    return None


def readable(response: str) -> str:
    """The end of the response behind its thoughts, without lone surrogates (no file takes them) and NUL characters."""
    if "<" in response:
        response = _spoken(response)
    response = response[-MAX_RESPONSE:]
    if not response.isascii():
        response = response.encode("utf-8", "replace").decode("utf-8")
    return response.replace("\0", " ")


def _spoken(response: str) -> str:
    """What stands behind the last `</think>`, up to a `<think>` that does not end."""
    start, end = 0, len(response)
    for tag in _THINK.finditer(response):
        if tag[1]:
            start, end = tag.end(), len(response)
        elif end == len(response):
            end = tag.start()
    return response[start:end]


def _first_box(response: str) -> int:
    found = [at for at in (response.find("\\boxed"), response.find("\\fbox")) if at >= 0]
    return min(found, default=-1)


def _bare_box(response: str, start: int) -> str | None:
    r"""`\boxed 5`, as some models write; only where no box with braces is complete, and no word of prose about it."""
    bare = _BARE_BOX.findall(response, start)
    return (bare[-1].rstrip(".,;") or None) if bare else None


def _last_side(text: str) -> str:
    return _WORKING.split(text)[-1]


def _stated_answer(text: str) -> str | None:
    """The number of `29 dollars (see step 2)`; of working, the one after its last equals sign; of a heading, none."""
    if _HEADING.match(text):
        return None
    return leading_number(_last_side(_REMARK.sub(" ", _SENTENCE_END.split(text, maxsplit=1)[0])))


def _last_number(text: str) -> Fraction | None:
    """The last number of the text; one in a bracketed remark only where there is no other."""
    number = last_number(_REMARK.sub(" ", text))
    return last_number(text) if number is None else number
