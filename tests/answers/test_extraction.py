r"""Where the final answer of a response is: boxes, `####`, "answer is", the last number; hostile text costs little."""

import time

import pytest

from sprint_lmeval.answers.extraction import extract_math, extract_number

BOXES = [
    (r"\boxed{5}", "5"),
    (r"$\boxed{\frac{1}{2}}$", r"\frac{1}{2}"),
    (r"\boxed {5}", "5"),
    (r"\fbox{5}", "5"),
    (r"\boxed{5} then \boxed{6}", "6"),
    (r"\boxed{5} then \boxed{6", "5"),
    (r"\boxed{5 then \boxed{6}", "6"),
    (r"\boxed{x = \boxed{5}}", "5"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
    (r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\boxed{5} put it in \boxed{}", "5"),
    (r"{{{ \boxed{5} }", "5"),
    (r"}}} \boxed{5}", "5"),
    (r"\boxed 5", "5"),
    (r"\boxed 12$.", "12"),
    (r"\boxed{", None),
    (r"\boxed", None),
    (r"\boxed{ }", None),
    (r"375 + 523 = \boxed{8", None),
    ("the area is 12 and so", None),
    ("", None),
    ("\\boxed{a\0b}", "a b"),
    ("\\boxed{\ud800}", "?"),
]

NUMBERS = [
    ("#### 18", "18"),
    ("####18", "18"),
    ("#### -3", "-3"),
    ("#### $1,200.50", "1200.5"),
    ("#### The answer is 7", "7"),
    ("#### 5\n#### 6", "6"),
    ("#### Step 1: add\nThis makes 9", "9"),
    ("The answer is: $29.", "29"),
    ("The final answer is \\(29\\).", "29"),
    ("Answer: \n\n 29", "29"),
    ("The answer is 5 + 6 which is 11", "11"),
    ("It is 29 (29 USD, see step 2)", "29"),
    ("(all 29)", "29"),
    ("-$5.50", "-5.5"),
    ("$-5.50", "-5.5"),
    ("5 - 3", "3"),
    ("from 5-3", "3"),
    ("1/3 of it", "1/3"),
    (r"\frac{-3}{4}", "-0.75"),
    (r"2\frac12", "2.5"),
    ("CO2 and H2O weigh 12", "12"),
    (".5", "0.5"),
    ("1,2,3", "3"),
    ("1,234,567 eggs", "1234567"),
    ("1/0", None),
    ("none", None),
    (r"\boxed{29 \text{ m}^2}", "29"),
    (r"\boxed{29^\circ}", "29"),
    (r"\boxed{2^3}", "2^3"),
    (r"\boxed{many}", "many"),
]

HOSTILE = [
    "\\boxed{" * 150_000, "\\boxed{5}" * 110_000, "{" * 1_000_000, "}" * 1_000_000, "\\" * 1_000_000, "9" * 10_000_000,
    "1,111" * 200_000, "1," * 500_000, "#### " * 200_000, "answer is " * 100_000, "\\frac" * 200_000, " " * 1_000_000,
    "\\boxed" + " " * 1_000_000, "(" * 1_000_000, "-" * 1_000_000, "\\boxed{" + "9" * 10_000_000 + "}",
    "\0" * 1_000_000,
    "\ud800" * 1_000_000, "\\text{" * 100_000, "= " * 500_000,
]  # fmt: skip


@pytest.mark.parametrize(("response", "answer"), BOXES)
def test_box(response: str, answer: str | None) -> None:
    assert extract_math(response) == answer


@pytest.mark.parametrize(("response", "answer"), NUMBERS)
def test_number(response: str, answer: str | None) -> None:
    assert extract_number(response) == answer


@pytest.mark.parametrize("response", HOSTILE, ids=[repr(text[:12]) for text in HOSTILE])
def test_hostile_text_is_read_in_linear_time(response: str) -> None:
    start_s = time.process_time()
    extract_math(response)
    extract_number(response)
    assert time.process_time() - start_s < 2.0
