"""Verdicts on a table of answers as models and people write them, right and wrong ones."""

import os
import subprocess
import sys

import pytest

from sprint_lmeval.answers.verdicts import (
    GRADER,
    Judgement,
    Verdict,
    check_answer,
    check_gold,
    check_golds,
    extract_answer,
    judge_many,
    judge_responses,
)
from tests.shared.environments import REPOSITORY

C, W, N = Verdict.correct, Verdict.incorrect, Verdict.no_answer

# name, gold, what stands in the box, verdict
BOXED = [
    ("integer", "42", "42", C),
    ("other integer", "42", "24", W),
    ("negative", "-50", "-50", C),
    ("lost sign", "-50", "50", W),
    ("spaces", "42", " 42 ", C),
    ("inner dollars", "42", "$42$", C),
    ("inner parentheses", "42", r"\(42\)", C),
    ("trailing period", "42", "42.", C),
    ("trailing zeros", "42", "42.00", C),
    ("bold", "42", r"\textbf{42}", C),
    ("number as text", "42", r"\text{42}", C),
    ("unicode minus", "-3", "−3", C),
    ("thousands with comma", "10,\\!080", "10,080", C),
    ("thousands without", "10,\\!080", "10080", C),
    ("thousands in braces", "58,500", "58{,}500", C),
    ("thousands wrong", "58,500", "58,5", W),
    ("a list is no thousands", "3, 5, 7", "357", W),
    ("fraction styles", r"\frac{14}{3}", r"\dfrac{14}{3}", C),
    ("fraction with slash", r"\frac{14}{3}", "14/3", C),
    ("fraction without braces", r"\frac12", r"\frac{1}{2}", C),
    ("fraction with space", r"\frac 59", r"\frac{5}{9}", C),
    ("fraction half braces", r"\frac9{19}", r"\frac{9}{19}", C),
    ("fraction of pi without braces", r"7 + \frac\pi 2", r"7 + \frac{\pi}{2}", C),
    ("fraction reduced", r"\frac{1}{2}", r"\frac{2}{4}", C),
    ("fraction upside down", r"\frac{14}{3}", r"\frac{3}{14}", W),
    ("fraction sign outside", r"-\frac{35}{9}", r"\frac{-35}{9}", C),
    ("fraction cut off to its whole", r"\frac{3}{2}", "3", W),
    ("decimal of fraction", r"\frac{1}{4}", "0.25", C),
    ("fraction of decimal", "1.25", r"\frac{5}{4}", C),
    ("leading point", ".35625", "0.35625", C),
    ("repeating, six places", r"\frac{1}{3}", "0.333333", C),
    ("repeating, two places", r"\frac{1}{3}", "0.33", W),
    ("small decimal", ".0000672", r"0.0000672", C),
    ("small decimal, last digit off", ".0000672", "0.0000671", W),
    ("zero and a tiny number", "0", r"10^{-20}", W),
    ("zero and a tiny decimal", "0", "0.0000001", W),
    ("root and a tiny number more", r"\sqrt{2}", r"\sqrt{2} + 10^{-30}", W),
    ("polynomial and a tiny number more", "x^2 + 1", r"x^2 + 1 + 10^{-20}", W),
    ("mixed number", r"1\frac{4}{5}", r"\frac{9}{5}", C),
    ("mixed number, space", r"137 \frac{1}{2}", "137.5", C),
    ("mixed number is no product", r"2\frac{1}{2}", "1", W),
    ("root", r"3\sqrt{13}", r"\sqrt{117}", C),
    ("root cut off", r"3\sqrt{13}", "3", W),
    ("root without braces", r"11\sqrt2", r"11 \sqrt{2}", C),
    ("root rationalised", r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}", C),
    ("root as decimal", r"\sqrt{51}", "7.14", W),
    ("pi", r"\frac{3\pi}{4}", r"0.75\pi", C),
    ("pi as decimal", r"12\pi", "37.7", W),
    ("pi left out", r"12\pi", "12", W),
    ("sum in other order", r"1+2\sqrt{3}", r"2\sqrt{3} + 1", C),
    ("complex", "6 - 5i", "-5i + 6", C),
    ("complex conjugate", "6 - 5i", "6 + 5i", W),
    ("polynomial expanded", "(a+5)(b+2)", "ab + 2a + 5b + 10", C),
    ("polynomial wrong sign", "x^3+3x-6", "x^3+3x+6", W),
    ("other variable", "2k+2", "2n+2", W),
    ("trigonometric identity", r"\cot x", r"\frac{\cos x}{\sin x}", C),
    ("trigonometric other", r"\cot x", r"\tan x", W),
    ("power of two", "2^{10}", "1024", C),
    ("base kept", "52_8", "52_8", C),
    ("base with braces", "4210_{5}", "4210_5", C),
    ("base forgotten", "40_9", "40", W),
    ("base other", "40_9", "40_{10}", W),
    ("base added", "40", "40_9", W),
    ("base ten written out", "36", "36_{10}", C),
    ("same value in base ten", "40_9", "36", W),
    ("base, other digits", "2516_8", "2561_8", W),
    ("equation for its value", "5", "x = 5", C),
    ("equation with index", "5", "x_1 = 5", C),
    ("equation with function", "5", "f(3) = 5", C),
    ("equation, wrong value", "5", "x = 6", W),
    ("square is no name", "5", "x^2 = 5", W),
    ("false sum", "5", "2 + 2 = 5", W),
    ("multiple is no name", "5", "2x = 5", W),
    ("sum within a set", "5", r"\{2 + 2 = 5\}", W),
    ("chain that agrees", "5", "x = 2 + 3 = 5", C),
    ("chain that does not", "5", "x = 4 = 5", W),
    ("gold assignment, bare value", "x=5", "5", C),
    ("gold assignment, other name", "x=5", "y=5", W),
    ("gold assignment, other value", "x=5", "6", W),
    ("gold line", "y = 2x + 3", "2x + 3", C),
    ("gold line, other line", "y = 2x + 3", "y = 3x + 2", W),
    ("gold equation", "5x - 7y + 11z + 4 = 0", "11z + 5x - 7y + 4 = 0", C),
    ("gold equation without its sign", "5x - 7y + 11z + 4 = 0", "5x - 7y + 11z + 4", W),
    ("unit dropped", r"5.4 \text{ cents}", "5.4", C),
    ("unit added", "864", r"864 \text{ inches}", C),
    ("unit abbreviated", r"864 \mbox{ inches}^2", r"864 \text{ in}^2", C),
    ("unit spelled square", r"864 \mbox{ inches}^2", r"864 \text{ square inches}", C),
    ("unit other", r"864 \mbox{ inches}^2", r"864 \text{ feet}^2", W),
    ("unit power other", r"15\mbox{ cm}^2", r"15\text{ cm}^3", W),
    ("unit plain words", "12", "12 apples", C),
    ("unit is no product", "2", "2xy", W),
    ("degrees dropped", r"90^\circ", "90", C),
    ("degrees as word", r"90^\circ", r"90 \text{ degrees}", C),
    ("degrees in braces", r"145^\circ", r"145^{\circ}", C),
    ("degrees sign", r"145^\circ", "145°", C),
    ("radians for degrees", r"30^\circ", r"\frac{\pi}{6}", W),
    ("dollar dropped", r"\$36", "36", C),
    ("dollar escaped", r"\$32,\!348", r"\$32,348", C),
    ("dollar and cents", r"\$18.90", "18.9", C),
    ("dollar and another unit", r"\$36", r"36 \text{ cents}", W),
    ("percent added", "50", r"50\%", C),
    ("percent dropped", r"50\%", "50", C),
    ("percent as fraction", r"50\%", "0.5", C),
    ("percent wrong", r"50\%", "5", W),
    ("name", r"\text{Evelyn}", "Evelyn", C),
    ("name, other case", r"\text{Evelyn}", r"\text{evelyn}", C),
    ("name, other", r"\text{Evelyn}", r"\text{Briana}", W),
    ("word with article", r"\text{ellipse}", r"\text{an ellipse}", C),
    ("word with more words", r"\text{even}", r"\text{not even}", W),
    ("choice", r"\text{(C)}", "C", C),
    ("choice in bold", r"\text{(C)}", r"\textbf{(C)}", C),
    ("choice other", r"\text{(C)}", r"\text{(D)}", W),
    ("choices in other order", r"\text{A, C, F}", r"\text{F, A, C}", C),
    ("choices, one missing", r"\text{A, C, F}", r"\text{A, C}", W),
    ("time of day", r"\text{4:30 p.m.}", r"4{:}30", W),
    ("ratio", "3:1", "3:1", C),
    ("ratio, other", "3:1", "3:2", W),
    ("ratio, first number", "3:1", "3", W),
    ("point", r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)", C),
    ("point, swapped", r"\left( 3, \frac{\pi}{2} \right)", r"(\pi/2, 3)", W),
    ("point, one wrong", "(6,31,-1)", "(6,31,1)", W),
    ("point, one missing", "(6,31,-1)", "(6,31)", W),
    ("list in other order", "3, 5, 7", "7, 3, 5", C),
    ("list with and", r"12\text{ and }13", "13, 12", C),
    ("list, one missing", "3, 5, 7", "3, 5", W),
    ("list as set", "1,-2", r"\{-2, 1\}", C),
    ("list of equations", "1,-2", "x = 1, x = -2", C),
    ("set with plus-minus", r"\{1\pm\sqrt{5},-2\}", r"\{-2, 1+\sqrt5, 1-\sqrt5\}", C),
    ("plus-minus written out", r"1 \pm \sqrt{19}", r"1 - \sqrt{19}, 1 + \sqrt{19}", C),
    ("plus-minus, half", r"1 \pm \sqrt{19}", r"1 + \sqrt{19}", W),
    ("interval", "(3,4]", r"\left(3, 4\right]", C),
    ("interval closed", "(3,4]", "[3,4]", W),
    ("interval, other end", "(3,4]", "(3,5]", W),
    ("interval to infinity", r"(2,\infty)", "(2, ∞)", C),
    ("interval as inequality", r"(2,\infty)", "x > 2", C),
    ("interval as weak inequality", r"(2,\infty)", r"x \ge 2", W),
    ("membership", r"x \in [-2,7]", "[-2,7]", C),
    ("membership as inequality", r"x \in [-2,7]", r"-2 \le x \le 7", C),
    ("union", r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2)", C),
    ("union, half", r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)", W),
    ("matrix", r"\begin{pmatrix} -2 \\ -14 \\ -7 \end{pmatrix}", r"\begin{bmatrix}-2\\-14\\-7\end{bmatrix}", C),
    ("matrix, fractions", r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}",
     r"\begin{pmatrix} \frac{1}{5} \\ -\frac{18}{5} \end{pmatrix}", C),
    ("matrix, one wrong", r"\begin{pmatrix} -2 \\ -14 \\ -7 \end{pmatrix}",
     r"\begin{pmatrix}-2\\-14\\7\end{pmatrix}", W),
    ("matrix, transposed", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \end{pmatrix}", W),
    ("approximately", r"\approx 8.24 \text{ mph}", "8.24", C),
    ("said twice", r"0.56 = 56\%", "0.56", C),
    ("unreadable", "5", r"\frac{3}", W),
    ("unreadable words", "5", "I do not know", W),
    ("nested box", "5", r"\boxed{5}", C),
    ("only a box of brackets", "5", "{}", W),
    ("infinity", "5", r"\infty", W),
    ("division by zero", "5", r"\frac{5}{0}", W),
    ("very long", "5", "5" + "+0" * 5000, W),
    ("giant integer", "5", "5" * 390, W),
    ("fraction of commas", "5", r"\frac{,}{,}", W),
    ("other than nothing", "5", r"x\ne", W),
]  # fmt: skip

# name, gold, whole response, kind, verdict
RESPONSES = [
    ("last of several boxes", "5", r"first \boxed{4}, no, \boxed{5}", "math", C),
    ("boxes are no set", "5", r"\boxed{5} or rather \boxed{6}", "math", W),
    ("breaks off before its box", "12", "the area is 12 and so", "math", N),
    ("breaks off within its box", "898", r"375 + 523 = \boxed{8", "math", N),
    ("breaks off within a second box", "5", r"so \boxed{5}. Check: \boxed{6", "math", C),
    ("fbox", "5", r"\fbox{5}", "math", C),
    ("empty box", "5", r"\boxed{}", "math", N),
    ("empty response", "5", "", "math", N),
    ("stray braces", "5", r"{{ \frac{1}{2 } \boxed{5}}", "math", C),
    ("equals sign outside the box", "5", r"$x = \boxed{5}$.", "math", C),
    ("surrogate and NUL", "5", "\ud800\0 \\boxed{5}", "math", C),
    ("negative dollars", "-5", "The profit is -$5", "number", C),
    ("minus between dollars", "15", "That is $20 - $5 = $15", "number", C),
    ("hashes", "18", "9 * 2 = 18\n#### 18", "number", C),
    ("hashes with currency", "1200", "#### $1,200.00", "number", C),
    ("gold with separator", "1,200", "#### 1200", "number", C),
    ("cents", "29", "So she pays $29.00.", "number", C),
    ("remark behind the answer", "29", "The answer is 29 dollars (see step 2).", "number", C),
    ("remark behind a bare number", "29", "That makes 29 dollars (see step 2)", "number", C),
    ("remark in the box", "29", r"\boxed{29 \text{ dollars (step 2)}}", "number", C),
    ("heading is no answer", "18", "#### 1. Add\n9+9 = 18\nThe answer is 18", "number", C),
    ("step heading is no answer", "18", "#### Step 3: multiply\nThat gives 18", "number", C),
    ("working behind the words", "11", "The answer is 5 + 6 = 11.", "number", C),
    ("bold", "42", "**Answer:** 42", "number", C),
    ("box with unit", "8", r"\boxed{8 \text{ hours}}", "number", C),
    ("box with two numbers", "8", r"\boxed{8, 9}", "number", W),
    ("box with working", "8", r"\boxed{5 + 3 = 8}", "number", C),
    ("box with a product", "12", r"\boxed{3 \times 4}", "number", W),
    ("subtraction is no negative number", "3", "So 10 - 7 = 3 and 5 - 3", "number", C),
    ("negative", "-7", "The temperature is -7 degrees.", "number", C),
    ("lost sign", "-7", "#### 7", "number", W),
    ("decimal", "2.5", "It takes 2.5 hours", "number", C),
    ("mixed number", "2.5", "It takes 2 1/2 hours", "number", C),
    ("fraction", "0.75", r"\boxed{\frac{3}{4}}", "number", C),
    ("percent", "50", "She saved 50%.", "number", C),
    ("exponent of a unit", "29", "The area is 29 m^2", "number", C),
    ("within tolerance", "29", "#### 29.00001", "number", C),
    ("outside tolerance", "29", "#### 29.001", "number", W),
    ("thousands", "1080", r"She counts 1{,}080 eggs", "number", C),
    ("no number", "5", "I cannot tell.", "number", N),
    ("giant number", "5", "5 and then " + "9" * 5000, "number", N),
]  # fmt: skip


@pytest.mark.parametrize(("name", "gold", "answer", "verdict"), BOXED, ids=[row[0] for row in BOXED])
def test_boxed_answer(name: str, gold: str, answer: str, verdict: Verdict) -> None:
    assert check_answer(rf"Therefore \boxed{{{answer}}}", gold, "math") is verdict, name


@pytest.mark.parametrize(("name", "gold", "response", "kind", "verdict"), RESPONSES, ids=[row[0] for row in RESPONSES])
def test_response(name: str, gold: str, response: str, kind: str, verdict: Verdict) -> None:
    assert check_answer(response, gold, kind) is verdict, name


def test_an_answer_is_taken_from_the_response() -> None:
    assert extract_answer(r"so \boxed{\frac{1}{2}}", "math") == r"\frac{1}{2}"
    assert extract_answer("no box: 12", "math") is None
    assert extract_answer("#### 1,080", "number") == "1080"


def test_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="unknown kind of answer 'text': the kinds are math and number"):
        check_answer("5", "5", "text")


def test_groups_of_equal_answers() -> None:
    boxes = ["0.5", r"\frac{1}{2}", "x^2 + x", "x(x + 1)", "7", None, r"\frac{2}{4}", "7.0", r"\text{odd}"]
    responses = ["unfinished" if box is None else rf"\boxed{{{box}}}" for box in boxes]
    found = judge_responses(responses, r"\frac12", "math")
    assert found.groups == [0, 0, 1, 1, 2, None, 0, 2, 3]
    assert found.verdicts == [C, C, W, W, W, N, C, W, W]
    assert found.answers[:2] == ["0.5", r"\frac{1}{2}"]


def test_groups_of_numbers() -> None:
    responses = ["#### 5", "#### 5.00", "#### 6", "none", r"\boxed{1, 2}", "#### 6", r"\boxed{1, 2}"]
    assert judge_responses(responses, "5", "number").groups == [0, 0, 1, None, 2, 1, 2]


def test_one_odd_answer_does_not_keep_others_apart() -> None:
    boxes = [r"\frac{1}{0}", r"\sqrt{8}", r"2\sqrt{2}", r"\frac{2}{0}"]
    groups = judge_responses([rf"\boxed{{{box}}}" for box in boxes], r"\sqrt{7}", "math").groups
    assert groups[1] == groups[2] and groups[0] != groups[1]


def test_many_questions_are_judged_as_one_at_a_time() -> None:
    boxes = [r"\boxed{5}", r"\boxed{6}", r"\boxed{5}"]
    questions = [(boxes, "5", "math"), (["#### 7"], "7", "number"), ([], "1", "math")]
    assert judge_many(questions) == [judge_responses(*question) for question in questions]
    assert judge_many([]) == []
    assert judge_many(questions)[2] == Judgement([], [], [])


@pytest.mark.parametrize("gold", ["", "  ", "None", r"\frac{1}", "x" * 500])
def test_bad_gold_is_named(gold: str) -> None:
    with pytest.raises(ValueError, match="every response to it would be judged wrong"):
        check_gold(gold, "math")


@pytest.mark.parametrize("gold", ["", "many", "5 or 6"])
def test_bad_number_gold_is_named(gold: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        check_gold(gold, "number")


def test_every_gold_of_the_table_is_good() -> None:
    assert [problem for problem in check_golds([row[1] for row in BOXED]) if problem] == []


def test_grader_versions_are_known() -> None:
    assert set(GRADER) == {"math_verify", "latex2sympy2_extended", "sympy", "sprint_lmeval_grader"}
    assert "absent" not in GRADER.values()


def test_import_is_cheap() -> None:
    heavy = "{'sympy', 'torch', 'math_verify', 'numpy'}"
    code = f"import sys, sprint_lmeval.answers.verdicts; print({heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment())
    assert shown.stdout.strip() == "set()", shown.stderr


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "SPRINT_LMEVAL_AUTOLOAD": "0"}
