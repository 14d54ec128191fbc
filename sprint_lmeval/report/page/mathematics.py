"""Text with LaTeX -> pieces that a page builds node by node: no markup of a problem or of a model reaches the page.

In: a problem or an answer. Out: a list of pieces, each
    "text"              shown as it is
    [source]            mathematics that could not be converted, shown as code
    [source, tree]      mathematics; a tree is [tag, {attribute: value} or 0, child ...], a child a string or a tree
The trees are MathML (latex2mathml), reduced to the tags and attributes named here. `$` opens mathematics as in pandoc:
prices ("$2 and $3") are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from xml.etree.ElementTree import Element

MAX_SOURCE = 2_000  # characters of one expression; longer ones are shown as code
MAX_ANSWER = 200  # the same of an answer
MOST_WORK = 500_000  # characters, and twice the nodes, that are converted for one page: 3 to 10 s
OPENING = re.compile(
    r"(?P<dollars>(?<!\\)\$(?!\s)(?:\\.|[^$\\])++(?<!\s)\$(?!\d))"
    r"|(?P<opened>\$\$|\\\[|\\\(|\[asy\]|\\begin\{(?:(?:align|equation|gather|array)\*?|tabular)\})",
    re.S,
)
CLOSING = {"$$": "$$", r"\[": r"\]", r"\(": r"\)", "[asy]": "[/asy]"}
FIGURES = ("[asy]", r"\begin{tabular}")
TAGS = set(
    """math mrow mi mn mo mtext mspace mfrac msup msub msubsup munder mover munderover mmultiscripts mprescripts none
    msqrt mroot mtable mtr mtd mstyle mpadded mphantom menclose merror ms""".split()
)
ATTRIBUTES = set(
    """display stretchy fence form accent accentunder width height depth columnalign columnspacing rowspacing
    columnlines rowlines mathvariant displaystyle scriptlevel minsize maxsize movablelimits linethickness separator
    lspace rspace notation""".split()
)
VALUE = re.compile(r"[\w .%#+-]{1,60}")
LOOKS_LIKE_LATEX = re.compile(r"[\\^_{}]")

Tree = list
Piece = str | list


class Mathematics:
    """Converts expressions, each distinct one once, and not more than a page has time for.

    Attributes:
        failed: how many distinct expressions were no LaTeX that can be converted, or too long.
    """

    def __init__(self) -> None:
        self._trees: dict[tuple[str, bool], Tree | None] = {}
        self._work = 0
        self.failed = 0

    @property
    def full(self) -> bool:
        """Whether expressions were left as source because there were too many."""
        return self._work >= MOST_WORK

    def of_text(self, text: str) -> list[Piece]:
        """Pieces of a text with mathematics between dollars, brackets or in environments."""
        pieces: list[Piece] = []
        end = 0
        for start, stop, opened in _spans(text):
            _add_text(pieces, text[end:start])
            pieces.append(self._expression(text[start:stop], opened))
            end = stop
        _add_text(pieces, text[end:])
        return pieces

    def of_answer(self, answer: str) -> list[Piece]:
        """Pieces of an answer, which is one expression where it looks like LaTeX."""
        source = answer.strip().strip("$")
        if len(source) > MAX_ANSWER or not LOOKS_LIKE_LATEX.search(source):
            return [answer]
        return [self._piece(answer, source, False)]

    def _expression(self, source: str, opened: str) -> Piece:
        if opened in FIGURES:
            return [source]
        inside = source if opened.startswith(r"\begin") else source[len(opened) : -len(opened)]
        return self._piece(source, inside, opened not in ("$", r"\("))

    def _piece(self, source: str, inside: str, display: bool) -> Piece:
        key = (inside, display)
        if key not in self._trees:
            if self.full:
                return [source]
            tree = self._trees[key] = _tree_of(inside, display)
            self._work += max(len(inside), 2 * _size(tree)) if tree else len(inside)
            self.failed += tree is None
        tree = self._trees[key]
        return [source] if tree is None else [source, tree]


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and opening sign of each expression, in time linear in the text's length."""
    start, unclosed = 0, set()
    while match := OPENING.search(text, start):
        opened = match["opened"]
        if opened is None:
            start = match.end()
            yield match.start(), start, "$"
            continue
        closing = CLOSING.get(opened) or opened.replace("begin", "end")
        found = -1 if closing in unclosed else text.find(closing, match.end() + 1)
        if found < 0:  # nor behind any later opening sign: it is not looked for again
            unclosed.add(closing)
            start = match.start() + 1
        else:
            start = found + len(closing)
            yield match.start(), start, opened


def plain_text(pieces: list[Piece]) -> str:
    """The text that the pieces were made of."""
    return "".join(piece if isinstance(piece, str) else piece[0] for piece in pieces)


def _add_text(pieces: list[Piece], text: str) -> None:
    if text:
        pieces.append(text.replace(r"\$", "$").replace(r"\%", "%"))


def _tree_of(source: str, display: bool) -> Tree | None:
    if len(source) > MAX_SOURCE:
        return None
    from latex2mathml.converter import convert_to_element

    try:
        return _tree(convert_to_element(source, display="block" if display else "inline"))
    except Exception:  # a parser of untrusted text: whatever stops it, the source is shown instead
        return None


def _tree(element: Element) -> Tree:
    attributes = {name: v for name, v in element.attrib.items() if name in ATTRIBUTES and VALUE.fullmatch(v)}
    tree: Tree = [element.tag if element.tag in TAGS else "mrow", attributes or 0]
    if element.text:
        tree.append(unescape(element.text))
    tree.extend(_tree(child) for child in element)
    return tree


def _size(tree: Tree) -> int:
    """Nodes of a tree."""
    return 1 + sum(_size(child) for child in tree[2:] if isinstance(child, list))
