"""docs/methods.md names every method, and every option with its default and its reason."""

import re

import pytest

from sprint_lmeval.selection.methods.registry import METHODS
from tests.shared.environments import REPOSITORY

PAGE = (REPOSITORY / "docs" / "methods.md").read_text(encoding="utf-8")


ROWS = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.M)  # (option, default, reason) of all its tables


def fits(option, name: str, default: str, reason: str) -> bool:
    shown = option.default if isinstance(option.default, tuple) else (option.default,)
    if not reason.startswith(option.reason):
        return False  # another method's option of the same name
    return [option._value(name, part) for part in default.split(":")] == list(shown)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_page_gives_each_option_with_default_and_reason(method):
    assert f"| `{method.name}` |" in PAGE
    for name, option in method.options.items():
        assert any(fits(option, *row) for row in ROWS if row[0] == name), name
