"""The data flow shows in the imports: each package imports only the packages that its line of the table names."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.shared.environments import REPOSITORY

PACKAGE = REPOSITORY / "sprint_lmeval"
EVERYWHERE = {"errors", "candidates", "names", "files"}
ALLOWED = {  # package -> the packages that it may import, from the ground up
    "errors": "",
    "candidates": "",
    "names": "",
    "files": "",
    "answers": "",
    "pruning": "",
    "tiny": "",
    "passn": "answers tiny",
    "autoload": "passn",
    "checkpoints": "pruning tiny",
    "generation": "pruning",
    "runs": "answers passn",
    "outcomes": "answers passn runs",
    "store": "answers checkpoints generation",
    "adapters": "checkpoints pruning",
    "selection": "outcomes runs",
    "strategies": "selection outcomes pruning",
    "models": "strategies store generation checkpoints pruning answers adapters",
    "report": "outcomes runs",
    "gate": "runs answers passn",
    "scoring": "runs answers checkpoints selection generation",
    "harness": "models strategies selection outcomes runs passn checkpoints autoload",
    "commands": "harness scoring gate report models strategies selection adapters outcomes runs checkpoints pruning",
    "cli": "commands",
    "__main__": "cli",
}
INSIDE = {  # nested package -> modules of the package around it that it may not import
    "generation.fast": "decode fallback",
    "selection.methods": "selector folder card encoder training training_matrix",
    "models.engines": "hf hf_lazy",
    "report.page": "write readme",
}
WITHOUT_TORCH = """
    answers.extraction answers.numerals answers.plain answers.verdicts autoload candidates cli errors files names
    selection.encoder strategies.head_lists strategies.strategy tiny tiny.families tiny.problems
""".split()
HEAVY = {"torch", "transformers", "lm_eval", "datasets", "accelerate", "numpy", "scipy", "sympy", "math_verify"}
MOST_FILES, MOST_AT_THE_ROOT = 15, 8


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "sprint_lmeval"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Return the full names of modules that a file imports, inside functions too unless `top_level_only`."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported_modules(path: Path, top_level_only: bool = False) -> set[str]:
    """Return which of our modules a file imports, without `sprint_lmeval.` before their names."""
    ours = {name.removeprefix("sprint_lmeval.") for name in imports(path, top_level_only)}
    return ours & (set(MODULES) - {"sprint_lmeval"})


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, [] where there is none."""
    left = dict(graph)
    while left:
        free = [name for name, needed in left.items() if not needed & (left.keys() - {name})]
        if not free:
            return sorted(left)
        for name in free:
            del left[name]
    return []


@pytest.mark.parametrize("module", [name for name in MODULES if name != "sprint_lmeval"])
def test_a_package_imports_what_its_line_allows(module):
    package = module.partition(".")[0]
    allowed = {package, *EVERYWHERE, *ALLOWED[package].split()}
    found = {name for name in imported_modules(MODULES[module]) if name.partition(".")[0] not in allowed}
    assert not found, f"{module} imports {', '.join(sorted(found))}, which the table does not allow"


def test_the_table_runs_one_way():
    """A package imports only packages that stand above it in the table."""
    for number, (package, allowed) in enumerate(ALLOWED.items()):
        assert set(allowed.split()) <= set(list(ALLOWED)[:number]), f"{package} stands too high"


def test_no_module_imports_itself_through_others():
    graph = {name: imported_modules(path, top_level_only=True) for name, path in MODULES.items()}
    assert circle(graph) == []


@pytest.mark.parametrize("folder", INSIDE)
def test_an_inner_package_knows_nothing_of_what_calls_it(folder):
    outer = folder.partition(".")[0]
    forbidden = {f"{outer}.{name}" for name in INSIDE[folder].split()}
    assert forbidden <= set(MODULES), f"{forbidden - set(MODULES)} of this test's table are no modules"
    for name, path in MODULES.items():
        if name.startswith(folder):
            assert not imported_modules(path) & forbidden, name


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_light_modules_import_nothing_heavy(module):
    heavy = {name.partition(".")[0] for name in imports(MODULES[module], top_level_only=True)} & HEAVY
    assert not heavy, f"{module} imports {', '.join(sorted(heavy))}"


def test_a_class_name_stands_for_one_class():
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in MODULES.values())
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_folders_are_small_enough_to_be_read():
    folders = {path.parent for path in MODULES.values()}
    full = {folder.name: len(list(folder.glob("*.py"))) for folder in folders}
    assert {name: count for name, count in full.items() if count > MOST_FILES} == {}
    assert full["sprint_lmeval"] <= MOST_AT_THE_ROOT


def test_the_checks_see_imports_of_every_kind(tmp_path):
    source = tmp_path / "module.py"
    source.write_text(
        "import sprint_lmeval.models.hf\ndef f():\n    from sprint_lmeval import cli\n    import torch.nn\n"
    )
    assert imported_modules(source) == {"models.hf", "cli"}
    assert imported_modules(source, top_level_only=True) == {"models.hf"}
    assert "torch.nn" in imports(source) and "torch.nn" not in imports(source, top_level_only=True)
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_no_python_in_the_folders_named_like_standard_modules():
    """`selectors` is a standard module: a Python file in the folder of that name would break asyncio for everyone."""
    found = [path for folder in ("selectors", "tasks") for path in (REPOSITORY / folder).rglob("*.py")]
    assert found == []
