"""`heads --rank`: a list of candidates that head_masks= and sweep read, and mistakes before anything is loaded."""

import pytest

from sprint_lmeval import cli
from sprint_lmeval.candidates import BASE, parse_candidates
from sprint_lmeval.errors import InputError
from sprint_lmeval.harness.sweep import Plan, swept_candidates


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


WAYS = {"retrieval": [], "attribution": ["--task", "tiny_train_passn", "--questions", "3"]}


@pytest.mark.parametrize("way", WAYS)
def test_the_list_is_read_by_a_sweep(way, tmp_path, capsys):
    file = tmp_path / "heads.txt"
    assert cli.main(["heads", "tiny", "--rank", way, *WAYS[way], "--top", "5", "-o", str(file)]) == 0
    assert f"{file}: 5 of 32 heads, " in capsys.readouterr().out
    listed = parse_candidates(file)
    scores = [float(line.partition("#")[2]) for line in file.read_text().splitlines()[1:]]
    assert len(listed) == len(scores) == 5 and scores == sorted(scores, reverse=True) and scores[-1] > 0
    assert swept_candidates(Plan(file, candidates=str(file)), [8] * 4) == [BASE, *listed]


MISTAKES = [
    (["--rank", "retrieval"], "-o nothing given, the list of --rank is a file that ends in .txt"),
    (["--rank", "retrieval", "-o", "x.json"], "-o x.json given"),
    (["--rank", "attribution", "-o", "x.txt"], "--task is for attribution"),
    (["--rank", "retrieval", "-o", "x.txt", "--task", "tiny_train_passn"], "--task is for attribution"),
    (["--rank", "attribution", "-o", "x.txt", "--task", "tiny_passn"], "must be one of training questions"),
    (
        ["--rank", "attribution", "-o", "x.txt", "--task", "tiny_trian_passn"],
        "one of training questions: gsm8k_train_passn, gsm8k_train",
    ),
    (["--top", "4"], "which are for --rank"),
    (["--rank", "size", "-o", "x.txt"], "invalid choice: 'size'"),
]


@pytest.mark.parametrize(("given", "said"), MISTAKES)
def test_mistakes_are_one_sentence(given, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(["heads", "tiny", *given])
    except SystemExit as ended:
        status = ended.code
    told = capsys.readouterr().err
    assert status == 2 and said in told and not (tmp_path / "x.txt").exists()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"candidates": "L1H0", "layers": "1"}, "a sweep takes one of the two"),
        ({"candidates": "L1H"}, "--candidates: .*cannot read the candidate 'L1H'"),
    ],
)
def test_candidates_of_a_sweep_that_do_not_fit(plan, said, tmp_path):
    with pytest.raises(InputError, match=said):
        swept_candidates(Plan(tmp_path / "m.parquet", **plan), [8] * 4)
