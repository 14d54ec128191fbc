r"""The written equations of a response that are not exactly true: text in, the false ones out. No gold, no model.

An equation is an expression of numbers, `=`, and another one, with an operation (`a op b = c`) on at least one side:

    operations   + - * / x × ÷ · \times \cdot \div \frac{a}{b}, brackets, a(b); `2 + 3 = 5 = 10 / 2` is two equations
    numbers      decimals, thousands (`1,200`, `1{,}200`), money (`$5`), mixed numbers (`2 1/2`), a fraction behind a
                 spaced slash (`28 / 1/5`); percentages: true where `20%` is read as 1/5 or as 20, and `20% of 50` is a
                 product
    units        words behind a number (`5 apples + 3 apples = 8 apples`, `$2/hour`) say nothing; what converts them
                 (`2 feet = 2 * 12 inches`) is no equation

Values are exact: `10 / 3 = 3.33` is false, `10 / 3 ≈ 3.33` is no equation. What holds anything unknown is none: a
letter or word that is added or multiplied (`x + 3 = 5`, `total - 5 = 3`), a power, a root, `half of 10 = 5`. One line
at a time; linear time in the text, since each expression is bounded in length.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from sprint_lmeval.answers.math_notation import join_marked_groups, repeating_as_fraction

MAX_SIDE = 60  # tokens of one side; a longer one is no equation
MAX_DIGITS = 30  # of one number
MAX_DECIMALS = 4  # of a value that is written
MAX_LINE = 2_000  # characters; longer lines hold no working

_PLAIN = str.maketrans(
    {"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "\u00a0": " ", "\u202f": " "}
)
_COMMANDS = (
    (r"\times", "*"),
    (r"\cdot", "*"),
    (r"\div", "/"),
    (r"\left", ""),
    (r"\right", ""),
    ("{,}", ","),
    (r"\!", ""),
)
_SCRAP = re.compile(r"\\[,;: $%()\[\]]|\\\\|[$€£]")
_FRAC = re.compile(r"\\[dt]?frac ?\{([^{}]{1,80})\} ?\{([^{}]{1,80})\}")
_MIXED = re.compile(r"(?<![\d.])(\d+) ?\\[dt]?frac ?\{(\d+)\} ?\{(\d+)\}")
_WORDS = re.compile(r"\\(?:text|mathrm|mbox|textbf) ?\{([^{}]{0,80})\}")
_TOKEN = re.compile(
    r"(?P<number>(?:\d+ |(?<=/ ))\d+/\d+(?![\d/])|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?P<percent> ?%)?"
    r"|(?P<op>[-+*/=()])|(?P<word>[A-Za-z]{2,}\.?|°)|(?P<letter>[A-Za-z^√²³_\\!{}&])|(?P<space>[ \t]+)|(?P<other>.)"
)


@dataclass(frozen=True)
class Token:
    """One token of a line: kind `n` number, `w` word, `?` something unknown, `|` a break, else the sign itself."""

    kind: str
    start: int
    end: int
    text: str = ""
    percent: bool = False


def false_equations(text: str) -> list[str]:
    """Return the equations written in a text that are not exactly true, in order, in plain notation."""
    found = []
    for line in text.splitlines():
        if "=" in line and len(line) <= MAX_LINE:
            line = _plain(line)
            found += [_shown(line, left, right) for _, left, right in _false_in(_tokens(line))]
    return found


def first_false_sum(text: str) -> tuple[int, str] | None:
    """Return the index behind the `=` of the first false sum that can be put right, and the value of its left side.

    That is an equation with an operation on its left and no percentage on its right, whose left side has a value of
    few digits: `10 / 3 = 3.33` stays as it is.
    """
    start = 0
    for line in text.splitlines(keepends=True):
        if "=" in line and len(line) <= MAX_LINE:
            signs = [match.end() for match in re.finditer("=", line)]  # as many as in the plain line
            for number, left, right in _false_in(_tokens(_plain(line))):
                value = _decimal(_Value(left, 100).whole()) if _operates(left) else None
                if value is not None and not any(token.percent for token in right):
                    return start + signs[number], value
        start += len(line)
    return None


def _decimal(value: Fraction) -> str | None:
    """The value in decimal notation; None where it takes more than `MAX_DECIMALS` or `MAX_DIGITS`."""
    scaled = value * 10**MAX_DECIMALS
    if scaled.denominator != 1 or abs(scaled) >= 10**MAX_DIGITS:
        return None
    digits = f"{abs(scaled.numerator):0{MAX_DECIMALS + 1}}"
    decimals = digits[-MAX_DECIMALS:].rstrip("0")
    return ("-" if value < 0 else "") + digits[:-MAX_DECIMALS] + (f".{decimals}" if decimals else "")


def _plain(line: str) -> str:
    line = line.translate(_PLAIN)
    for command, sign in _COMMANDS:
        line = line.replace(command, sign)
    line = _WORDS.sub(r" \1 ", line)
    line = join_marked_groups(_MIXED.sub(r"\1 \2/\3", repeating_as_fraction(line)))
    for _ in range(3):  # fractions in fractions
        line = _FRAC.sub(r"((\1)/(\2))", line)
    return _SCRAP.sub(lambda match: "%" if match[0] == r"\%" else "", line)


def _tokens(line: str) -> list[Token]:
    tokens: list[Token] = []
    for match in _TOKEN.finditer(line):
        kind = match.lastgroup if match.lastgroup != "percent" else "number"
        if kind == "space":
            continue
        tokens += _signs(line, match, kind, tokens)
    return tokens


def _signs(line: str, match: re.Match, kind: str, tokens: list[Token]) -> list[Token]:
    """The token of a match, with `*` before a bracket that touches what it multiplies."""
    sign = {"number": "n", "word": "w", "letter": "?", "other": "|"}.get(kind, match[0])
    before = tokens[-1] if tokens else Token("|", 0, 0)
    touches = before.end == match.start()
    if match[0] in "xX" and before.kind in "nw)" and re.match(r" ?[\d(.]", line[match.end() : match.end() + 2]):
        sign = "*"
    elif match[0].lower() == "of":
        sign = "*" if before.percent else "?"
    elif kind == "word" and touches and before.kind == ")":
        sign = "?"
    token = Token(sign, match.start(), match.end(), match["number"] or "", bool(match["percent"]))
    product = sign == "(" and before.kind in "n)" and touches and tokens
    return [Token("*", match.start(), match.start()), token] if product else [token]


def _false_in(tokens: list[Token]) -> list[tuple[int, list[Token], list[Token]]]:
    """The number of each false equation's sign among the signs of the line, from 0, and its two sides."""
    found = []
    for number, index in enumerate(index for index, token in enumerate(tokens) if token.kind == "="):
        left, right = _side_before(tokens, index), _side_after(tokens, index)
        if left and right and (_operates(left) or _operates(right)) and _differ(left, right):
            found.append((number, left, right))
    return found


def _shown(line: str, left: list[Token], right: list[Token]) -> str:
    return " ".join(line[left[0].start : right[-1].end].split())


def _operates(tokens: list[Token]) -> bool:
    return any(token.kind in "+-*/" and before.kind in "n)" for before, token in pairwise(tokens))


def _side_before(tokens: list[Token], end: int) -> list[Token]:
    """The longest expression that ends before the sign at `end`; empty where it is joined to something unknown."""
    index, first = end, max(0, end - MAX_SIDE)
    start = None
    while index > first:
        index = _skip_units(tokens, index, first)
        operand = _operand_before(tokens, index, first)
        if operand is None:
            break
        start = index = operand
        if index <= first or tokens[index - 1].kind not in "+-*/":
            break
        if tokens[index - 1].kind == "-" and _is_sign(tokens, index - 1):
            start = index = index - 1
            if index <= first or tokens[index - 1].kind not in "+-*/":
                break
        index -= 1
    if start is None or (start > 0 and _unknown_before(tokens, start)):
        return []
    side = _without_units(tokens[start:end])
    conversion = len(side) < end - start or (start > 0 and tokens[start - 1].kind == "w")
    return side if _operates(side) or not conversion else []  # `2 feet = 2 * 12 inches`


def _skip_units(tokens: list[Token], index: int, first: int) -> int:
    """The index behind the number whose unit (at most three words, `/hour`) ends before `index`."""
    words = 0
    while index > first and tokens[index - 1].kind == "w" and words < 3:
        index, words = index - 1, words + 1
        if index > first and tokens[index - 1].kind == "/":
            index -= 1
    return index


def _operand_before(tokens: list[Token], index: int, first: int) -> int | None:
    if index > first and tokens[index - 1].kind == "n":
        return index - 1
    if index <= first or tokens[index - 1].kind != ")":
        return None
    depth = 0
    for position in range(index - 1, first - 1, -1):
        depth += {")": 1, "(": -1}.get(tokens[position].kind, 0)
        if tokens[position].kind in "?|=":
            return None
        if depth == 0:
            return position
    return None


def _is_sign(tokens: list[Token], index: int) -> bool:
    """Whether a minus is the sign of the number that it touches: behind `(`, an operation or nothing."""
    touches = tokens[index].end == tokens[index + 1].start
    before = tokens[index - 1] if index else Token("|", 0, 0)
    return touches and (before.kind in "(+-*/=|" or (before.kind == "w" and before.end < tokens[index].start))


def _unknown_before(tokens: list[Token], start: int) -> bool:
    before = tokens[start - 1]
    if before.kind in "+-*/":  # a bullet at the start of a line, or something that is no number
        return start > 1 and tokens[start - 2].kind != "|"
    touches = before.end == tokens[start].start
    called = before.kind == "w" and tokens[start].kind == "("
    return before.kind == "?" or (touches and (called or before.kind in "n)"))


def _side_after(tokens: list[Token], start: int) -> list[Token]:
    """The longest expression that begins behind the sign at `start`; empty where something unknown follows it."""
    index, last, end = start + 1, min(len(tokens), start + 1 + MAX_SIDE), None
    while index < last:
        if tokens[index].kind == "-" and index + 1 < last and _is_sign(tokens, index):
            index += 1
        operand = _operand_after(tokens, index, last)
        if operand is None:
            break
        end = index = operand
        while index < last and (tokens[index].kind == "w" or _is_per(tokens, index)):
            index += 1
        if index >= last or tokens[index].kind not in "+-*/":
            break
        index += 1
    if end is None or (end < len(tokens) and tokens[end].kind == "?"):
        return []
    if index < len(tokens) and tokens[index].kind == "?" and tokens[index - 1].kind in "+-*/":
        return []
    return _without_units(tokens[start + 1 : end])


def _operand_after(tokens: list[Token], index: int, last: int) -> int | None:
    if index < last and tokens[index].kind == "n":
        return index + 1
    if index >= last or tokens[index].kind != "(":
        return None
    depth = 0
    for position in range(index, last):
        depth += {"(": 1, ")": -1}.get(tokens[position].kind, 0)
        if tokens[position].kind in "?|=":
            return None
        if depth == 0:
            return position + 1
    return None


def _is_per(tokens: list[Token], index: int) -> bool:
    return tokens[index].kind == "/" and index + 1 < len(tokens) and tokens[index + 1].kind == "w"


def _without_units(tokens: list[Token]) -> list[Token]:
    kept = [token for index, token in enumerate(tokens) if token.kind != "w" and not _is_per(tokens, index)]
    return kept if all(token.kind in "n+-*/()" for token in kept) else []


def _differ(left: list[Token], right: list[Token]) -> bool:
    """Whether no reading of the percent signs makes both sides equal; False where a side has no value."""
    readings = (100, 1) if any(token.percent for token in left + right) else (1,)
    for percent in readings:
        try:
            if _Value(left, percent).whole() == _Value(right, percent).whole():
                return False
        except (ValueError, ZeroDivisionError, IndexError):
            return False
    return True


class _Value:
    """Recursive descent over the tokens of one side: sums of products of signed numbers and brackets."""

    def __init__(self, tokens: list[Token], percent: int) -> None:
        self.tokens, self.percent, self.index = tokens, percent, 0

    def whole(self) -> Fraction:
        value = self._sum()
        if self.index != len(self.tokens):
            raise ValueError
        return value

    def _next(self) -> str:
        return self.tokens[self.index].kind if self.index < len(self.tokens) else ""

    def _sum(self) -> Fraction:
        value = self._product()
        while self._next() in ("+", "-"):
            sign = self._next()
            self.index += 1
            value = value + self._product() if sign == "+" else value - self._product()
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while self._next() in ("*", "/"):
            sign = self._next()
            self.index += 1
            value = value * self._factor() if sign == "*" else value / self._factor()
        return value

    def _factor(self) -> Fraction:
        token = self.tokens[self.index]
        self.index += 1
        if token.kind == "-":
            return -self._factor()
        if token.kind == "(":
            value = self._sum()
            if self._next() != ")":
                raise ValueError
            self.index += 1
            return value
        if token.kind != "n" or len(token.text) > MAX_DIGITS:
            raise ValueError
        return _number(token.text) / (self.percent if token.percent else 1)


def _number(text: str) -> Fraction:
    whole, _, fraction = text.replace(",", "").partition(" ")
    return Fraction(whole) + (Fraction(fraction) if fraction else 0)
