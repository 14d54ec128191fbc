r"""One notation for numerals: digit groups, mixed numbers, repeating decimals, powers of ten, ordinals, bases.

In: text with numbers in it, as people and models write them. Out: the same with plain numerals (`1\,250` -> `1250`,
`0.1\overline{6}` -> `\frac{1}{6}`, `2\text{A}_{\text{sixteen}}` -> `2A_{16}`). A second function reports whether two
numerals stand beside each other without a sign: such a text is no single answer, neither a sum nor a product.
"""

import re
from fractions import Fraction

from sprint_lmeval.answers.characters import TEXT

_MARK = r"(?: ?(?:\{,\}|, ?\\!|\\! ?,|\\[,;:!]|\\ |~) ?| )"
_MARKED_GROUPS = re.compile(rf"(?<![\w.^\\])[1-9]\d{{0,2}}(?:{_MARK}\d{{3}}){{1,19}}(?!\d|{_MARK}\d|-[A-Za-z]{{2}})")
_COMMA_GROUPS = re.compile(r"(?<![\w.,^\\])[1-9]\d{0,2}(?:,\d{3}){1,19}(?!\d|,\d)")
_BRACKET = re.compile(r"\\[{}]|[()\[\]]")
_FRAC = r"\\frac ?(?:\{ ?\d{1,20} ?\}|\d) ?(?:\{ ?\d{1,20} ?\}|\d)"
_MIXED = re.compile(rf"(?<![\w.^\\/])(\d{{1,20}})(?: ?({_FRAC})(?! ?\d)| (\d{{1,20}}/\d{{1,20}})(?![\w/.]))")
_REPEATING = re.compile(
    r"(?<![\d.])(\d{0,20})\.(\d{0,20})"
    r"(?:\\(?:overline|bar|dot) ?(?:\{ ?(\d{1,20}) ?\}|(\d))|(?<=\.)\((\d{1,20})\))(?:\\ldots)?"
)
_DOTTED = re.compile(r"\\dot ?\{?(\d)\}?(\d{0,18})\\dot ?\{?(\d)\}?|(?<!\d)\\overline ?\{ ?\.(\d{1,20}) ?\}")
_GOING_ON = re.compile(r"(?<![\d.])(\d{0,20})\.(\d{1,40}) ?\\ldots ?(?![\w,])")
_POWER_OF_TEN = re.compile(r"(?<![\w.\\}])(\d{1,20}(?:\.\d{1,20})?)[eE]([+-]?\d{1,3})(?![\w.])")
_ENDING = r"(?:st|nd|rd|th)"
_ORDINAL = re.compile(
    rf"(?<=\d) ?(?:\^ ?\{{ ?{TEXT} ?\{{ ?{_ENDING} ?\}} ?\}}|\^? ?{TEXT} ?\{{ ?{_ENDING} ?\}}|\^ ?\{{ ?{_ENDING} ?\}}"
    rf"|{_ENDING}(?![A-Za-z]))"
)
_WORDS = "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
_BASES = {word: str(number) for number, word in enumerate(_WORDS, 2)} | {
    str(number): str(number) for number in range(2, 37)
}
_BASE_IN_WORDS = re.compile(rf"(?<=[\dA-F)]) ?{TEXT} ?\{{ ?\(?(?:in )?base ?(?:\}} ?(\w{{1,8}})|-?(\w{{1,8}})\)? ?\}})")
_SUBSCRIPT = re.compile(rf"_ ?(\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}|{TEXT} ?\{{[^{{}}]*\}})")
_SCAFFOLD = re.compile(rf"{TEXT}|base|[{{}}()\s-]")
_DIGITS_IN_TEXT = re.compile(rf"{TEXT} ?\{{ ?([\dA-Fa-f]{{1,60}}) ?\}}(?=[\dA-Fa-f]{{0,60}}\)? ?_)")
_DIGITS_IN_BRACKETS = re.compile(r"(?<![\w}\\])\(([\dA-Fa-f]{1,60})\) ?(?=_)")
_GROUP = re.compile(r"(?<![\w}\]^\\])\{ ?(-?[\d.]+) ?\}")
_ONE_I = re.compile(r"(?<![\w.^\\}])1 ?(?:\\cdot )?(?=i(?![a-zA-Z]))|(?<=\d) ?\\cdot (?=i(?![a-zA-Z]))")
_NUMERAL = r"(?:\d+(?:\.\d+)?|\.\d+)"
_BESIDE = re.compile(
    rf"(?<![\w\\^.]){_NUMERAL}(?: +| *\{{ *){_NUMERAL}|(?<![\w\\^.]){_NUMERAL} *\{{? *{_FRAC}"
    rf"|{_FRAC} *\{{? *{_NUMERAL}|\d\.\d+\.\d"
)
_GAP = re.compile(r"(?: *\\quad)+ *")
_TUPLE = re.compile(r"[(\[{][^()\[\]{}]*,")
_THIN_GAP = re.compile(r"(?<!\\)((?:\\\\)*)(?:\\[,;:! ]|~)")
_FACTOR = r"(?=[(\[]|\\(?:binom|frac|\{))"
_PRODUCT = re.compile(
    rf"(?<![\w.^\\}}])({_NUMERAL}) ?(?!\\frac){_FACTOR}|(?:{_FRAC}|\\binom ?\{{[^{{}}]*\}} ?\{{[^{{}}]*\}}) ?{_FACTOR}"
    rf"|(?:\)|\\\}}) ?(?:{_FACTOR}|(?=\d))|\] ?(?=\[)"
)
_TEXT_AT_END = re.compile(rf"{TEXT} ?\{{[^{{}}]*\}}$")
_ENDS_OPERAND = re.compile(r"[\w)}\]!%]$")
_BEGINS_OPERAND = re.compile(r"[\w(\[{.-]|\\(?:frac|sqrt|pi|infty|begin|vec|binom|\{|sin|cos|tan|ln|log)")


def plain_digits(text: str) -> str:
    """The text with every numeral in plain notation."""
    if "." in text:
        text = repeating_as_fraction(text)
    if "_" in text or "base" in text:
        text = _bases(text)
    text = _POWER_OF_TEN.sub(r"\1\\cdot 10^{\2}", without_ordinals(text))
    text = _THIN_GAP.sub(r"\1 ", join_groups(text))
    text = _ONE_I.sub("", _MIXED.sub(_mixed, _GROUP.sub(r" \1 ", text)))
    return text if _TUPLE.search(text) else _PRODUCT.sub(r"\g<0>\\cdot ", text)


def join_groups(text: str) -> str:
    r"""`1\,250`, `1{,}250`, `1 250` -> `1250` anywhere; `1,250` outside of brackets only, since (1,250) is a pair."""
    text = join_marked_groups(text)
    if "," not in text:
        return text
    depth, start, parts = 0, 0, []
    for bracket in [*_BRACKET.finditer(text), None]:
        end = bracket.end() if bracket else len(text)
        parts.append(text[start:end] if depth else _COMMA_GROUPS.sub(_without_commas, text[start:end]))
        if bracket:
            depth, start = depth + (1 if bracket[0][-1] in "([{" else -1), end
    return "".join(parts)


def join_marked_groups(text: str) -> str:
    r"""As `join_groups`, without `1,250`."""
    return _MARKED_GROUPS.sub(lambda match: re.sub(r"\D", "", match[0]), text)


def without_ordinals(text: str) -> str:
    r"""`12th` and `12^{\text{th}}` as `12`."""
    return _ORDINAL.sub("", text)


def repeating_as_fraction(text: str) -> str:
    r"""`0.1\overline{6}`, `0.(3)` and `0.1666\ldots` as fractions; `3.14\ldots`, which repeats nothing, as 3.14."""
    text = _DOTTED.sub(_overlined, text)
    text = _REPEATING.sub(lambda found: _fraction(found[1], found[2], found[3] or found[4] or found[5]), text)
    return _GOING_ON.sub(_going_on, text) if r"\ldots" in text else text


def beside_each_other(text: str) -> bool:
    r"""Whether two values stand beside each other with nothing but space between them (`3 4`, `x = 2 \quad 3`)."""
    start = 0
    for gap in _GAP.finditer(text):
        left = text[start : gap.start()]
        if _ENDS_OPERAND.search(left) and not _TEXT_AT_END.search(left) and _BEGINS_OPERAND.match(text, gap.end()):
            return True
        start = gap.start()
    return bool(_BESIDE.search(_GAP.sub(" ", text)))


def _without_commas(match: re.Match) -> str:
    return match[0].replace(",", "")


def _overlined(match: re.Match) -> str:
    return rf".\overline{{{match[4]}}}" if match[4] else rf"\overline{{{match[1]}{match[2]}{match[3]}}}"


def _going_on(match: re.Match) -> str:
    digits = match[2]
    for length in range(1, 10):
        seen = max(3, 2 * length)
        tail = digits[-seen:]
        if len(digits) >= seen and tail[length:] == tail[:-length]:
            return _fraction(match[1], digits[:-seen], tail[:length])
    return f"{match[1]}.{digits}"


def _fraction(whole: str, fixed: str, repeated: str) -> str:
    scale = 10 ** len(fixed)
    value = Fraction(int(whole + fixed or "0"), scale) + Fraction(int(repeated), scale * (10 ** len(repeated) - 1))
    return str(value.numerator) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _mixed(match: re.Match) -> str:
    """3 1/2 as one fraction; what is no mixed number (3 5/2) as it is."""
    if match[3]:
        top, bottom = match[3].split("/")
    else:
        top, bottom = re.findall(r"\d+" if "{" in match[2] else r"\d", match[2])
    whole, top, bottom = int(match[1]), int(top), int(bottom)
    return rf"\frac{{{whole * bottom + top}}}{{{bottom}}}" if top < bottom else match[0]


def _bases(text: str) -> str:
    text = _BASE_IN_WORDS.sub(_base_in_words, text)
    text = _SUBSCRIPT.sub(_subscript, text)
    return _DIGITS_IN_BRACKETS.sub(r"\1", _DIGITS_IN_TEXT.sub(r"\1", text))


def _base_in_words(match: re.Match) -> str:
    base = _BASES.get(match[1] or match[2])
    return f"_{{{base}}}" if base else match[0]


def _subscript(match: re.Match) -> str:
    base = _BASES.get(_SCAFFOLD.sub("", match[1]))
    return f"_{{{base}}}" if base else match[0]
