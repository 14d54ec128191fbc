"""Every script of examples/ runs, and prints what its last lines say."""

import re
import runpy

import pytest

from tests.shared.environments import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_what_it_says(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [example.name, str(REPOSITORY / "results/sprint/tiny/train.parquet")])
    runpy.run_path(str(example))
    said = re.findall(r"^# (.+)", example.read_text(encoding="utf-8"), re.MULTILINE)
    assert said and capsys.readouterr().out.splitlines() == said
