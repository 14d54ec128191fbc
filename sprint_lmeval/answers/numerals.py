r"""Numbers as people and models write them ("$1,200.50", "2 1/2", "\frac{3}{4}", "1{,}080"): text in, Fraction out.

Standard library only; a number is bounded in length before it becomes an integer, every pattern runs in linear time.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from sprint_lmeval.answers.characters import CHARACTERS
from sprint_lmeval.answers.math_notation import join_marked_groups, repeating_as_fraction, without_ordinals

MAX_DIGITS = 60  # a longer number is not read: it is compared as text only

_INTEGER = r"\d{1,3}(?:,\d{3}){1,19}(?!\d|,\d)|\d+"
_DECIMAL = rf"(?:(?:{_INTEGER})(?:\.\d+)?|\.\d+)"
_FRAC = r"\\frac ?(?:\{ ?(?P<top>-?\d[\d,]*) ?\}|(?P<top1>\d)) ?(?:\{ ?(?P<bottom>\d[\d,]*) ?\}|(?P<bottom1>\d))"
_MIXED = r"(?P<whole2>\d+) (?P<part>\d+)/(?P<of>\d+)"
_QUOTIENT = rf"(?P<over>{_DECIMAL})/(?P<under>\d+)"
_MAGNITUDE = rf"(?:(?:(?P<whole>\d+) ?)?{_FRAC}|{_MIXED}|{_QUOTIENT}|(?P<plain>{_DECIMAL}))"
_NUMBER = re.compile(rf"(?P<sign>[-+] ?)?(?<![A-Za-z_^\d.])(?<![\^_]\{{){_MAGNITUDE}(?!\d)")
_EXACT = re.compile(rf"(?P<sign>[-+] ?)?{_MAGNITUDE}")

_SPACE = re.compile(r"\s+")
_POWER_OF_TEN = re.compile(
    r"(?<![\w.\\}])(\d{1,20}(?:\.\d{1,20})?)(?:[eE]([+-]?\d{1,2})(?![\w.])"
    r"| ?(?:\\times|\\cdot|[x*]) ?10 ?\^ ?(?:\{ ?(-?\d{1,2}) ?\}|(\d)))"
)
_SCRAP = re.compile(r"\\[!,;: ]|\\\$|\$|\\left(?![a-z])|\\right(?![a-z])|\\[()\[\]]|[*`]{2}|[€£¥]")
_NEGATIVE_DOLLARS = re.compile(r"[-−–]\s?\\?\$\s?(?=[\d.])")  # -$5
_NUMBER_IN_TEXT = re.compile(r"\s*-?[\s\\$]*\d")
_STYLED = re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf|textrm|textnormal|bf|emph)\s?\{([^{}]*)\}")
_NUMBER_NEXT = re.compile(r" ?[:.]\d| (?:\\quad )*\d+(?!\d*-[A-Za-z])| ?\\frac")
_OPERATOR_NEXT = re.compile(r" ?(?:[-+*/×÷^] ?[\d(\\$]|[x×] ?\d|\\(?:times|cdot|div|sqrt|pi)|\^)")
_NOT_LONE = re.compile(r"[\d+*=<>×÷√π]| - |^ ?-|- ?$|\\(?:times|cdot|div|sqrt|pi|log|frac|pm)|[\d)] ?/")
_REMARK = re.compile(r"\([^()]*[A-Za-z][^()]*\)")
_HEDGE = r"(?:(?:approximately|about|around|exactly|only|just|a total of) )?"
_LEAD = re.compile(rf"[\s:(\[{{*]*{_HEDGE}[\s(\[{{]*", re.IGNORECASE)
_EXPONENT_OF_UNIT = re.compile(r"(?<=[A-Za-z}²³]) ?\^ ?\{?[23]\}?|\^ ?\{? ?\\circ ?\}?|[²³°]")


@dataclass(frozen=True)
class Found:
    """A number in a text: its position and its exact value, None where it is too long to be read."""

    start: int
    end: int
    value: Fraction | None


def plain_text(text: str) -> str:
    """The text with one kind of space and minus, no currency, no thousands spacing, one spelling for each number."""
    text = text if text.isascii() else text.translate(CHARACTERS)
    text = join_marked_groups(_NEGATIVE_DOLLARS.sub("-", text).replace("~", " ").replace("$", " "))
    text = re.sub(r"\\[dtc]frac(?![a-z])", r"\\frac", _SPACE.sub(" ", text))
    text = _POWER_OF_TEN.sub(_digits, repeating_as_fraction(text) if "." in text else text)
    return _SPACE.sub(" ", _SCRAP.sub(" ", text))


def exact_number(text: str) -> Fraction | None:
    """The value of a text that is one numeral and nothing else (no unit, no sign of currency), or None."""
    match = _EXACT.fullmatch(text)
    return _value(match, signed=True) if match else None


def numbers(text: str) -> list[Found]:
    """Every number of `plain_text`, in order; digits of names, powers and indices (`CO2`, `m^2`, `x_1`) are none."""
    return [Found(match.start(), match.end(), _value(match, _is_sign(match))) for match in _NUMBER.finditer(text)]


def lone_number(text: str) -> Fraction | None:
    """The number of a text that is one number, with at most units, currency, a percent sign and remarks around it."""
    text = _EXPONENT_OF_UNIT.sub(" ", _REMARK.sub(" ", plain_text(_unstyled(text))))
    found = numbers(text)
    if len(found) != 1:
        return None
    rest = text[: found[0].start] + "#" + text[found[0].end :]
    return None if _NOT_LONE.search(rest.strip()) or "#^" in rest.replace(" ", "") else found[0].value


def leading_number(text: str) -> str | None:
    """The number with which a text begins, as `show_number` shows it; where several stand there, their text.

    None where working follows ("5 + 6 which is 11"), or no number that can be read.
    """
    text = plain_text(_unstyled(text))
    text = text[_LEAD.match(text).end() :]
    match = _NUMBER.match(text)
    if match is None or _OPERATOR_NEXT.match(text, match.end()):
        return None
    if _NUMBER_NEXT.match(text, match.end()):
        return text[:MAX_DIGITS].strip()
    value = _value(match, signed=True)
    return None if value is None else show_number(value)


def last_number(text: str) -> Fraction | None:
    """The last number of a text."""
    found = numbers(plain_text(_unstyled(text)))
    return found[-1].value if found else None


def show_number(value: Fraction) -> str:
    """One spelling for one value: "29", "-3.5", "2/3"."""
    if value.denominator == 1:
        return str(value.numerator)
    for places in range(1, MAX_DIGITS):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return f"{value.numerator}/{value.denominator}"


def _unstyled(text: str) -> str:
    r"""`\text{29}` and `\text{29 dollars}` give 29; other styled words are remarks or units and go; so do ordinals."""
    return _STYLED.sub(_styled, without_ordinals(text))


def _styled(match: re.Match) -> str:
    before = match.string[max(0, match.start() - 3) : match.start()]
    holds_number = _NUMBER_IN_TEXT.match(match[1]) and not re.search(r"\d", before)
    return match[1] if holds_number or not re.search("[A-Za-z]{2}", match[1]) else " "


def _digits(match: re.Match) -> str:
    """`4.5e7` and `4.5 \\times 10^7` in digits."""
    return show_number(Fraction(match[1]) * Fraction(10) ** int(match[2] or match[3] or match[4]))


def _is_sign(match: re.Match) -> bool:
    """Whether the minus before a number is its sign and not a subtraction or a dash."""
    sign = match["sign"]
    if not sign:
        return False
    before = match.string[: match.start()]
    last = before.rstrip()[-1:]
    if last.isdigit() or last in (")", "}"):
        return False
    return sign == "-" and before[-1:] in ("", " ", "(", "[", "=", ":", ",") or last in ("", "(", "=", ":")


def _value(match: re.Match, signed: bool) -> Fraction | None:
    if match.end() - match.start() > MAX_DIGITS:
        return None
    part = {name: text.replace(",", "") for name, text in match.groupdict().items() if text}
    try:
        value = _magnitude(part)
    except (ValueError, ZeroDivisionError):
        return None
    return -value if signed and part.get("sign", "+").startswith("-") else value


def _magnitude(part: dict[str, str]) -> Fraction:
    if "plain" in part:
        return Fraction(part["plain"])
    if "over" in part:
        return Fraction(part["over"]) / int(part["under"])
    if "whole2" in part:
        return int(part["whole2"]) + Fraction(int(part["part"]), int(part["of"]))
    top, bottom = part.get("top") or part["top1"], part.get("bottom") or part["bottom1"]
    return int(part.get("whole", 0)) + Fraction(int(top), int(bottom))
