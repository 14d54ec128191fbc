r"""Symbolic equality of two MATH answers by math-verify: two texts in, same or not out. Runs in an answer worker only.

math-verify's own alarms are off (they work in a main thread only and bound no memory): the worker is killed from
outside. A whole answer is read by math-verify's own reader of LaTeX, without its search for an answer in a text, and
without its second try with the last side of an equation alone. Equality as math-verify finds it is then narrowed where
it is known to be too wide: an equation stands for its right-hand side only with a name alone on its left (`x = 5`, not
`x^2 = 5` or `2+2 = 5`), every side of a chain must equal the gold answer, and numbers are equal exactly or as a decimal
rounded to six places or more. Source: https://github.com/huggingface/Math-Verify (verify), version 0.9.
"""

import logging
from fractions import Fraction
from functools import lru_cache
from zlib import crc32

from latex2sympy2_extended.latex2sympy2 import latex2sympy, normalize_latex
from math_verify import LatexExtractionConfig, verify
from math_verify.grader import should_treat_as_complex
from sympy import Eq, Expr, Float, Interval, MatMul, MatrixBase, Mul, Rational, Symbol, Tuple, preorder_traversal
from sympy import FiniteSet as SympyFiniteSet
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import And

from sprint_lmeval.answers.plain import clean, same_without_algebra, within_tolerance

logging.disable(logging.CRITICAL)
_NORMALIZATION = LatexExtractionConfig().normalization_config
_DIGITS = 60  # precision of numeric comparison, where no exact one is possible


def same_answer(gold: str, answer: str) -> bool:
    """Whether the answer equals the gold one. The order matters: `x = 5` may be given as 5, and 5 as `x = 5`."""
    plain = same_without_algebra(gold, answer)
    if plain is not None:
        return plain
    left, right = read(clean(gold).text), read(clean(answer).text)
    if left is None or right is None:
        return False
    if not _equations_allowed(left, right):
        return False
    left, right = _values(left, right)
    if _certainly_other(left, right):
        return False
    if _is_number(left) and _is_number(right):
        return _same_number(left, right)
    return _verified(left, right) and _same_members(left, right)


def gold_problem(gold: str) -> str | None:
    """What is wrong with a gold answer ("cannot be read", "does not equal itself"), None where it is good."""
    expression = read(clean(gold).text)
    if expression is None:
        return "cannot be read as mathematics"
    return None if _verified(expression, expression) else "does not equal itself"


@lru_cache(maxsize=256)
def read(text: str):
    """The sympy expression of a cleaned answer, None where it is not readable."""
    if not text:
        return None
    latex = normalize_latex(text, _NORMALIZATION)
    try:
        found = latex2sympy(latex, is_real=not should_treat_as_complex(latex), normalization_config=None)
    except Exception:  # a third-party reader of untrusted text: what it cannot read is incorrect, and stays counted
        return None
    return _multiplied(found) if isinstance(found, MatMul) else found


def _multiplied(product: MatMul):
    """`2M` as one matrix, of the class that matrices are read as (equality looks at it)."""
    matrix = product.doit()
    return matrix.as_mutable() if isinstance(matrix, MatrixBase) else matrix


def _verified(gold, answer) -> bool:
    return verify(
        gold, answer, numeric_precision=_DIGITS, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True
    )


def _equations_allowed(gold, answer) -> bool:
    """Where the gold answer has no equation, the answer's equations may only give a value to a name."""
    if _equations(gold):
        return True
    if isinstance(answer, And) and all(isinstance(part, Eq) for part in answer.args):
        sides = answer._unsorted_args
        return _is_name(sides[0].lhs) and all(_verified(gold, part.rhs) for part in sides)
    return all(_is_name(equation.lhs) for equation in _equations(answer))


def _values(gold, answer) -> tuple:
    """`x = 5` and 5, in either order, as 5 and 5; two equations as they are."""
    if isinstance(answer, Eq) and not _equations(gold):
        return gold, answer.rhs
    if isinstance(gold, Eq) and _is_name(gold.lhs) and not _equations(answer):
        return gold.rhs, answer
    return gold, answer


def _equations(expression) -> list[Eq]:
    if not hasattr(expression, "args"):
        return []
    return [part for part in preorder_traversal(expression) if isinstance(part, Eq)]


def _is_name(expression) -> bool:
    """`x`, `x_1`, `f(3)`, `AB` (read as a product of letters)."""
    if isinstance(expression, Mul):
        return all(isinstance(factor, Symbol) for factor in expression.args)
    return isinstance(expression, (Symbol, AppliedUndef))


def _is_number(expression) -> bool:
    return isinstance(expression, Expr) and not expression.free_symbols and bool(expression.is_number)


def _certainly_other(gold, answer) -> bool:
    """A cheap and safe no: different values at one point, or a number and something of several parts."""
    if isinstance(gold, Expr) and isinstance(answer, Expr):
        return _values_differ(gold, answer)
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Expr) and isinstance(other, (Interval, Tuple, MatrixBase)):
            return True
        if isinstance(one, Expr) and isinstance(other, SympyFiniteSet) and len(other) != 1:
            return True
    return any(isinstance(part, Expr) and _values_differ(part, other) for part, other in _paired(gold, answer))


def _values_differ(gold: Expr, answer: Expr) -> bool:
    if isinstance(gold, Symbol) or isinstance(answer, Symbol):
        return False
    left, right = _value_at_a_point(gold), _value_at_a_point(answer)
    return None not in (left, right) and abs(left - right) > max(2e-6, 1e-9 * abs(left))


@lru_cache(maxsize=512)
def _value_at_a_point(expression: Expr) -> complex | None:
    """The value with every symbol set to its own number between 1 and 2; None where it has none."""
    point = {symbol: Rational(crc32(symbol.name.encode()) % 9973, 9973) + 1 for symbol in expression.free_symbols}
    try:
        value = complex(expression.subs(point).evalf(20))
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return None
    return value if abs(value) < 1e100 else None  # also where it is not a number


def _same_number(gold: Expr, answer: Expr) -> bool:
    """Exactly for rational numbers; as a decimal within the tolerance; roots, pi and the like to 60 digits."""
    exact, given = _rational(gold), _rational(answer)
    has_decimal = gold.has(Float) or answer.has(Float)
    if exact is not None and given is not None:
        return exact == given or (has_decimal and within_tolerance(exact, given))
    return _close(gold, answer) if has_decimal else _verified(gold, answer)


def _rational(number: Expr) -> Fraction | None:
    value = number if isinstance(number, (Float, Rational)) else number.doit()
    if isinstance(value, Float):
        return Fraction(str(value))
    return Fraction(int(value.p), int(value.q)) if isinstance(value, Rational) else None


def _close(gold: Expr, answer: Expr) -> bool:
    left, right = gold.evalf(30), answer.evalf(30)
    if not (left.is_Float and right.is_Float):
        return _verified(gold, answer)
    return within_tolerance(Fraction(str(left)), Fraction(str(right)))


def _same_members(gold, answer) -> bool:
    """Numbers inside tuples, lists and matrices are compared as strictly as numbers alone."""
    pairs = [pair for pair in _paired(gold, answer) if all(_is_number(part) for part in pair)]
    return all(_same_number(*pair) for pair in pairs)


def _paired(gold, answer) -> list[tuple]:
    """The parts of two ordered things of one size side by side; of two sets of real numbers in their own order."""
    if isinstance(gold, SympyFiniteSet) and isinstance(answer, SympyFiniteSet):
        return _paired_sets(gold.args, answer.args)
    left, right = _ordered_parts(gold), _ordered_parts(answer)
    return list(zip(left, right, strict=True)) if left and len(left) == len(right) else []


def _ordered_parts(expression) -> list:
    if isinstance(expression, MatrixBase):
        return list(expression.flat())
    if isinstance(expression, Tuple):
        return list(expression.args)
    return [expression.start, expression.end] if isinstance(expression, Interval) else []


def _paired_sets(gold: tuple, answer: tuple) -> list[tuple]:
    if len(gold) != len(answer) or not all(_is_number(member) and member.is_real for member in (*gold, *answer)):
        return []
    return list(zip(*(sorted(members, key=lambda member: member.evalf()) for members in (gold, answer)), strict=True))
