"""Python environments for tests of what is installed: in: a folder, out: commands that run in separate processes there.

The harness in them is the installed lm_eval, file by file, with a few of its task folders instead of all: reading
15,000 YAML files takes seconds of every process, and no test here is about them.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import lm_eval

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT_TASKS = ("arc", "hellaswag")
OURS = ("math500_passn", "gsm8k_passn", "tiny_passn", "math_train_passn", "gsm8k_train_passn", "tiny_train_passn")


@dataclass
class Environment:
    """One Python: its folder of programs, and variables that every process in it gets."""

    programs: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, command: list, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
        """Run `command`, its first word looked up among the programs, and return its text output; never raises."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPRINT_"))}
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [self.programs / command[0], *command[1:]],
            cwd=cwd,
            env={**clean, **offline, **self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )


def small_harness(folder: Path) -> Path:
    """Copy the installed lm_eval into `folder` with `KEPT_TASKS` only; returns `folder`, to be put on the path."""
    source = Path(lm_eval.__file__).parent

    def left_out(directory: str, names: list[str]) -> list[str]:
        if Path(directory) == source / "tasks":
            return [name for name in names if not name.endswith(".py") and name not in KEPT_TASKS]
        return [name for name in names if name == "__pycache__"]

    shutil.copytree(source, folder / "lm_eval", ignore=left_out)
    return folder


def environment_in_use(folder: Path) -> Environment:
    """Return the environment that runs the tests, with the small harness in front of its own."""
    return Environment(Path(sysconfig.get_path("scripts")), {"PYTHONPATH": str(small_harness(folder))})


def fresh_environment(folder: Path) -> Environment:
    """Make an environment that has every library of this one except our package, whose start-up files are not read."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    libraries = folder / "libraries"
    libraries.mkdir()
    for site_packages in {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}:
        for entry in site_packages.iterdir():
            if entry.suffix not in (".pth", ".start") and "sprint" not in entry.name and entry.name != "lm_eval":
                (libraries / entry.name).symlink_to(entry)
    small_harness(libraries)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "libraries.pth").write_text(f"{libraries}\n")
    program = folder / "bin" / "lm_eval"
    program.write_text(f"#!{folder}/bin/python\nfrom lm_eval.__main__ import cli_evaluate\n\ncli_evaluate()\n")
    program.chmod(0o755)
    return Environment(folder / "bin")


def pip(*arguments: str, into: Path | None = None) -> None:
    """Run pip of this environment, on the Python of the environment `into` where one is given."""
    target = ["--python", str(into / "bin" / "python")] if into else []
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *target, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
