"""`make paper`, whole and small on the embedded model: every step, the page of the claims, and that it resumes."""

import csv
import importlib
import re
import subprocess
import sys

import pytest

from sprint_lmeval.errors import InputError
from tests.shared.environments import REPOSITORY

PAPER = REPOSITORY / "results" / "paper"
SMALL = "--model=tiny --task=tiny_passn --questions=24 --test=8 --layers=1,3 --options=--batch_size=128".split()
STRATEGIES = {
    "base",
    "sprint",
    "coverage",
    "cover",
    "top",
    "random",
    "branch",
    "arithmetic T 0.6",
    "greedy, then T 0.6",
}
STRATEGIES |= {f"sample T {t}" for t in (0.1, 0.6, 0.9)}


def paper(*options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PAPER / "paper.py"), *SMALL, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800)


def test_the_whole_experiment(tmp_path):
    folder = tmp_path / "small"
    done = paper(f"--out={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(
        r"^# 544 answers in the sweeps \(17 candidates\), 648 more .* MB of disk .* of generation", done.stdout
    )
    assert {run.name for run in (folder / "runs").iterdir()} == STRATEGIES
    with (folder / "report" / "leaderboard.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == len(STRATEGIES)
    page = (folder / "README.md").read_text()
    assert page.count("\n## ") == 4 and "split half" in page
    assert re.search(r"^\| sprint − cover \|", page, re.M) and re.search(
        r"^\| coverage − branch \| .*\[\d+\]", page, re.M
    )
    again = paper(f"--out={folder}")
    assert again.returncode == 0 and "$ sprint-lmeval" not in again.stdout, again.stderr[-3000:]
    assert (folder / "README.md").read_text() == page


def test_what_cannot_be_done_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PAPER))
    main = importlib.import_module("paper").main
    (tmp_path / "settings.json").write_text('{"questions": 41}')
    for option, said in (
        ("--task=aime24_passn", "no training form"),
        ("--layers=1", "at least 16"),
        ("--draw=uniform", f"{tmp_path} holds an experiment with .*questions 41"),
    ):
        with pytest.raises(InputError, match=said):
            main([*SMALL, f"--out={tmp_path}", option])
