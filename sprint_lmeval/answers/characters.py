r"""One spelling for each sign and command: an answer's text in, bare LaTeX out, with its meaning unchanged.

Unicode signs become commands, alike commands one of them (`\leq`, `\leqslant` -> `\le`); dollars, sizes, colours and
bold type go. Only answers of bounded length come here.
"""

import re

_TEXT_COMMANDS = "text mbox mathrm textrm textbf mathbf textit textnormal textsf texttt mathtt hbox emph bf rm"
TEXT = rf"\\(?:{'|'.join(_TEXT_COMMANDS.split())}|textsuperscript)"

_FULL_WIDTH = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_SPACES = dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " ")
_INVISIBLE = dict.fromkeys("\u200b\u2060\u2061\u2062\ufeff", "")
_FRACTIONS = zip("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞", "12 13 23 14 34 15 25 35 45 16 56 18 38 58 78".split(), strict=True)
_SIGNS = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": r"\div ", "⁄": "/",
    "π": r"\pi ", "θ": r"\theta ", "∞": r"\infty ", "°": r"^\circ ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "±": r"\pm ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∨": r"\lor ", "∧": r"\land ", "∣": r"\mid ",
    "∅": r"\emptyset ", "…": r"\ldots ", "⋯": r"\ldots ", "≈": r"\approx ", "⟨": "(", "⟩": ")", "ℝ": r"\mathbb{R}",
    "∛": r"\sqrt[3]", "∶": ":", "£": "", "€": "", "’": "'",
}  # fmt: skip
CHARACTERS = str.maketrans(
    _FULL_WIDTH | _SPACES | _INVISIBLE | _SIGNS | {one: rf"\frac{{{of[0]}}}{{{of[1]}}}" for one, of in _FRACTIONS}
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_LOWERED_RUN = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")

_WRAPPERS = re.compile(r"(?<!\\)\\[()\[\]]|(?<!\\)\$|\\[$#]")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_COMMANDS = dict.fromkeys("displaystyle textstyle limits nolimits middle hfill".split(), "")
_COMMANDS |= dict.fromkeys("Big big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr".split(), "")
_COMMANDS |= dict.fromkeys("boldsymbol bm pmb bold underline mathit mathsf boxed fbox".split(), "")
_COMMANDS |= dict.fromkeys("qquad enspace newline".split(), r"\quad ")
_COMMANDS |= dict.fromkeys("dots cdots dotsc dotsb".split(), r"\ldots ")
_COMMANDS |= dict.fromkeys("dfrac tfrac cfrac".split(), r"\frac")
_COMMANDS |= {
    "leq": r"\le", "leqslant": r"\le", "geq": r"\ge", "geqslant": r"\ge", "neq": r"\ne", "lt": "<", "gt": ">",
    "deg": r"^\circ", "surd": "√", "varnothing": r"\emptyset",
    "lor": r"\text{ or }", "vee": r"\text{ or }", "land": r"\text{ and }",
    "wedge": r"\text{ and }", "degree": r"^\circ", "degrees": r"^\circ", "langle": "(", "rangle": ")",
    "lbrace": r"\{", "rbrace": r"\}", "lvert": "|", "rvert": "|", "vert": "|", "colon": ":", "ast": r"\cdot",
    "Reals": r"\mathbb{R}", "R": r"\mathbb{R}", "infin": r"\infty", "dbinom": r"\binom", "tbinom": r"\binom",
    "backslash": r"\setminus", "lparen": "(", "rparen": ")", "lbrack": "[", "rbrack": "]", "thinspace": r"\,",
}  # fmt: skip
_DELIMITER = re.compile(r"\\(?:left|right)(?![a-zA-Z])\.?")
_WITHOUT_ARGUMENT = re.compile(r"\\(?:color|textcolor|colorbox|phantom|hphantom|tag\*?|label|hspace\*?) ?\{[^{}]*\}")
_UNIT_VECTOR = re.compile(
    r"\\(?:mathbf|hat|vec|boldsymbol|bm) ?\{ ?(?:\\(?:mathbf|boldsymbol) ?\{ ?)?\\?([ijk])(?:math)? ?\}{1,2}"
)
_UPRIGHT = re.compile(r"\\(?:mathrm|mathbf|textbf|textit) ?\{ ?([A-Za-z]|\\[a-z]+|[^{}]*[\d+=][^{}]*) ?\}(?! ?_)")
_BOLD = re.compile(r"\\(?:bf|it)(?![a-zA-Z]| ?\{)")
_OPEN_ROOT = re.compile(r"\\sqrt ?(\[\d+\]) ?([\dA-Za-z])")
_DEGREE_LETTER = re.compile(r"(?<=\d) ?\^ ?(?:\{ ?o ?\}|o(?![a-z]))")
_EULER = re.compile(r"\\text ?\{ ?e ?\}(?= ?\^)")
_NATURAL_LOG = re.compile(r"\\log_ ?(?:\{ ?e ?\}|e)(?![a-z])")
_ROW_SKIP = re.compile(r"\\\\ ?\[ ?-?[\d.]+ ?(?:pt|em|ex|mm|cm|in) ?\]|\\\\ ?(?=\\end ?\{)")
_TYPED = (("**", "^"), ("<=", r"\le "), (">=", r"\ge "), ("!=", r"\ne "), ("{:}", ":"), ("...", r"\ldots "))

_NAMES = "pi|theta|infinity|infty|arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt"
_TYPED_NAME = re.compile(rf"({TEXT} ?\{{[^{{}}]*\}}|\\[A-Za-z]+)|(?<![A-Za-z])({_NAMES})(?![A-Za-z])")
_ROOT = re.compile(r"(?:√|\\sqrt(?= ?\()) ?(?:(\()|(\d+(?:\.\d+)?|[A-Za-z]|\\pi(?![a-z]))|)")


def one_spelling(answer: str) -> str:
    """The answer in bare LaTeX: one command for each sign, no dollars, delimiter sizes, colours and bold type."""
    text = answer if answer.isascii() else _characters(answer)
    text = _WRAPPERS.sub("", text)
    if "\\" in text:
        text = _commands(text)
    for typed, meant in _TYPED:
        text = text.replace(typed, meant)
    text = _DEGREE_LETTER.sub(r"^\\circ", text)
    text = _TYPED_NAME.sub(_as_command, text)
    return _roots(text) if "√" in text or r"\sqrt(" in text or r"\sqrt (" in text else text


def _characters(text: str) -> str:
    text = _RAISED_RUN.sub(lambda match: f"^{{{match[0].translate(_RAISED)}}}", text)
    text = _LOWERED_RUN.sub(lambda match: f"_{{{match[0].translate(_LOWERED)}}}", text)
    return text.translate(CHARACTERS)


def _commands(text: str) -> str:
    r"""`\mathbf{i}` beside a number is a vector (not the imaginary unit); every other single bold letter is itself."""
    text = _UNIT_VECTOR.sub(r"\\vec{\1}", _WITHOUT_ARGUMENT.sub("", text))
    text = text.replace("\\" * 4, "\\" * 2).replace("{smallmatrix}", "{matrix}")
    text = _DELIMITER.sub("", _ROW_SKIP.sub(lambda match: r"\\" if "[" in match[0] else "", text))
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], match[0]), text)
    text = _BOLD.sub("", _EULER.sub("e", _OPEN_ROOT.sub(r"\\sqrt\1{\2}", text)))
    return _NATURAL_LOG.sub(r"\\ln ", _UPRIGHT.sub(_upright, text))


def _upright(match: re.Match) -> str:
    return f"{{{match[1]}}}" if match[1][0].isdigit() else match[1]  # in braces, so that two do not run together


def _as_command(match: re.Match) -> str:
    if match[1]:
        return match[1]
    return {"infinity": r"\infty ", "sqrt": "√"}.get(match[2], rf"\{match[2]} ")


def _roots(text: str) -> str:
    r"""`\sqrt(2 + x)` and `\sqrt 12` with braces, as `√12` and `sqrt(2 + x)` mean it."""
    while match := _ROOT.search(text):
        end = _closing(text, match.start(1)) if match[1] else match.end()
        if end < 0:
            return text
        inside = text[match.start(1) + 1 : end - 1] if match[1] else match[2]
        root = r"\sqrt" if inside is None else rf"\sqrt{{{inside}}}"
        text = text[: match.start()] + root + text[end:]
    return text


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` has closed, or -1."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index + 1
    return -1
