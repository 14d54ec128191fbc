r"""What counts as equal where a number is asked for: gold, whole responses that are right, and that are wrong."""

import pytest

from tests.shared.verdict_tables import Table, wrongly_judged

TABLE: Table = {
    "thoughts": [
        ("7", ["<think>maybe \\boxed{8}? No.</think>\n#### 7", "<think>8</think>The answer is 7.",
         "8 or 9</think>\n#### 7",
               "<think>a</think><think>\\boxed{8}</think>\\boxed{7}", "<think></think>7"],
         ["<think>\\boxed{7}</think>\n#### 8", "<think>#### 7</think>The answer is 9", "<think>7</think>\\boxed{8}"]),
    ],
    "boxes without braces": [
        ("7", ["I put it in \\boxed format.\n#### 7", "Use \\boxed for it. The answer is 7", "so \\boxed 7",
         "\\boxed 7 dollars",
               "\\boxed{} holds it: 7", "\\boxed\\text{7 dollars}"], ["\\boxed 8\n#### 7", "\\boxed format\n#### 8"]),
    ],
    "thousands": [
        ("1540", ["#### 1 540", "#### 1\u2009540", "#### 1\u202f540", "#### 1\u00a0540", "#### 1,540",
         r"\boxed{1\,540}", r"\boxed{1{,}540}",
                  r"\boxed{1,\!540}", "The total is 1 540.", "It is $1,540.00", r"\boxed{\text{1 540 dollars}}",
                  "she has 1,540, so"],
         ["#### 540", "#### 1 504", "#### 1", "#### 1,54", "#### 15,40", "1\n540"]),
        ("1200000", ["#### 1 200 000", "1,200,000", "#### 1.2e6", r"\boxed{1.2 \times 10^6}"], ["#### 1 200", "1.2",
         "200000"]),
        ("540", ["1\n540", "#### 540"], ["#### 1 540", "The total is 1,540"]),
    ],
    "several numerals": [
        ("3", ["#### 3"], ["#### 3 4", r"#### 3 \quad 4", r"\boxed{3 \quad 4}", "#### 3.4.5", "#### 3:30"]),
        ("4", ["#### 4", "3 and 4"], ["#### 3 4", r"#### 3 \quad 4", r"\boxed{3\ 4}", r"\boxed{3, 4}"]),
        ("7", ["#### 3 + 4 = 7"], [r"#### 3 \quad 4", "#### 3 4", r"\boxed{3 \quad 4}", r"\boxed{3\ 4}"]),
        ("2.5", ["#### 2 1/2", "#### 2½", r"\boxed{2\frac12}", "#### 5/2"], ["#### 2 3/2", "#### 2", "#### 1/2"]),
    ],
    "units": [
        ("18", [r"\boxed{\text{18 dollars}}", r"#### \text{18 dollars}", r"\boxed{18 \text{ dollars}}",
         r"\boxed{\$18}", "#### 18 dollars",
                r"\boxed{18 \text{ dollars in 2 days}}", r"\boxed{\textbf{18}}", r"\boxed{\color{red}{18}}",
                r"\boxed{\underline{18}}", "#### １８"],
         [r"\boxed{\text{18 or 19}}", r"\boxed{\text{81 dollars}}", r"\boxed{\text{-18 dollars}}", "#### -18"]),
        ("20", [r"\boxed{\text{20\%}}", r"\boxed{20\%}", "#### 20%", r"\boxed{20^\circ}", r"\boxed{20\degree}"],
         [r"\boxed{0.2}", "#### 2%"]),
        ("12", [r"\boxed{12^{\text{th}}}", "#### 12th", r"\boxed{12\text{th}}"], ["#### 21st", r"\boxed{12^2}"]),
    ],
    "decimals": [
        ("0.333333", [r"\boxed{0.\overline{3}}", r"\boxed{\frac13}", "#### 1/3", r"#### 0.333\ldots"], ["#### 0.3",
         "#### 3", "#### 0.34"]),
        ("45000000", ["#### 4.5e7", r"\boxed{4.5e7}", r"\boxed{4.5 \times 10^{7}}"], ["#### 4.5", "#### 7",
         "#### 4.5e6"]),
        ("4.5", ["#### 4.5", r"\boxed{4\frac12}"], ["#### 4.5e7", r"\boxed{4.5 \times 10^7}", r"\boxed{4 \cdot 5}"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("category", TABLE)
def test_equal(category: str) -> None:
    assert wrongly_judged(TABLE[category], "number") == []
