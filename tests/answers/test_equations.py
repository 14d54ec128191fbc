"""Equations in responses: which are found, which are false; hostile text costs little."""

import pytest

from sprint_lmeval.answers.equations import false_equations, first_false_sum
from tests.shared.growth import assert_linear

TRUE = [
    "5 + 3 = 8", "5+3=8", "16 - 3 - 4 = 9", "2 * 9 = 18", "2 x 9 = 18", "2x9=18", "2 × 9 = 18", "18 / 2 = 9",
    "18 ÷ 2 = 9",
    r"$2 \times 9 = 18$", r"\(18 \div 2 = 9\)", r"\[\frac{18}{2} = 9\]", r"\frac{1}{2} \cdot 10 = 5",
    r"\dfrac{3}{4} = 0.75",
    "$5 + $3.50 = $8.50", "$1,200 + $34 = $1,234", r"1{,}200 + 1 = 1{,}201", "-5 + 3 = -2", "5 - 8 = -3",
    "(5 + 3) * 2 = 16",
    "2(3 + 4) = 14", "(2)(3) = 6", "5 apples + 3 apples = 8 apples", "4 hours * $2/hour = $8", "3 ft x 4 ft = 12 ft",
    "60 miles per hour * 2 hours = 120 miles", "20% of 50 = 10", "0.2 * 50 = 10", "20% * 50 = 10", "20 / 100 = 20%",
    "100% - 30% = 70%", "2 1/2 * 4 = 10", "1 + 2 + 3 + 4 = 10", "2 + 3 = 5 = 10 / 2", "15 = 3 * 5", "12 / 4 = 3.0",
    "1/3 + 1/3 = 2/3", "28 / 1/5 = 140",
    r"1\frac{1}{4} * 4 = 5", "10 000 + 1 = 10 001", "2 2/3 * 3 = 8",
    "<<48/2=24>>24", "Natalia sold 48/2 = <<48/2=24>>24 clips in May.", "- 5 + 3 = 8", "* 5 + 3 = 8", "1. 5 + 3 = 8",
    "Step 1: 5 + 3 = 8",
    "She pays 5 + 3 = 8 dollars and 8 * 2 = 16 cents.", "so (5 + 3 = 8)", "10.5 * 2 = 21.",
    r"5 \text{ cm} + 3 \text{ cm} = 8 \text{ cm}",
]  # fmt: skip

NONE = [
    "", "x + 3 = 8", "3x = 15", "x = 5 + 4 - y", "total - 5 = 3", "x = 5", "5 = 6", "10 / 3 ≈ 3.33",
    r"10/3 \approx 3.33", "half of 10 = 5 + 1",
    "2 feet = 2 * 12 inches", "f(6) = 3 + 4", r"\log(6) = 3 + 4", r"0.\overline{3} * 3 = 1",
    r"1/3 = 0.\overline{3} + 0", "2^3 = 9", "3² = 8 + 2", r"\sqrt{9} = 4 - 2", "5! = 100 + 1", "n = 5 * x",
    "a * 3 = 7", "f(3) = 4 + 2x",
    "5 plus 3 = 9", "1/0 = 3", "= 5 + 3", "5 + 3 =",
    "5 + 3 = ?", "5 + 3 = x", "5 + = 8", "(5 + 3 = 8", "5 + 3\n= 9", "2 * 3 = 7x", "y * 2 + 3 = 8", "price * 2 = 10",
]  # fmt: skip

FALSE = [
    ("5 + 3 = 9", ["5 + 3 = 9"]),
    ("So 16 - 3 - 4 = 8 eggs.", ["16 - 3 - 4 = 8"]),
    ("$1,200 + $34 = $1,235", ["1,200 + 34 = 1,235"]),
    ("10 / 3 = 3.33", ["10 / 3 = 3.33"]),
    ("20% of 50 = 12", ["20% of 50 = 12"]),
    ("2 + 3 = 5 = 11 / 2", ["5 = 11 / 2"]),
    ("2 + 3 = 6 = 12 / 2", ["2 + 3 = 6"]),
    ("2 + 2 = 4\n3 + 3 = 7\n4 * 4 = 15", ["3 + 3 = 7", "4 * 4 = 15"]),
    (r"$2 \times 9 = 19$", ["2 * 9 = 19"]),
    (r"\frac{18}{4} = 9", ["((18)/(4)) = 9"]),
    ("<<48/2=25>>25", ["48/2=25"]),
    ("5 apples + 3 apples = 9 apples", ["5 apples + 3 apples = 9"]),
    ("5 - 8 = 3", ["5 - 8 = 3"]),
    ("-5 + 3 = 2", ["-5 + 3 = 2"]),
    ("(5 + 3) * 2 = 11", ["(5 + 3) * 2 = 11"]),
    ("5 + 3 * 2 = 16", ["5 + 3 * 2 = 16"]),
    ("2(3 + 4) = 10", ["2(3 + 4) = 10"]),
    ("15 = 3 * 6", ["15 = 3 * 6"]),
    ("1 + 2 + 3 + 4 = 11", ["1 + 2 + 3 + 4 = 11"]),
    ("3 ft x 4 ft = 7 ft", ["3 ft x 4 ft = 7"]),
    ("2 1/2 * 4 = 9", ["2 1/2 * 4 = 9"]),
    ("0.1 + 0.2 = 0.30001", ["0.1 + 0.2 = 0.30001"]),
]

RIGHT = [  # text, what stands before the value, the value
    ("9 * 8 = 71 books, 71 + 1 = 73", "9 * 8 = ", "72"),
    ("one\r\n2 + 2 = 4, 3 + 4 = 8", "one\r\n2 + 2 = 4, 3 + 4 = ", "7"),
    (r"so $3 \times \frac{1}{2} = 1$ and 1 = 1", r"so $3 \times \frac{1}{2} = ", "1.5"),
    ("5 - 7 = 2", "5 - 7 = ", "-2"),
    ("10 / 3 = 3.33 and 1 + 1 = 3", "10 / 3 = 3.33 and 1 + 1 = ", "2"),  # no value of few digits
    ("20% of 50 = 11", "20% of 50 = ", "10"),
    ("$5 * 1,200 = $600", "$5 * 1,200 = ", "6000"),
    ("0 * 3 = 1", "0 * 3 = ", "0"),
]
NOT_RIGHT = ["", "1 + 1 = 2", "5 / 20 = 24%", "12 = 3 * 5", "7 / 3 = 2"]

HOSTILE = ["1+" * 500_000 + "1=2", "1+1=3;" * 150_000, "(" * 500_000 + "=", "=" * 1_000_000, "1 " * 500_000 + "= 1",
"1=" * 400_000,
           "\n".join(["((((1+1)))) = (" * 100] * 200), "9" * 1_000_000 + "+1=2", "\\frac{" * 200_000 + "=",
           "a=" * 500_000]  # fmt: skip


@pytest.mark.parametrize("text", TRUE + NONE)
def test_nothing_false(text: str) -> None:
    assert false_equations(text) == []


@pytest.mark.parametrize("text", TRUE)
def test_a_true_equation_is_read(text: str) -> None:
    """With its last digit changed it is found false: it was not passed over."""
    place = max(index for index, character in enumerate(text[: _end(text)]) if character.isdigit())
    changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    assert len(false_equations(changed)) >= 1, changed


def _end(text: str) -> int:
    """Behind the last equation's right side: what follows it (`>>24`) is no part of it."""
    return text.index(">>") if ">>" in text else len(text)


@pytest.mark.parametrize(("text", "found"), FALSE)
def test_false(text: str, found: list[str]) -> None:
    assert false_equations(text) == found


@pytest.mark.parametrize(("text", "before", "value"), RIGHT)
def test_the_first_false_sum_and_its_value(text: str, before: str, value: str) -> None:
    at, found = first_false_sum(text)
    assert (text[:at].rstrip(), found) == (before.rstrip(), value)


@pytest.mark.parametrize("text", NOT_RIGHT)
def test_what_is_not_put_right(text: str) -> None:
    assert first_false_sum(text) is None


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(text[:12]) for text in HOSTILE])
def test_hostile_text_is_read_in_linear_time(text: str) -> None:
    assert_linear(lambda part: (false_equations(part), first_false_sum(part)), text)
