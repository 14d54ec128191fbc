"""What `run` and `sweep` replace in the harness while it runs; every other patch is in this package's docstring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def evaluate_replaced_by(replacement: Callable[[Callable], Callable]) -> Iterator[None]:
    """Within the block, the harness's `evaluate` is what `replacement` makes of it."""
    from lm_eval import evaluator

    real = evaluator.evaluate
    evaluator.evaluate = replacement(real)
    try:
        yield
    finally:
        evaluator.evaluate = real
