"""The names that others rely on come from `sprint_lmeval` itself, and cost nothing until they are asked for."""

import inspect
import subprocess
import sys

import pytest

import sprint_lmeval

NAMES = [name for name in sprint_lmeval.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_says_what_it_is(name):
    value = getattr(sprint_lmeval, name)
    assert value is getattr(sprint_lmeval, name)
    assert len(inspect.getdoc(value)) > 60


def test_importing_the_package_loads_none_of_them():
    code = "import sys, sprint_lmeval; print([m for m in sys.modules if m.startswith('sprint_lmeval.')])"
    environment = {"SPRINT_LMEVAL_AUTOLOAD": "0"}
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert set(eval(shown)) <= {"sprint_lmeval.autoload"}


def test_they_are_listed_and_others_are_refused():
    assert set(NAMES) <= set(dir(sprint_lmeval))
    with pytest.raises(AttributeError, match="has no attribute 'prune_head'"):
        _ = sprint_lmeval.prune_head


def test_the_stub_lists_the_same_names():
    stub = inspect.getsourcefile(sprint_lmeval) + "i"
    with open(stub, encoding="utf-8") as lines:
        typed = {line.rpartition(" as ")[2].strip() for line in lines if " as " in line}
    assert typed == set(NAMES)
