r"""Where the final answer of a response is: boxes, `####`, "answer is", the last number; hostile text costs little."""

import pytest

from sprint_lmeval.answers.extraction import extract_math, extract_number
from tests.shared.growth import assert_linear

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
    (r"\boxed\frac{1}{2}", r"\frac{1}{2}"),
    (r"\boxed -3.", "-3"),
    (r"\boxed (3,4)", "(3,4)"),
    (r"\boxed \text{Evelyn Smith}", r"\text{Evelyn Smith}"),
    (r"so \boxed x.", "x"),
    (r"I put the answer in \boxed format.", None),
    (r"Use \boxed to answer", None),
    (r"in a \boxed. Then 7", None),
    (r"\boxed (the final answer)", None),
    (r"\boxed{5}, as \boxed wants", "5"),
    (r"<think>\boxed{8}</think> \boxed{7}", "7"),
    (r"<think>\boxed{8}", None),
    (r"<think>\boxed{8}</think>", None),
    (r"\boxed{8} is wrong</think>\boxed{7}", "7"),
    (r"<think>a<think>\boxed{8}</think>b</think>\boxed{7}", "7"),
    (r"\boxed{5} <think>or \boxed{6}", "5"),
    (r"<Thinking>\boxed{8}</Thinking>\boxed{7}", "7"),
    (r"if x <think of it> \boxed{4}", "4"),
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
    ("<think>maybe \\boxed{8}? No.</think>\n#### 7", "7"),
    ("<think>The answer is 8\n#### 8", None),
    ("<think>8</think>", None),
    ("I put it in \\boxed format. #### 7", "7"),
    ("Answer in \\boxed{}.\n#### 7", "7"),
    ("#### 1 540", "1540"),
    ("#### 1\u2009540", "1540"),
    ("#### 1\u202f540", "1540"),
    ("#### 1\u00a0540", "1540"),
    ("The total is 1 540 dollars.", "1540"),
    (r"\boxed{1\,540}", "1540"),
    ("She has 1,080, so that is it", "1080"),
    ("5 100-dollar bills", "100"),
    ("#### 5\n100", "5"),
    ("#### 3 4", "3 4"),
    (r"#### 3 \quad 4", r"3 \quad 4"),
    ("#### 4:30", "4:30"),
    ("#### 1.5.2", "1.5.2"),
    ("#### 4.5e7", "45000000"),
    (r"\boxed{4.5 \times 10^7}", "45000000"),
    (r"\boxed{\text{18 dollars}}", "18"),
    (r"#### \text{18 dollars}", "18"),
    (r"\boxed{18 \text{ dollars in 2 days}}", "18"),
    (r"\boxed{\text{20\%}}", "20"),
    (r"\boxed{12^{\text{th}}}", "12"),
    ("#### 12th", "12"),
    (r"\boxed{0.\overline{3}}", "1/3"),
    ("#### 2½", "2.5"),
    ("#### １８", "18"),
    (r"\boxed{\color{red}{5}}", "5"),
    (r"\boxed{3 \quad 4}", r"3 \quad 4"),
    ("#### " + "9" * 400, None),
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
    "111," * 250_000, "111,111" * 140_000, "1 111 " * 160_000, "\\boxed{" + "111," * 250_000 + "}", "0.1" * 330_000,
    "<think>" * 140_000, "</think>" * 120_000, "\\boxed \\text{" * 60_000, "\\boxed a " * 100_000, "1e9" * 330_000,
    "#### " + "111," * 250_000, "\\text{1" * 140_000, "1\\," * 330_000,
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
    assert_linear(lambda part: (extract_math(part), extract_number(part)), response)
