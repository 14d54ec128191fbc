"""Text with LaTeX -> pieces of text, MathML trees and source."""

import json
import time
from itertools import pairwise

import pytest

from sprint_lmeval.report.page import mathematics as page_math
from sprint_lmeval.report.page.mathematics import ATTRIBUTES, TAGS, Mathematics, plain_text


def tags(tree) -> list[str]:
    return [tree[0], *(tag for child in tree[2:] if isinstance(child, list) for tag in tags(child))]


def texts(tree) -> str:
    return "".join(child if isinstance(child, str) else texts(child) for child in tree[2:])


def kinds(pieces) -> list[str]:
    """text, code (source only) or math, in order."""
    return ["text" if isinstance(piece, str) else ("code", "math")[len(piece) - 1] for piece in pieces]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing here", ["text"]),
        ("", []),
        ("if $x^2$ is", ["text", "math", "text"]),
        (r"\[x\] and \(y\)", ["math", "text", "math"]),
        ("$$x$$", ["math"]),
        (r"\begin{align*}x&=1\\y&=2\end{align*}", ["math"]),
        ("a pen costs $2 and a book $5.", ["text"]),  # prices
        ("from $5-$10 or $ 3 $", ["text"]),
        (r"he has \$5 and $x$ pens", ["text", "math", "text"]),
        ("[asy] draw(); [/asy] shows $x$", ["code", "text", "math"]),
        (r"\begin{tabular}{c}a\end{tabular}", ["code"]),
        ("$" + "x" * 3000 + "$", ["code"]),
        ("$" + "{" * 1500 + "$", ["code"]),  # deeper than a parser goes
        ("one $ alone", ["text"]),
        (r"\(open and \[x\] and $y$", ["text", "math", "text", "math"]),  # an open sign hides nothing
        ("$$open and $x$", ["text", "math"]),
        ("$$$x$$", ["math"]),
        (r"\(\)", ["text"]),
        (r"$a\$b$", ["math"]),
        (r"\begin{align}x\end{align*} $y$", ["text", "math"]),
        (r"\begin{gather*}x\end{gather*}", ["math"]),
        (r"\begin{align}\begin{align}x\end{align}", ["code"]),
    ],
)
def test_what_is_mathematics(text, expected):
    pieces = Mathematics().of_text(text)
    assert kinds(pieces) == expected
    if "\\$" not in text:
        assert plain_text(pieces) == text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("42", ["text"]),
        ("3/4", ["text"]),
        (r"\frac{1}{2}", ["math"]),
        ("$x^2$", ["math"]),
        ("x" * 500 + "^2", ["text"]),
    ],
)
def test_answers(answer, expected):
    assert kinds(Mathematics().of_answer(answer)) == expected


def test_a_tree_has_the_mathematics():
    [[source, tree]] = Mathematics().of_answer(r"\frac{1}{2}")
    assert source == r"\frac{1}{2}" and tags(tree)[-3:] == ["mn", "mrow", "mn"] and "mfrac" in tags(tree)
    assert texts(tree) == "12"


@pytest.mark.parametrize(
    "source", [r"\href{javascript:alert(1)}{x}", r"\text{<img src=x onerror=1>}", "<script>", r"\style{x:y}{z}"]
)
def test_no_markup_but_the_allowed_comes_out(source):
    for piece in Mathematics().of_text(f"${source}$"):
        tree = piece[1]
        assert set(tags(tree)) <= TAGS
        for match in json.dumps(tree).split("{")[1:]:
            assert {pair.split('"')[1] for pair in match.split("}")[0].split(", ")} <= ATTRIBUTES


def test_signs_are_characters_and_not_entities():
    [[_, tree]] = Mathematics().of_answer(r"x \le \{1\}^2")
    assert "&" not in texts(tree) and "≤" in texts(tree)


OPEN = [
    r"\(",
    r"\[",
    "$$",
    "$",
    "$x",
    "[asy]",
    r"\begin{align}",
    r"\begin{array*}",
    r"\begin{tabular}",
    r"\$",
    "\\",
    "{",
]
CLOSED = [r"\(x\)", "$x'$", r"\(\href{\ \)", r"$\frac$", "$" + "~x'" * 600 + "$", "$" + "{" * 1900 + "$"]


@pytest.mark.parametrize("text", [*OPEN, *CLOSED, *(first + " " + second for first, second in pairwise(OPEN))])
def test_a_hostile_text_takes_a_moment(text):
    """A million characters: of signs that are not closed a quadratic scan would take hours."""
    mathematics = Mathematics()
    start = time.process_time()
    pieces = mathematics.of_text((text + " ") * (1_000_000 // (len(text) + 1)))
    assert time.process_time() - start < 10
    assert plain_text(pieces).replace("$", "").count(" ") > 100


def test_all_expressions_together_are_bounded():
    """Distinct ones, of the kind that takes longest."""
    mathematics = Mathematics()
    start = time.process_time()
    for number in range(600):
        mathematics.of_text(f"${number}" + "x'" * 990 + "$")
        mathematics.of_text(f"${number}" + "{" * 1900 + "$")
    assert mathematics.full and mathematics.failed > 50
    assert time.process_time() - start < 60


def test_there_is_an_end_to_converting(monkeypatch):
    monkeypatch.setattr(page_math, "MOST_WORK", 4)
    mathematics = Mathematics()
    assert kinds(mathematics.of_text("$x^2$ $y^2$ $z^2$ $x^2$"))[::2] == ["math", "code", "code", "math"]
    assert mathematics.full
