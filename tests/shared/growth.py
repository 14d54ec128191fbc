"""Whether a function takes time in proportion to its text: by a ratio, which holds on slow and busy machines too."""

import time
from collections.abc import Callable

NOISE_S = 0.05  # what a machine may add or take


def assert_linear(function: Callable[[str], object], text: str) -> None:
    """Fail where four times the text takes more than eight times as long, three times in turn; quadratic is 16."""
    ratios = []
    while len(ratios) < 3 and min(ratios, default=9) > 8:
        quarter, whole = _seconds(function, text[: len(text) // 4]), _seconds(function, text)
        ratios.append((whole + NOISE_S) / (quarter + NOISE_S))
    assert min(ratios) <= 8, ratios


def _seconds(function: Callable[[str], object], text: str) -> float:
    before = time.process_time()
    function(text)
    return time.process_time() - before
