"""The pages for people: CONTRIBUTING.md names every package, and every path and link in them is there."""

import re
import shutil
import subprocess
import sys
import tomllib
from email.message import Message

import pytest

from sprint_lmeval.cli import build_parser
from sprint_lmeval.names import documentation
from tests.shared.environments import REPOSITORY

PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", *(f"docs/{p.name}" for p in (REPOSITORY / "docs").glob("*.md")))
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
TABLE = CONTRIBUTING.partition("## Where things are")[2].partition("\n## ")[0]


def packages() -> list[str]:
    return sorted({path.parent.name for path in (REPOSITORY / "sprint_lmeval").rglob("*.py")} - {"sprint_lmeval"})


@pytest.mark.parametrize("package", packages())
def test_every_package_is_in_the_table(package):
    assert f"{package}/`" in TABLE


def test_the_table_is_in_the_order_of_the_imports():
    from tests.test_structure import ALLOWED

    order = re.findall(r"`sprint_lmeval/(\w+)/`", TABLE)
    assert order == [name for name in ALLOWED if name in order] and len(order) > 15


def test_every_path_it_names_is_there():
    written = re.findall(
        r"`((?:sprint_lmeval|tests|tests_vllm|tests_faults|autoload|tasks|docs|selectors|benchmarks)/[\w./]*)`",
        CONTRIBUTING,
    )
    assert len(written) > 40
    assert [path for path in written if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:|#|\.\./\.\./actions)([^)\s]+)\)", text)}
    assert [link for link in links if not ((REPOSITORY / page).parent / link).exists()] == []


def test_the_names_in_how_to_add_are_in_the_code():
    """A function or table that a reader is sent to has that name still."""
    code = "\n".join(path.read_text() for path in (REPOSITORY / "sprint_lmeval").rglob("*.py"))
    how = CONTRIBUTING.partition("## How to add")[2]
    names = set(re.findall(r"`(?:[A-Z]\w+\.)?([A-Za-z_]+)(?:\([^`]*\))?`", how)) - {
        "train",
        "sweep",
        "sprint_lmeval_grader",
    }
    assert {"attempts", "rates", "clean", "CHOOSERS"} < names
    assert [name for name in names if not re.search(rf"\b(def|class) {name}\b|^{name}\b.*=", code, re.M)] == []


def test_the_list_of_licences_knows_what_this_package_needs():
    done = subprocess.run([sys.executable, REPOSITORY / ".ci" / "licences.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    licences = dict(re.findall(r"^(\S+)\s+\S+\s+(.+)$", done.stdout, re.M))
    assert (licences["sprint-lmeval"], licences["transformers"].startswith("Apache")) == ("MIT", True)
    assert "sympy" in licences and "unknown" not in licences["torch"]


def test_a_release_says_where_the_project_lives(tmp_path):
    """Links of the README lead to the repository, also those of pictures inside links; help texts to the site."""
    (tmp_path / ".ci").mkdir()
    for name in (".ci/urls.py", "README.md", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    command = [sys.executable, tmp_path / ".ci/urls.py", "https://github.com/owner/name", "v1"]
    subprocess.run(command, check=True)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((?!https?:|#)[^)\s]+\)", text) == []
    assert "](https://github.com/owner/name/raw/v1/docs/report.png)" in text
    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["urls"]
    assert urls["Documentation"] == "https://owner.github.io/name/" and "Paper" in urls


def test_help_texts_name_the_site_that_the_installed_package_names(monkeypatch):
    given = Message()
    assert documentation("gate") == "docs/gate.md of the repository"
    given["Project-URL"] = "Documentation, https://owner.github.io/name/"
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: given)
    assert documentation("gate") == "https://owner.github.io/name/gate"
    commands = build_parser()._subparsers._group_actions[0].choices.values()
    assert [command.prog for command in commands if "docs/" in command.format_help()] == []
