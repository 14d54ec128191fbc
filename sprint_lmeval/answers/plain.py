r"""Compares two MATH answers without algebra: as text, words, number bases, ratios, plain numbers.

In: two answers as text (the gold one first). Out: same, not same, or undecided (then algebra decides, in a worker).
docs/answers.md says what counts as equal. `clean` brings an answer into one notation, step by step: signs and commands
(characters.py), prose (words.py), numerals (math_notation.py), spaces, names (relations.py), units (units.py).
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from sprint_lmeval.answers.characters import TEXT, one_spelling
from sprint_lmeval.answers.math_notation import beside_each_other, plain_digits
from sprint_lmeval.answers.numerals import exact_number
from sprint_lmeval.answers.relations import without_names
from sprint_lmeval.answers.units import Unit, without_restatement, without_unit
from sprint_lmeval.answers.words import bare_words, without_prose, word_text

MAX_PARSED = 400  # characters; a longer answer is compared as text only (the longest gold answer of MATH has 157)

_SIMPLE = re.compile(r"-?\d+(?:\.\d+)?|-?\\frac\{-?\d+\}\{\d+\}|-?\d+/\d+")
_LINES = re.compile(r"\\\\(?![a-zA-Z])")
_COMMAND_SPACE = re.compile(r"(\\[A-Za-z]+) +(?=[^A-Za-z0-9 ])")
_NEEDLESS_SPACE = re.compile(r" (?![A-Za-z0-9])|(?<![A-Za-z0-9]) |(?<=\d) (?=[A-Za-z\\])")
_APPROXIMATELY = re.compile(r"^(?:\\approx|\\sim)")
_FRAC_SPACE = re.compile(r"\\frac (?=[\d{])")
_FRAC_OF_LETTER = re.compile(r"\\frac ?(\\(?:pi|theta|alpha|beta))(?![A-Za-z]) ?")
_TO = re.compile(rf"(?<=\d) ?(?:{TEXT} ?\{{ ?to ?\}}|to) ?(?=\d)")
_RATIO = re.compile(r"\d ?: ?-?\d")
_CLOCK = re.compile(rf"{TEXT}|[{{}}.~\s\\,]")
_BASE = re.compile(
    r"(?<![A-Za-z\\\d.])(?:(\d+)_(?:\{(\d{1,2})\}|(\d))(?!\d)|((?=[A-Fa-f]*\d|[A-F]{2})[\dA-Fa-f]+)_\{(1[1-6])\})"
)


@dataclass(frozen=True)
class Cleaned:
    """An answer without wrapping: its text, unit where known, percent sign; `several` values beside each other."""

    text: str
    unit: Unit | None = None
    percent: bool = False
    several: bool = False


@lru_cache(maxsize=4096)
def clean(answer: str) -> Cleaned:
    """The answer without dollars, spacing, styling, names and unit; one spelling for each notation."""
    if _SIMPLE.fullmatch(answer):
        return Cleaned(answer)
    unit = ("dollar", 1) if re.match(r"\s*-?\s*\\?\$", answer) and r"\$" in answer else None
    text = _FRAC_SPACE.sub(r"\\frac", re.sub(r"\s+", " ", one_spelling(answer)))
    text = _FRAC_OF_LETTER.sub(r"\\frac{\1}", text).strip()
    if "begin" not in text:
        text = _LINES.sub(r"\\quad ", text)
    text = plain_digits(without_prose(text))
    several = beside_each_other(text)
    text = re.sub(r" +", " ", text.replace(r"\quad", " "))
    text = _NEEDLESS_SPACE.sub("", _COMMAND_SPACE.sub(r"\1", text)).strip().rstrip(" .,;\\")
    text = without_restatement(_APPROXIMATELY.sub("", _TO.sub(":", text)))
    return Cleaned(*without_unit(without_names(_ungrouped(text)), unit), several)


def _ungrouped(text: str) -> str:
    """`{5}`, as a colour leaves it, without its braces."""
    return text[1:-1] if re.fullmatch(r"\{[^{}]*\}", text) else text


def same_without_algebra(gold: str, answer: str) -> bool | None:
    """Whether the answer is the gold one, where text and plain numbers decide it; None where algebra must."""
    if len(answer) > MAX_PARSED or len(gold) > MAX_PARSED:
        return gold == answer
    left, right = clean(gold), clean(answer)
    if not left.text or not right.text:
        return False
    if left.unit and right.unit and left.unit != right.unit:
        return False
    if left.text == right.text:
        return True
    if left.several or right.several or (r"\ldots" in left.text) != (r"\ldots" in right.text):
        return False
    bases, other_bases = _bases(left.text), _bases(right.text)
    if bases or other_bases:
        return _same_bases(left.text, right.text)
    if _RATIO.search(left.text) or _RATIO.search(right.text):  # ratios and times of day: the same digits or nothing
        return _clock(left.text) == _clock(right.text)
    words = word_text(left.text)
    if words is not None:
        return words == (word_text(right.text) or bare_words(right.text))
    return _same_plain_numbers(left, right)


def is_plain(gold: str) -> bool:
    """Whether a gold answer is of a kind that needs no algebra: a plain number, a numeral with its base, or words."""
    cleaned = clean(gold)
    text = cleaned.text
    if cleaned.several or exact_number(_unspaced(text)) is not None or word_text(text) is not None:
        return True
    return bool(_BASE.fullmatch(text) or _RATIO.search(text))


def within_tolerance(gold: Fraction, answer: Fraction) -> bool:
    """Whether a rounded decimal stands for the number: at most 1e-6 away, and at most 1e-5 of it."""
    distance = abs(gold - answer)
    return distance <= Fraction(1, 10**6) and distance <= abs(gold) / 10**5


def _clock(text: str) -> str:
    r"""`\text{4:30 p.m.}` and `4:30\text{PM}` as `4:30pm`."""
    return _CLOCK.sub("", text).lower()


def _bases(text: str) -> list[str]:
    return [_with_base(match) for match in _BASE.finditer(text)]


def _same_bases(gold: str, answer: str) -> bool:
    """A numeral with a base equals the same digits in the same base; without a base it is a decimal one."""
    spelled = [_BASE.sub(_with_base, text).replace(" ", "") for text in (gold, answer)]
    return spelled[0] == spelled[1]


def _with_base(match: re.Match) -> str:
    digits, base = match[1] or match[4].upper(), match[2] or match[3] or match[5]
    return digits if base == "10" else f"{digits}_{{{base}}}"


def _same_plain_numbers(gold: Cleaned, answer: Cleaned) -> bool | None:
    left, right = exact_number(_unspaced(gold.text)), exact_number(_unspaced(answer.text))
    if left is None or right is None:
        return None
    if left == right or (_has_point(gold, answer) and within_tolerance(left, right)):
        return True
    if gold.percent == answer.percent:
        return False
    return left == right * 100 if gold.percent else left * 100 == right


def _has_point(gold: Cleaned, answer: Cleaned) -> bool:
    return "." in gold.text or "." in answer.text


def _unspaced(text: str) -> str:
    return re.sub(r"(?<=\d) (?=\\frac)", "", text)
