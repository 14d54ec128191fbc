"""docs/methods.md names every method, and every option with its default and its reason."""

import re

import pytest

from sprint_lmeval.selection.methods.registry import METHODS
from tests.shared.environments import REPOSITORY

PAGE = (REPOSITORY / "docs" / "methods.md").read_text(encoding="utf-8")


def rows() -> dict[str, tuple[str, str]]:
    """Return option -> (default, reason) of the page's tables."""
    return {
        name: (default, reason)
        for name, default, reason in re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.M)
    }


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_page_gives_each_option_with_default_and_reason(method):
    assert f"| `{method.name}` |" in PAGE
    for name, option in method.options.items():
        default, reason = rows()[name]
        shown = option.default if isinstance(option.default, tuple) else (option.default,)
        assert [option._value(name, part) for part in default.split(":")] == list(shown), name
        assert reason.startswith(option.reason), name
