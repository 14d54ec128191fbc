r"""Units, percent signs and degrees at the end of an answer: text in; text, unit and percent sign apart out."""

import re

from sprint_lmeval.answers.characters import TEXT
from sprint_lmeval.answers.numerals import exact_number

Unit = tuple[str, int]  # name, power

_UNIT_WORDS = r"[A-Za-z][A-Za-z. /]*"
_TRAILING_UNIT = re.compile(
    rf"(?:(?<=[\d}})a-z]){TEXT} ?\{{ ?({_UNIT_WORDS}) ?\}}|(?<=\d)([A-Za-z]{{2}}[A-Za-z. /]*))"
    r"(?:\^\{?([23])\}?)?$"
)
_DEGREES = re.compile(r"\^(?:\{\\circ\}|\\circ(?![a-z]))")
_ANGLE_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|cis)")
_CLOCK = re.compile(r"\d:\d")  # p.m. is no unit
_PERCENT = re.compile(r"(?:\\?%|\\text\{ ?percent ?\}|percent)$")
_NO_UNIT = set("and or mod pi i e base sqrt if for sin cos tan log ln cot sec".split())
_UNIT_SPELLINGS = """dollar usd buck / cent / euro / degree deg / radian rad / inch inche in / foot feet ft / yard yd /
    mile mi / mm millimeter / cm centimeter centimetre / m meter metre / km kilometer kilometre / second sec /
    minute min / hour hr / day / week / month / year / gram g gm / kg kilogram / pound lb / ounce oz /
    mph / liter litre / gallon"""
_UNITS = {word: words.split()[0] for words in _UNIT_SPELLINGS.split("/") for word in words.split()}


def without_unit(text: str, unit: Unit | None) -> tuple[str, Unit | None, bool]:
    """The text without its unit, the unit where it is a known one (else the one given), whether it was a percentage."""
    if _CLOCK.search(text):
        return text, unit, False
    percent = _PERCENT.search(text)
    if percent and percent.start():
        return text[: percent.start()].rstrip(" \\"), unit, True
    if _DEGREES.search(text, 1) and not _ANGLE_FUNCTION.search(text):
        return _DEGREES.sub("", text), ("degree", 1), False
    match = _TRAILING_UNIT.search(text)
    if match is None or not re.search(r"\d", text[: match.start()]):
        return text, unit, False
    name = (match[1] or match[2]).strip(" .").lower()
    known = _known_unit(name, match[3])
    if known is None and (name.split(" ")[0] in _NO_UNIT or len(name) < (2 if match[1] else 5)):
        return text, unit, False
    return text[: match.start()].rstrip(" ,\\"), known or unit, False


def without_restatement(text: str) -> str:
    r"""`0.56=56\%` says one number twice: its first side."""
    sides = [_PERCENT.sub("/100", side) for side in text.split("=")] if text.count("=") == 1 else []
    values = {exact_number(side) for side in sides}
    return text.split("=")[0] if len(values) == 1 and None not in values else text


def _known_unit(name: str, power: str | None) -> Unit | None:
    words = name.replace(".", "")
    for prefix, value in (("square ", 2), ("sq ", 2), ("cubic ", 3), ("cu ", 3)):
        if words.startswith(prefix):
            words, power = words[len(prefix) :], value
    known = _UNITS.get(words) or _UNITS.get(words.rstrip("s")) or _UNITS.get(re.sub(r"s\b", "", words))
    return (known, int(power or 1)) if known else None
