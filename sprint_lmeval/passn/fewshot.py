"""Worked examples for few-shot prompts, written for this project: none of them is in MATH or GSM8K.

They are fixed and come in this order, so a prompt with k examples is the same for every model and machine.
"""

from __future__ import annotations

from itertools import islice

from sprint_lmeval.tiny.problems import stream

_MATH = (
    (
        "Find the sum of all integers $n$ with $|3n - 6| \\le 9$.",
        "The inequality means $-9 \\le 3n - 6 \\le 9$, so $-3 \\le 3n \\le 15$ and $-1 \\le n \\le 5$. The integers "
        "are $-1, 0, 1, 2, 3, 4, 5$, and their sum is $\\boxed{14}$.",
        "14",
    ),
    (
        "A box holds 4 red and 6 blue balls. Two balls are drawn at the same time. What is the probability that their "
        "colours differ?",
        "There are $\\binom{10}{2} = 45$ equally likely pairs. A pair with one ball of each colour can be chosen in "
        "$4 \\cdot 6 = 24$ ways. The probability is $\\frac{24}{45} = \\boxed{\\frac{8}{15}}$.",
        "\\frac{8}{15}",
    ),
    (
        "What is the remainder when $7^{50}$ is divided by 5?",
        "Since $7 \\equiv 2 \\pmod 5$ and $2^4 \\equiv 1 \\pmod 5$, the powers repeat every four steps. Now "
        "$50 = 4 \\cdot 12 + 2$, so $7^{50} \\equiv 2^2 = 4$. The remainder is $\\boxed{4}$.",
        "4",
    ),
    (
        "The hypotenuse of a right triangle is $2\\sqrt{13}$ and one leg is 4. Find the area of the triangle.",
        "The other leg is $\\sqrt{(2\\sqrt{13})^2 - 4^2} = \\sqrt{52 - 16} = 6$. The area is "
        "$\\frac{1}{2} \\cdot 4 \\cdot 6 = \\boxed{12}$.",
        "12",
    ),
    (
        "Write $\\frac{x^2 - x - 12}{x + 3}$ as a polynomial, for $x \\ne -3$.",
        "The numerator factors as $(x - 4)(x + 3)$. Dividing by $x + 3$ leaves $\\boxed{x - 4}$.",
        "x - 4",
    ),
    (
        "For which real $x$ does $f(x) = \\sqrt{10 - 2x} + \\frac{1}{x - 1}$ have a value? Answer with an interval "
        "or a union of intervals.",
        "The root needs $10 - 2x \\ge 0$, so $x \\le 5$, and the fraction needs $x \\ne 1$. The domain is "
        "$\\boxed{(-\\infty, 1) \\cup (1, 5]}$.",
        "(-\\infty, 1) \\cup (1, 5]",
    ),
)

_GSM8K = (
    (
        "A bakery bakes 14 trays of 12 rolls each morning. It sells 130 rolls and gives half of the rest to a shelter. "
        "How many rolls are left over?",
        "The bakery bakes 14 * 12 = 168 rolls.\nAfter the sale 168 - 130 = 38 rolls remain.\n"
        "Half of them, 38 / 2 = 19, go to the shelter, so 38 - 19 = 19 are left over.",
        "19",
    ),
    (
        "Iris saves $15 a week. She already has $40 and wants a bicycle for $205. How many weeks must she save?",
        "She still needs 205 - 40 = 165 dollars.\nAt 15 dollars a week that takes 165 / 15 = 11 weeks.",
        "11",
    ),
    (
        "A bus starts with 18 passengers. At the first stop 7 get off and 12 get on. At the second stop twice as many "
        "get off as got off at the first, and 5 get on. How many passengers are on the bus now?",
        "After the first stop there are 18 - 7 + 12 = 23 passengers.\nAt the second stop 2 * 7 = 14 get off, so "
        "23 - 14 + 5 = 14 passengers are on the bus.",
        "14",
    ),
    (
        "A jacket costs $80. In a sale it is 25% cheaper, and Omar uses a voucher for $8 on top. What does he pay?",
        "The sale takes off 0.25 * 80 = 20 dollars, which leaves 80 - 20 = 60 dollars.\n"
        "With the voucher he pays 60 - 8 = 52 dollars.",
        "52",
    ),
    (
        "Three friends share the cost of a trip equally. Petrol was $96, food was $75 and the cabin was $150. "
        "How much does each of them pay?",
        "Together the trip cost 96 + 75 + 150 = 321 dollars.\nEach of the three pays 321 / 3 = 107 dollars.",
        "107",
    ),
    (
        "A gardener plants 6 rows of tulips with 9 tulips in each row and 4 rows of roses with 7 roses in each row. "
        "How many more tulips than roses does the gardener plant?",
        "There are 6 * 9 = 54 tulips and 4 * 7 = 28 roses.\nThat is 54 - 28 = 26 more tulips than roses.",
        "26",
    ),
)


def math_examples() -> list[dict]:
    """Return the examples of the MATH tasks, as documents."""
    return [_document(*example) for example in _MATH]


def gsm8k_examples() -> list[dict]:
    """Return the examples of the GSM8K tasks, as documents."""
    return [_document(*example) for example in _GSM8K]


def tiny_examples() -> list[dict]:
    """Return examples for the embedded model, from outside its train and test splits."""
    return [_document(p.question, p.solution, str(p.answer)) for p in islice(stream("examples"), 6)]


def _document(question: str, solution: str, answer: str) -> dict:
    return {"question": question, "solution": solution, "answer": answer}
