"""An unmodified lm_eval finds our model and tasks, and everything else of it stays as it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sprint_lmeval import autoload
from tests.shared.environments import OURS, REPOSITORY, environment_in_use

# A head that no model has: the sentence about it shows that our model was found, before any weights are loaded.
EVALUATE = ["--model", "hf-pruned-bon", "--model_args", "pretrained=tiny,head_masks=L99H0", "--tasks", "tiny_passn"]
SIMPLE_EVALUATE = """
from lm_eval import simple_evaluate
simple_evaluate(model="hf-pruned-bon", model_args="pretrained=tiny,head_masks=L99H0", tasks=["tiny_passn"])
"""
EVALUATING_WAYS = {
    "lm_eval": ["lm_eval", *EVALUATE],
    "lm_eval run": ["lm_eval", "run", *EVALUATE],
    "python -m lm_eval": ["python", "-m", "lm_eval", *EVALUATE],
    "simple_evaluate": ["python", "-c", SIMPLE_EVALUATE],
}
NAMES = """
import json, sys
from lm_eval.api.registry import get_model, model_registry
from lm_eval.tasks import TaskManager
get_model("dummy")
plain, own = TaskManager(), TaskManager(include_defaults=False)
print(json.dumps({
    "models": {name: str(target) for name, target in model_registry.items()},
    "tasks": {name: str(entry.yaml_path) for name, entry in plain.task_index.items()},
    "without defaults": own.all_tasks,
    "finders": [type(finder).__name__ for finder in sys.meta_path],
}))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return environment_in_use(tmp_path_factory.mktemp("harness"))


@pytest.fixture(scope="module")
def names(environment, tmp_path_factory):
    """What the harness knows in a fresh process, with the hook switched on and off."""
    folder = tmp_path_factory.mktemp("names")

    def ask(switch: str) -> dict:
        done = environment.run(["python", "-c", NAMES], folder, SPRINT_LMEVAL_AUTOLOAD=switch)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return {"on": ask("1"), "off": ask("0")}


@pytest.mark.parametrize("way", EVALUATING_WAYS)
def test_model_and_task_are_found(environment, tmp_path, way):
    done = environment.run(EVALUATING_WAYS[way], tmp_path)
    assert done.returncode != 0
    assert "layer 99 given" in done.stderr, done.stdout + done.stderr


def test_validate_finds_our_tasks(environment, tmp_path):
    done = environment.run(["lm_eval", "validate", "--tasks", ",".join(OURS)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All tasks found and valid" in done.stdout


def test_ls_lists_our_tasks(environment, tmp_path):
    listed = environment.run(["lm_eval", "ls", "tasks"], tmp_path).stdout
    assert [name for name in (*OURS, "arc_easy") if name not in listed] == []


def test_switched_off_nothing_is_added(environment, tmp_path):
    done = environment.run(["lm_eval", "validate", "--tasks", "tiny_passn"], tmp_path, SPRINT_LMEVAL_AUTOLOAD="0")
    assert "Tasks not found: tiny_passn" in done.stdout + done.stderr


def test_built_in_models_stay(names):
    assert len(names["off"]["models"]) > 20
    assert names["on"]["models"] == {**names["off"]["models"], **autoload.MODELS}


def test_built_in_tasks_stay(names):
    on, off = names["on"]["tasks"], names["off"]["tasks"]
    assert len(off) > 3
    assert {name: path for name, path in on.items() if name in off} == off
    added = {name: path for name, path in on.items() if name not in off}
    assert set(OURS) <= set(added)
    assert all(Path(path).is_relative_to(autoload.tasks_folder()) for path in added.values() if path != "None")


def test_include_defaults_false_stays_empty(names):
    assert names["on"]["without defaults"] == []


def test_the_finder_leaves_when_its_work_is_done(names):
    assert "Finder" not in names["on"]["finders"]


def test_include_path_wins(environment, tmp_path):
    (tmp_path / "own.yaml").write_text("task: tiny_passn\ndataset_path: json\noutput_type: generate_until\n")
    code = (
        "import sys; from lm_eval.tasks import TaskManager; "
        "print(TaskManager(include_path=sys.argv[1]).task_index['tiny_passn'].yaml_path)"
    )
    done = environment.run(["python", "-c", code, str(tmp_path)], tmp_path)
    assert done.stdout.strip() == str(tmp_path / "own.yaml"), done.stderr


def test_start_up_loads_nothing_but_this_package(environment, tmp_path):
    code = "import sys; print(sorted(name for name in sys.modules))"
    on = environment.run(["python", "-c", code], tmp_path).stdout
    off = environment.run(["python", "-I", "-S", "-c", code], tmp_path).stdout
    added = {name for name in eval(on) if name.startswith(("sprint", "lm_eval", "importlib.", "torch", "pathlib"))}
    assert added - set(eval(off)) <= {
        "sprint_lmeval",
        "sprint_lmeval.autoload",
        "importlib.machinery",
        "importlib._abc",
    }
    assert "sprint_lmeval.autoload" in added


# Below: the finder alone, on a stand-in for the harness, in processes of its own.

STAND_IN = {
    "lm_eval/__init__.py": "",
    "lm_eval/api/__init__.py": "",
    "lm_eval/api/registry.py": """
class Registry(dict):
    def register(self, alias, target):
        self[alias] = target
model_registry = Registry()
""",
    "lm_eval/models/__init__.py": """
from lm_eval.api.registry import model_registry
assert not model_registry, "the harness loads its own models into an empty registry only"
model_registry.register("hf", target="own")
""",
    "lm_eval/tasks/__init__.py": "",
    "lm_eval/utils.py": """
def make_table(results, column="results", sort_results=False):
    return " ".join(sorted(results[column]["ours"]))
""",
    "lm_eval/tasks/_index.py": """
class TaskIndex:
    @staticmethod
    def build(paths, *, resolve_includes=True):
        return [str(path) for path in paths]
""",
}


def in_stand_in(folder: Path, code: str, **changed: str) -> subprocess.CompletedProcess:
    """Run `code` where `lm_eval` is the stand-in, without start-up files, our package on the path."""
    for name, text in {**STAND_IN, **changed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    start = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(REPOSITORY)!r}]\nfrom sprint_lmeval import autoload\n"
    return subprocess.run([sys.executable, "-I", "-S", "-c", start + code], capture_output=True, text=True)


LOOK = """
import lm_eval.models
from lm_eval.api.registry import model_registry
from lm_eval.tasks._index import TaskIndex
from lm_eval import utils
own = __import__("os").path.dirname(__import__("lm_eval.tasks").tasks.__file__)
assert model_registry == {"hf": "own", **autoload.MODELS}, model_registry
assert TaskIndex.build([own, "theirs"]) == [own, autoload.tasks_folder(), "theirs"]
assert TaskIndex.build(paths=["theirs"], resolve_includes=False) == ["theirs"]
assert TaskIndex.build([own, autoload.tasks_folder()]) == [own, autoload.tasks_folder()]
of_two = dict.fromkeys(("pass@2,first_n", "pass@1,first_n", "all@2,first_n", "maj@2,first_n"), 0.5)
table = utils.make_table({"results": {"ours": of_two}})
assert table.startswith("pass@1,first_n pass@2,first_n maj@2,first_n("), table
assert utils.make_table({"groups": {"ours": {"b": 1, "a": 2}}}, "groups") == "a b"
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("autoload.register()" + LOOK, id="before the harness is imported"),
        pytest.param(
            "import lm_eval.models, lm_eval.tasks._index, lm_eval.utils; autoload.register()" + LOOK, id="after it"
        ),
        pytest.param("import lm_eval.models; autoload.register()" + LOOK, id="in between"),
        pytest.param(
            "autoload.register(); autoload.register()" + LOOK + "autoload.register()" + LOOK, id="several times"
        ),
        pytest.param("autoload.start_up()" + LOOK, id="at start-up"),
        pytest.param("sys.argv = []; autoload.start_up()" + LOOK, id="without a command line"),
        pytest.param("del sys.argv; autoload.start_up()" + LOOK, id="in another program"),
        pytest.param(
            "autoload.register(); from importlib.util import find_spec\n"
            "assert find_spec('lm_eval.models').loader.is_package('lm_eval.models')" + LOOK,
            id="looked up before it is imported",
        ),
    ],
)
def test_register(tmp_path, code):
    done = in_stand_in(tmp_path, code + "\nassert not any(isinstance(f, autoload.Finder) for f in sys.meta_path)")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_alias_that_is_there_is_left_alone(tmp_path):
    models = STAND_IN["lm_eval/models/__init__.py"] + 'model_registry.register("hf-pruned-bon", target="entry point")\n'
    code = "autoload.register(); import lm_eval.models; print(lm_eval.models.model_registry['hf-pruned-bon'])"
    done = in_stand_in(tmp_path, code, **{"lm_eval/models/__init__.py": models})
    assert (done.stdout, done.stderr) == ("entry point\n", "")


@pytest.mark.parametrize("module", ["lm_eval.models", "lm_eval.tasks._index", "lm_eval.utils"])
def test_an_unexpected_harness_costs_one_line(tmp_path, module):
    changed = {f"lm_eval/{name}.py": "" for name in ("api/registry", "models/__init__", "tasks/_index", "utils")}
    done = in_stand_in(tmp_path, f"autoload.register(); import {module}; print('goes on')", **changed)
    assert done.stdout == "goes on\n"
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"sprint-lmeval: could not add itself to {module} (")


def test_an_error_of_the_harness_stays_its_own(tmp_path):
    broken = {"lm_eval/models/__init__.py": "import no_such_module"}
    done = in_stand_in(tmp_path, "autoload.register(); import lm_eval.models", **broken)
    assert "ModuleNotFoundError: No module named 'no_such_module'" in done.stderr
    assert "sprint-lmeval:" not in done.stderr


def test_without_the_harness_nothing_happens(tmp_path):
    start = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\nfrom sprint_lmeval import autoload; autoload.register()"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", start], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_and_children_find_our_model(tmp_path):
    code = (
        """autoload.register()
import os, threading
def load(): import lm_eval.models, lm_eval.tasks._index
threads = [threading.Thread(target=load) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
"""
        + LOOK
        + """
child = os.fork()
if not child:
    os._exit(0 if "hf-pruned-bon" in model_registry else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    )
    done = in_stand_in(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert "sprint-lmeval:" not in done.stderr


def test_the_start_up_line_is_silent_when_the_package_is_gone():
    line = (REPOSITORY / "autoload" / "sprint_lmeval_autoload.pth").read_text()
    assert line.startswith("import ") and line.count("\n") == 1
    done = subprocess.run([sys.executable, "-I", "-S", "-c", line], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_both_start_up_files_call_the_same_function():
    package, _, function = (REPOSITORY / "autoload" / "sprint_lmeval_autoload.start").read_text().strip().partition(":")
    line = (REPOSITORY / "autoload" / "sprint_lmeval_autoload.pth").read_text()
    assert f"from {package} import {function}" in line and f"{function}()" in line
    assert callable(getattr(autoload, function))
