"""The wheel: what is in it, that it runs elsewhere in all six ways, and that uninstalling leaves nothing."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sprint_lmeval import __version__
from tests.shared.environments import OURS, REPOSITORY, fresh_environment, pip

EVALUATE = ["--model", "hf-pruned-bon", "--model_args", "pretrained=tiny", "--tasks", "tiny_passn", "--limit", "2"]
QUICK = ["--batch_size", "32", "--gen_kwargs", "max_gen_toks=16"]
SIMPLE_EVALUATE = """
from lm_eval import simple_evaluate
results = simple_evaluate(model="hf-pruned-bon", model_args="pretrained=tiny", tasks=["tiny_passn"], limit=2,
                          batch_size=32, gen_kwargs="max_gen_toks=16")
print(sorted(results["results"]["tiny_passn"]))
"""
WAYS = {
    "lm_eval": (["lm_eval", *EVALUATE, *QUICK], "pass@16"),
    "lm_eval run": (["lm_eval", "run", *EVALUATE, *QUICK], "pass@16"),
    "python -m lm_eval": (["python", "-m", "lm_eval", *EVALUATE, *QUICK], "pass@16"),
    "simple_evaluate": (["python", "-c", SIMPLE_EVALUATE], "pass@16"),
    "lm_eval validate": (["lm_eval", "validate", "--tasks", ",".join(OURS)], "All tasks found and valid"),
    "lm_eval ls": (["lm_eval", "ls", "tasks"], "tiny_passn"),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel that `pip wheel .` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    return next(folder.glob("*.whl"))


def contents(archive: Path) -> dict[str, str]:
    """Return file names and checksums, the list of checksums itself left out."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if not name.endswith("/RECORD")]
        return {name: hashlib.sha256(opened.read(name)).hexdigest() for name in names}


def test_contents(wheel):
    names = set(contents(wheel))
    modules = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "sprint_lmeval").rglob("*.py")}
    tasks = {f"sprint_lmeval/{path.relative_to(REPOSITORY)}" for path in (REPOSITORY / "tasks").rglob("*.yaml")}
    model = {f"sprint_lmeval/tiny/model/{name}" for name in ("config.json", "model.safetensors", "tokenizer.json")}
    hook = {"sprint_lmeval_autoload.pth", "sprint_lmeval_autoload.start"}
    assert len(tasks) >= len(OURS)
    assert modules | tasks | model | hook <= names
    outside = {name.partition("/")[0] for name in names} - hook
    assert outside == {"sprint_lmeval", f"sprint_lmeval-{__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_it_is_small(wheel):
    assert wheel.stat().st_size < 15e6


def test_entry_points_name_our_class(wheel):
    with zipfile.ZipFile(wheel) as opened:
        entry_points = opened.read(f"sprint_lmeval-{__version__}.dist-info/entry_points.txt").decode()
    assert "[lm_eval.models]\nhf-pruned-bon = sprint_lmeval.models.hf:HFPrunedBestOfN" in entry_points
    assert "sprint-lmeval = sprint_lmeval.cli:main" in entry_points


def test_the_source_archive_builds_the_same_wheel(wheel, tmp_path):
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, REPOSITORY]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(next(tmp_path.glob("*.whl"))) == contents(wheel)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A fresh environment with the wheel; the last test uninstalls it."""
    folder = tmp_path_factory.mktemp("environment")
    environment = fresh_environment(folder)
    pip("install", "--no-deps", "--no-index", str(wheel), into=folder)
    return environment


@pytest.mark.parametrize("way", WAYS)
def test_six_ways(installed, tmp_path, way):
    command, expected = WAYS[way]
    done = installed.run(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert expected in done.stdout


def test_installed_command(installed, tmp_path):
    done = installed.run(["sprint-lmeval", "--version"], tmp_path)
    assert done.stdout == f"sprint-lmeval {__version__}\n", done.stderr


def test_in_a_target_folder_the_command_of_our_own_works(wheel, installed, tmp_path):
    """`pip install --target`: no start-up files are read from there, and its programs are not on the path."""
    pip("install", "--no-deps", "--no-index", "--target", str(tmp_path / "target"), str(wheel))
    masks = ["--model_args", "pretrained=tiny,head_masks=L99H0", "--tasks", "tiny_passn"]
    command = ["python", "-m", "sprint_lmeval", "run", "--model", "hf-pruned-bon", *masks]
    variables = {"PYTHONPATH": str(tmp_path / "target"), "SPRINT_LMEVAL_AUTOLOAD": "0"}
    done = installed.run(command, tmp_path, **variables)
    assert done.returncode != 0
    assert "layer 99 given" in done.stderr, done.stdout + done.stderr


def test_uninstalling_leaves_nothing(installed, tmp_path):
    folder = installed.programs.parent
    pip("uninstall", "--yes", "sprint-lmeval", into=folder)
    assert [path for path in folder.rglob("*") if "sprint" in path.name] == []
    done = installed.run(["lm_eval", "ls", "tasks"], tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "arc_easy" in done.stdout and "passn" not in done.stdout
