r"""What two MATH answers need no algebra for: cleaning, units, percent, number bases, words, plain numbers.

In: two answers as text (the gold one first). Out: same, not same, or undecided (then algebra decides, in a worker).
The rules follow the MATH benchmark's own graders (a unit or a percent sign may be missing or added: 50 and 50\%; 0.5
and 50\% are the same value), and close what an algebra package lets through: another base, another unit, another word.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from sprint_lmeval.answers.numerals import exact_number

MAX_PARSED = 400  # characters; a longer answer is compared as text only (the longest gold answer of MATH has 157)

_UNICODE = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": r"\div ", "π": r"\pi ", "∞": r"\infty ",
        "°": r"^\circ ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "±": r"\pm ", "∪": r"\cup ", "∩": r"\cap ",
        "∈": r"\in ", "²": "^2", "³": "^3", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
        "\u00a0": " ", "\u202f": " ", "£": "", "€": "", "’": "'",
    }
)  # fmt: skip
_WRAPPERS = re.compile(r"(?<!\\)\\[()\[\]]|(?<!\\)\$")
_STYLE = re.compile(r"\\(?:displaystyle|textstyle|limits|Big|big|bigg|Bigg|bigl|bigr|Bigl|Bigr)(?![a-zA-Z])")
_THIN_SPACE = re.compile(r"(?<!\\)((?:\\\\)*)(?:\\[,;:! ]|\\q?quad(?![a-z])|~)")
_COMMAND_SPACE = re.compile(r"(\\[A-Za-z]+) +(?=[^A-Za-z0-9 ])")
_NEEDLESS_SPACE = re.compile(r" (?![A-Za-z0-9])|(?<![A-Za-z0-9]) |(?<=\d) (?=[A-Za-z\\])")
_STYLES = "text|mbox|mathrm|textrm|textbf|mathbf|textit|textnormal|textsf|hbox|emph|bf|rm"
_TEXT = re.compile(rf"\\(?:{_STYLES}) ?\{{([^{{}}]*)\}}")
_STYLED_NUMBER = re.compile(_TEXT.pattern.replace(r"([^{}]*)", r"(-?[\d.,/]+)"))
_SEPARATED = re.compile(r"(?<=\d) ?(?:\{,\}|,) ?(?=\d{3}(?!\d))")
_APPROXIMATELY = re.compile(r"^(?:\\approx|≈|\\sim)")
_FRAC_OF_LETTER = re.compile(r"\\frac ?(\\(?:pi|theta|alpha|beta))(?![A-Za-z]) ?")
_RATIO = re.compile(r"\d ?: ?-?\d")
_BASE = re.compile(r"(?<![A-Za-z\\\d.])((?=[A-F]*\d)[\dA-F]+)_(?:\{(?:\\text\{)?(?:base)?(\d{1,2})\}?\}|(\d))(?!\d)")
_UNIT_WORDS = r"[A-Za-z][A-Za-z. /]*"
_TRAILING_UNIT = re.compile(
    rf"(?:(?<=[\d}})a-z])\\(?:{_STYLES}) ?\{{ ?({_UNIT_WORDS}) ?\}}|(?<=\d)([A-Za-z]{{2}}[A-Za-z. /]*))"
    r"(?:\^\{?([23])\}?)?$"
)
_DEGREES = re.compile(r"\^(?:\{\\circ\}|\\circ(?![a-z]))")
_ANGLE_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|cis)")
_PERCENT = re.compile(r"(?:\\?%|\\text\{ ?percent ?\}|percent)$")
_NO_UNIT = set("and or mod pi i e base sqrt if for sin cos tan log ln cot sec".split())
_UNIT_SPELLINGS = """dollar usd buck / cent / euro / degree deg / radian rad / inch inche in / foot feet ft / yard yd /
    mile mi / mm millimeter / cm centimeter centimetre / m meter metre / km kilometer kilometre / second sec /
    minute min / hour hr / day / week / month / year / gram g gm / kg kilogram / pound lb / ounce oz /
    mph / liter litre / gallon"""
_UNITS = {word: words.split()[0] for words in _UNIT_SPELLINGS.split("/") for word in words.split()}


@dataclass(frozen=True)
class Cleaned:
    """An answer without wrapping: its text, its unit as (name, power) where it is a known one, and its percent sign."""

    text: str
    unit: tuple[str, int] | None = None
    percent: bool = False


@lru_cache(maxsize=4096)
def clean(answer: str) -> Cleaned:
    """The answer without dollars, spacing, styling and unit; one spelling for each notation."""
    text = _STYLE.sub("", answer.translate(_UNICODE))
    unit = ("dollar", 1) if re.match(r"\s*-?\s*\\?\$", answer) and r"\$" in answer else None
    text = _WRAPPERS.sub("", text.replace(r"\$", ""))
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = _FRAC_OF_LETTER.sub(r"\\frac{\1}", text)
    text = re.sub(r"\\(left|right)(?![a-zA-Z])\.?", "", text)
    text = re.sub(r"\\(leq|geq|neq)(?![a-zA-Z])", lambda match: match[0][:-1], text)
    text = re.sub(r"\s+", " ", _THIN_SPACE.sub(r"\1 ", text)).strip()
    if re.search(r",\s*\\!|\{,\}|\\!,", answer):
        text = _SEPARATED.sub(",", text)
    text = _NEEDLESS_SPACE.sub("", _COMMAND_SPACE.sub(r"\1", text)).rstrip(" .,;\\")
    text = _STYLED_NUMBER.sub(r"\1", _APPROXIMATELY.sub("", text))
    return _without_unit(_without_restatement(text), unit)


def same_without_algebra(gold: str, answer: str) -> bool | None:
    """Whether the answer is the gold one, where text and plain numbers can tell; None where algebra must decide."""
    if len(answer) > MAX_PARSED or len(gold) > MAX_PARSED:
        return gold == answer
    left, right = clean(gold), clean(answer)
    if not left.text or not right.text:
        return False
    if left.unit and right.unit and left.unit != right.unit:
        return False
    if left.text == right.text:
        return True
    bases, other_bases = _bases(left.text), _bases(right.text)
    if bases or other_bases:
        return _same_bases(left.text, right.text)
    if _RATIO.search(left.text) or _RATIO.search(right.text):  # ratios and times of day: the same text or nothing
        return False
    words = word_text(left.text)
    if words is not None:
        return words == (word_text(right.text) or _bare_words(right.text))
    return _same_plain_numbers(left, right)


def is_plain(gold: str) -> bool:
    """Whether a gold answer is of a kind that needs no algebra: a plain number, a numeral with its base, or words."""
    text = clean(gold).text
    if exact_number(_unspaced(text)) is not None or word_text(text) is not None:
        return True
    return bool(_BASE.fullmatch(text) or _RATIO.search(text))


def within_tolerance(gold: Fraction, answer: Fraction) -> bool:
    """Whether a rounded decimal stands for the number: at most 1e-6 away, and at most 1e-5 of it."""
    distance = abs(gold - answer)
    return distance <= Fraction(1, 10**6) and distance <= abs(gold) / 10**5


def word_text(text: str) -> str | None:
    r"""The words of `\text{Evelyn}` or `(C)` in one spelling, None for anything that is not words."""
    if re.fullmatch(r"[\s().,]*", _TEXT.sub("", text)) or re.fullmatch(r"\(?[A-Z]\)?|[A-Z][a-z]{3,}", text):
        return _bare_words(text)
    return None


def _bare_words(text: str) -> str | None:
    text = re.sub(r"\s+", " ", _TEXT.sub(r"\1", text)).strip(" .,")
    if re.fullmatch(r"\([A-Za-z]\)", text):
        return text[1].lower()
    if not re.fullmatch(r"[A-Za-z0-9(][A-Za-z0-9 ,.:;'&/()-]*", text) or not re.search("[A-Za-z]", text):
        return None
    text = re.sub(r"^(?:an?|the) ", "", text.lower())
    if re.fullmatch(r"[a-z](?: ?(?:,| and ) ?(?:and )?[a-z])+", text):
        return ",".join(sorted(re.findall(r"\b[a-z]\b", text)))
    return text.replace(".", "").replace(", ", ",")


def _without_unit(text: str, unit: tuple[str, int] | None) -> Cleaned:
    percent = _PERCENT.search(text)
    if percent and percent.start():
        return Cleaned(text[: percent.start()].rstrip(" \\"), unit, True)
    if _DEGREES.search(text, 1) and not _ANGLE_FUNCTION.search(text):
        return Cleaned(_DEGREES.sub("", text), ("degree", 1))
    match = _TRAILING_UNIT.search(text)
    if match is None or not re.search(r"\d", text[: match.start()]):
        return Cleaned(text, unit)
    name = (match[1] or match[2]).strip(" .").lower()
    known = _known_unit(name, match[3])
    if known is None and (name.split(" ")[0] in _NO_UNIT or len(name) < (2 if match[1] else 5)):
        return Cleaned(text, unit)
    return Cleaned(text[: match.start()].rstrip(" ,\\"), known or unit)


def _without_restatement(text: str) -> str:
    r"""`0.56=56\%` says one number twice: its first side."""
    sides = [_PERCENT.sub("/100", side) for side in text.split("=")] if text.count("=") == 1 else []
    values = {exact_number(side) for side in sides}
    return text.split("=")[0] if len(values) == 1 and None not in values else text


def _known_unit(name: str, power: str | None) -> tuple[str, int] | None:
    words = name.replace(".", "")
    for prefix, value in (("square ", 2), ("sq ", 2), ("cubic ", 3), ("cu ", 3)):
        if words.startswith(prefix):
            words, power = words[len(prefix) :], value
    known = _UNITS.get(words) or _UNITS.get(words.rstrip("s")) or _UNITS.get(re.sub(r"s\b", "", words))
    return (known, int(power or 1)) if known else None


def _bases(text: str) -> list[tuple[str, str]]:
    return [(match[1], match[2] or match[3]) for match in _BASE.finditer(text)]


def _same_bases(gold: str, answer: str) -> bool:
    """A numeral with a base equals the same digits in the same base; without a base it is a decimal one."""
    spelled = [_BASE.sub(lambda m: _in_base(m[1], m[2] or m[3]), text).replace(" ", "") for text in (gold, answer)]
    return spelled[0] == spelled[1]


def _in_base(digits: str, base: str) -> str:
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
