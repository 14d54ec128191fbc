r"""Symbolic equality of two MATH answers by math-verify: two texts in, same or not out. Runs inside an answer worker only.

math-verify's own alarms are off (they work in a main thread only and bound no memory): the worker is killed from outside.
Each answer is parsed as `$answer$`. Equality as math-verify finds it is then narrowed where it is known to be too wide:
an equation stands for its right-hand side only with a name alone on its left (`x = 5`, not `x^2 = 5` or `2+2 = 5`), every
side of a chain must equal the gold answer, and numbers are equal exactly or as a decimal rounded to six places or more.
Source: https://github.com/huggingface/Math-Verify (parse, verify), version 0.9.
"""

from fractions import Fraction
from functools import lru_cache

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Eq, Expr, Float, MatrixBase, Mul, Rational, Symbol, Tuple, Wild, preorder_traversal
from sympy import FiniteSet as SympyFiniteSet
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import And

from sprint_lmeval.plain_answers import clean, same_without_algebra, within_tolerance

_LATEX = [LatexExtractionConfig()]
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
    found = parse(f"${text}$", _LATEX, fallback_mode="no_fallback", parsing_timeout=None, raise_on_error=True)
    return found[0] if found else None


def _verified(gold, answer) -> bool:
    return verify(
        gold, answer, numeric_precision=_DIGITS, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True
    )


def _equations_allowed(gold, answer) -> bool:
    """Where the gold answer has no equation, the answer's equations may only give a value to a name."""
    if _equations(gold):
        return True
    if isinstance(answer, And) and all(isinstance(part, Eq) for part in answer.args):
        return False if not _names_first(answer) else all(_verified(gold, part.rhs) for part in answer._unsorted_args)
    return all(_is_name(equation.lhs) for equation in _equations(answer))


def _names_first(chain: And) -> bool:
    return _is_name(chain._unsorted_args[0].lhs)


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
    return isinstance(expression, Expr) and not expression.free_symbols and expression.is_number and not expression.has(Wild)


def _same_number(gold: Expr, answer: Expr) -> bool:
    """Exact for rational numbers; for roots, pi and the like equal to 60 digits; a rounded decimal within the tolerance."""
    exact, given = _rational(gold), _rational(answer)
    if exact is not None and given is not None:
        return exact == given or (gold.has(Float) or answer.has(Float)) and within_tolerance(exact, given)
    if gold.has(Float) or answer.has(Float):
        return _close(gold, answer)
    return bool(_verified(gold, answer))


def _rational(number: Expr) -> Fraction | None:
    if isinstance(number, Float):
        return Fraction(str(number))
    value = number if isinstance(number, Rational) else number.doit()
    if isinstance(value, Float):
        return Fraction(str(value))
    return Fraction(int(value.p), int(value.q)) if isinstance(value, Rational) else None


def _close(gold: Expr, answer: Expr) -> bool:
    left, right = gold.evalf(30), answer.evalf(30)
    if not (left.is_Float and right.is_Float):
        return bool(_verified(gold, answer))
    return within_tolerance(Fraction(str(left)), Fraction(str(right)))


def _same_members(gold, answer) -> bool:
    """Numbers inside tuples, lists and matrices are compared as strictly as numbers alone."""
    pairs = _paired(gold, answer)
    return all(_same_number(*pair) for pair in pairs if all(_is_number(member) for member in pair))


def _paired(gold, answer) -> list[tuple]:
    if isinstance(gold, MatrixBase) and isinstance(answer, MatrixBase) and gold.shape == answer.shape:
        return list(zip(gold.flat(), answer.flat(), strict=True))
    if isinstance(gold, Tuple) and isinstance(answer, Tuple) and len(gold) == len(answer):
        return list(zip(gold.args, answer.args, strict=True))
    if isinstance(gold, SympyFiniteSet) and isinstance(answer, SympyFiniteSet) and len(gold) == len(answer):
        if all(_is_number(member) and member.is_real for member in (*gold.args, *answer.args)):
            return list(zip(*(sorted(found.args, key=lambda member: member.evalf()) for found in (gold, answer)), strict=True))
    return []
