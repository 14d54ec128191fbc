"""Every method by its name."""

from __future__ import annotations

from sprint_lmeval.errors import InputError
from sprint_lmeval.selection.methods.baselines import Cover, Nearest, Top
from sprint_lmeval.selection.methods.branch import BranchPriority
from sprint_lmeval.selection.methods.coverage import Coverage
from sprint_lmeval.selection.methods.logistic import Logistic
from sprint_lmeval.selection.methods.method import Method
from sprint_lmeval.selection.methods.route import Route
from sprint_lmeval.selection.methods.sprint import Balanced, Sprint

METHODS: dict[str, Method] = {
    method.name: method
    for method in (Sprint(), Top(), Cover(), Nearest(), Logistic(), Coverage(), Route(), Balanced(), BranchPriority())
}


def method_named(name: object) -> Method:
    """Return a method by name. InputError for an unknown one."""
    if not isinstance(name, str) or name not in METHODS:
        raise InputError(f"method {str(name)[:40]!r} given, allowed are {', '.join(METHODS)}")
    return METHODS[name]
