"""Lines for a terminal: p-values that are never shown as nothing."""

import pytest

from sprint_lmeval.runs.safe_text import p_text


@pytest.mark.parametrize(("p", "text"), [(1, "1.0000"), (0.05, "0.0500"), (0.00005, "0.0001"), (1e-9, "<0.0001")])
def test_a_p_value_is_never_zero(p, text):
    assert p_text(p) == text
