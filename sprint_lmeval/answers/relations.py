r"""Replaces a named point, solution or solution set by its values or intervals.

In: an answer in one spelling, without needless spaces. Out: the same, where `(x,y)=(3,-4)` is `(3,-4)`, `y=-4,x=3` is
`x=3,y=-4`, `x<-5\text{or}x>5` and `\{x\mid x<-5\text{or}x>5\}` are `x\in(-\infty,-5)\cup(5,\infty)`. What is not
certainly one of these stays as it is, and algebra decides.
"""

import re

_LETTER = r"(?:[A-Za-z]|\\(?:theta|phi|varphi|rho|alpha|beta|gamma|lambda|mu|omega)(?![a-z]))"
_VECTOR = rf"\\(?:vec|mathbf|hat|overrightarrow|overline|mathrm)\{{?{_LETTER}+\}}?"
_NAME = rf"(?:{_VECTOR}|{_LETTER}(?:_\{{?\w+\}}?|')?)"
_NAMES_OF_POINT = re.compile(rf"(?<![\w}}])\(({_NAME}(?:,{_NAME})+)\)(?:=|\\in(?![a-z]))")
_NAME_OF_POINT = re.compile(rf"^(?:{_NAME}=(?=[(\[]|[^=<>]*\\begin)(?!.*=)|[A-Z](?=\([^()]*,[^()]*\)$))")
_OR = re.compile(r"\\text\{ ?or ?\}|(?<![A-Za-z])or(?![A-Za-z])")
_AND = re.compile(r"\\text\{ ?and ?\}|(?<![A-Za-z])and(?![A-Za-z])")
_SIGN = re.compile(r" ?(<|>|\\le(?![a-z])|\\ge(?![a-z])) ?")
_MEMBER = re.compile(rf"^({_LETTER})\\in(?![a-z])(.+)$")
_SET_BUILDER = re.compile(rf"^\\\{{({_LETTER})(?:\\in\\mathbb\{{?R\}}?)?(?:\\mid(?![a-z])|\||:)(.+)\\\}}$")
_VALUE = re.compile(r"(?:[\d.+*/!^{}()-]|\\(?:frac|sqrt|pi|infty|cdot|ln|log)(?![a-z])|(?<![A-Za-z])e(?![A-Za-z]))+")
_INTERVAL = re.compile(r"[(\[][^()\[\]]*,[^()\[\]]*[)\]]|\\\{[^{}]*\\\}")
_ASSIGNMENT = re.compile(rf"({_LETTER})=([^=<>,]+)")
_IS_LETTER = re.compile(_LETTER)
_OTHER_THAN = re.compile(rf"({_LETTER})\\ne(?![a-z]) ?([^=<>,]+)")
_FROM, _TO = r"(-\infty", r"\infty)"
_OPPOSITE = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def without_names(text: str) -> str:
    """The answer as values, points or intervals, where its names say nothing that they do not."""
    if "=" in text or r"\in" in text or "(" in text:
        text = _sorted_assignments(_point(text))
    if "<" in text or ">" in text or "or" in text or r"\le" in text or r"\ge" in text or r"\ne" in text:
        return _as_intervals(text) or text
    return text


def _point(text: str) -> str:
    """A point or matrix without the names before it, where these stand in their usual order."""
    orders = {names[1] for names in _NAMES_OF_POINT.finditer(text)}
    if len(orders) == 1 and _usual_order(orders.pop().split(",")):
        text = _NAMES_OF_POINT.sub("", text)
    return _NAME_OF_POINT.sub("", text)


def _usual_order(names: list[str]) -> bool:
    latin = [name for name in names if len(name) == 1]
    return latin == sorted(latin)


def _sorted_assignments(text: str) -> str:
    """`y=-4,x=3` in the order of the names, each of which stands once."""
    sides = [_ASSIGNMENT.fullmatch(part) for part in _AND.sub(",", text).split(",")] if text.count("=") > 1 else [None]
    if None in sides or len({side[1] for side in sides}) < len(sides):
        return text
    return ",".join(sorted((side[0] for side in sides), key=lambda side: side.split("=")[0]))


def _as_intervals(text: str) -> str | None:
    r"""`x\in` and a union of intervals; None where the text is no statement about one name and numbers."""
    built = _SET_BUILDER.match(text)
    parts = [_solutions(part.strip()) for part in _OR.split(built[2] if built else text)]
    names = {part[0] for part in parts if part}
    if None in parts or len(names) > 1 or (built and names != {built[1]}):
        return None
    union = r"\cup".join(part[1] for part in parts)
    return union if built or names == {""} else rf"{names.pop()}\in{union}"  # a set's own name is nobody else's


def _solutions(statement: str) -> tuple[str, str] | None:
    r"""Name and intervals of `x<2`, `2<x\le 3`, `x>2\text{and}x<3`, `x\ne 2`, `x\in[2,3)`; of an interval, no name."""
    member = _MEMBER.match(statement)
    name, union = (member[1], member[2]) if member else ("", statement)
    if all(_INTERVAL.fullmatch(part) for part in union.split(r"\cup")) and (member or r"\infty" in union):
        return name, union
    other = _OTHER_THAN.fullmatch(statement)
    if other and _VALUE.fullmatch(other[2]):
        return other[1], rf"(-\infty,{other[2]})\cup({other[2]},\infty)"
    bounds = _bounds(statement)
    if bounds is None or len({name for name, _, _ in bounds}) > 1:
        return None
    lower = [("[" if sign == r"\ge" else "(") + value for _, sign, value in bounds if sign in (">", r"\ge")]
    upper = [value + ("]" if sign == r"\le" else ")") for _, sign, value in bounds if sign in ("<", r"\le")]
    if len(lower) > 1 or len(upper) > 1:
        return None
    return bounds[0][0], f"{(lower or [_FROM])[0]},{(upper or [_TO])[0]}"


def _bounds(statement: str) -> list[tuple[str, str, str]] | None:
    r"""(name, sign, value) for each sign of `2<x\le 3` or `x>2\text{and}x\le 3`; None where a value is no number."""
    found = []
    for chain in _AND.split(statement):
        sides = _SIGN.split(chain)
        for left, sign, right in zip(sides[::2], sides[1::2], sides[2::2], strict=False):
            named = _IS_LETTER.fullmatch(left)
            name, sign, value = (left, sign, right) if named else (right, _OPPOSITE[sign], left)
            if not _IS_LETTER.fullmatch(name) or not _VALUE.fullmatch(value):
                return None
            found.append((name, sign, value))
        if len(sides) == 1:
            return None
    return found
