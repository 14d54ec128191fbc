"""The docstring of sprint_lmeval.harness names every monkey patch of lm_eval, transformers, vLLM and Python."""

import ast
import re
import sys
from pathlib import Path

import pytest

import sprint_lmeval.harness
from sprint_lmeval.harness.command_line import evaluate_replaced_by, quick_index
from tests.shared.environments import REPOSITORY

PACKAGE = REPOSITORY / "sprint_lmeval"
MODULES = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in sorted(PACKAGE.rglob("*.py"))}


def named(docstring: str) -> dict[str, str]:
    """Return module -> what the docstring says of it; a paragraph begins with the modules that it is about."""
    found = {}
    for paragraph in docstring.split("\n\n")[2:]:
        modules, _, said = paragraph.partition(":\n")
        found |= {name: said for name in re.findall(r"[a-z_.]+", modules) if name in MODULES}
    return found


def replaced(path: Path) -> set[str]:
    """Return the attributes that a file assigns on imported modules, and those that it makes a function of its own."""
    tree = ast.parse(path.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            others = not (getattr(node, "module", None) or "").startswith("sprint_lmeval")
            imported |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names if others}
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    found = set()
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Attribute):
                of_a_module = ast.unparse(target).partition(".")[0] in imported
                to_a_function = isinstance(node.value, ast.Lambda) or ast.unparse(node.value) in functions
                if (of_a_module or to_a_function) and not ast.unparse(target).startswith("self."):
                    found.add(target.attr)
    return found - {"load_weights", "text_factory"}  # a method of our own model; what sqlite3 lets a connection set


NAMED = named(sprint_lmeval.harness.__doc__)


@pytest.mark.parametrize("module", MODULES)
def test_every_replacement_is_named_with_its_end(module):
    for attribute in replaced(MODULES[module]):
        assert re.search(rf"\b{attribute}\b", NAMED.get(module, "")), f"{module} replaces {attribute}: say why"


def test_the_list_names_modules_that_are_there_each_with_its_end():
    assert len(NAMED) >= 8
    assert [name for name, said in NAMED.items() if not re.search(r"Ends\s+(for models )?w", said)] == []


def test_the_check_sees_replacements_of_every_kind(tmp_path):
    source = tmp_path / "module.py"
    source.write_text(
        "import importlib.metadata\nfrom lm_eval import evaluator\nfrom sprint_lmeval import names\n"
        "def f(model):\n    evaluator.evaluate = 1\n    importlib.metadata.version = 2\n    names.x = 3\n"
        "    model.to = lambda: 4\n    model.forward = f\n    model.name = 5\n"
    )
    assert replaced(source) == {"evaluate", "version", "to", "forward"}


def test_evaluate_is_put_back_whatever_happens():
    from lm_eval import evaluator

    real = evaluator.evaluate
    with pytest.raises(ZeroDivisionError), evaluate_replaced_by(lambda given: (given, "ours")):
        assert evaluator.evaluate == (real, "ours")
        raise ZeroDivisionError
    assert evaluator.evaluate is real and sys.modules["lm_eval.evaluator"] is evaluator


@pytest.mark.parametrize(
    ("tasks", "quick"),
    [
        (["tiny_passn", "gsm8k_passn"], True),
        (["tiny_passn", "gsm8k"], False),
        (["tiny_*"], False),
        ([{}], False),
        (None, False),
    ],
)
def test_the_harness_tasks_are_read_where_one_of_them_may_be_meant(tasks, quick):
    import lm_eval.tasks

    real = lm_eval.tasks.TaskManager
    with quick_index(tasks):
        assert (lm_eval.tasks.TaskManager is not real) == quick
        if quick:
            found = lm_eval.tasks.TaskManager(include_path=None, metadata={}).all_tasks
            assert set(tasks) <= set(found) and "gsm8k" not in found
    assert lm_eval.tasks.TaskManager is real
