"""`train --method branch`: from runs of each priority to a selector, and to the run that takes it."""

from pathlib import Path

import pytest

from sprint_lmeval.checkpoints.fingerprint import model_fingerprint
from sprint_lmeval.cli import main
from sprint_lmeval.errors import InputError
from sprint_lmeval.selection.selector import Selector
from sprint_lmeval.strategies.build import StrategyArguments, build_strategy
from tests.shared.gate_examples import row, write_rows
from tests.shared.harness_requests import model, requests

VERDICTS = {  # of 10 questions; response 1 is the greedy answer, and the same for all
    "prefix": ["ccc"] * 4 + ["iic"] * 2 + ["iii"] * 4,
    "ratio": ["cii"] * 4 + ["ici"] * 4 + ["iii"] * 2,
}


def write(folder: Path, priority: str, verdicts=None, split: str = "train", first: int = 0, **sprint) -> Path:
    rows = [row(first + i, letters) for i, letters in enumerate(verdicts or VERDICTS.get(priority, VERDICTS["ratio"]))]
    for sample in rows:
        sample["candidates"] = ["base"] * len(sample["verdicts"])
        sample["doc"]["split"] = split
    sprint = {"strategy": "branch", "priority": priority, "levels": 1, "chat_template": False, **sprint}
    return write_rows(folder, rows, task="tiny_train_passn", sprint=sprint)


def train(capsys, *arguments: object) -> tuple[int, str]:
    status = main(["train", *map(str, arguments), "--method", "branch"])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    return [write(tmp_path / "runs" / name, name, fingerprint=model_fingerprint("tiny")) for name in VERDICTS]


def test_the_priority_that_solves_most_is_chosen_and_all_are_shown(runs, tmp_path, capsys):
    status, said = train(capsys, tmp_path / "runs", "-o", tmp_path / "s")
    assert status == 0, said
    lines = [line.split() for line in said.splitlines()]
    assert lines[0][1:] == ["branch,", "priority=ratio,", "10", "questions"]
    assert lines[1][:4] == ["priority", "pass@1", "pass@2", "pass@3"]
    assert lines[2][:4] == ["prefix", "40.0", "40.0", "60.0"] and lines[3][:4] == ["ratio", "40.0", "80.0", "80.0"]
    assert lines[2][7] == "-20.0" and float(lines[2][4]) < 60 < float(lines[2][6])
    assert lines[1][-1] == "tokens" and lines[2][-1] == "9", "of a response: cost beside gain"
    assert "5 ratio; on the folds pass@1 40.0, pass@2 80.0, pass@3 80.0" in said
    assert train(capsys, tmp_path / "runs", "-o", tmp_path / "s") == (0, said), "the same again is no mistake"
    selector = Selector.from_pretrained(tmp_path / "s")
    assert selector.config["setting"] == {"priority": "ratio", "levels": "1"}
    assert selector.config["validation"] == {"pass@1": 0.4, "pass@2": 0.8, "pass@3": 0.8}
    card = (tmp_path / "s" / "README.md").read_text()
    assert "# branch: where the greedy answers of tiny branch" in card and "Selector.from_pretrained" not in card


def test_folds_that_choose_otherwise_are_judged_by_their_own_choice(tmp_path, capsys):
    """Two questions, each solved by one priority: without it the other one is chosen, which fails on it."""
    for name, verdicts in {"prefix": ["ic", "ii"], "ratio": ["ii", "ic"]}.items():
        write(tmp_path / "runs" / name, name, verdicts)
    status, said = train(capsys, tmp_path / "runs", "-o", tmp_path / "s", "--folds", 2)
    assert status == 0 and "priority=prefix" in said and "pass@2 0.0" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("second", "arguments", "said"),
    [
        ({"strategy": "sample"}, [], "is a run of strategy=sample: give runs of strategy=branch on training questions"),
        ({"priority": "prefix", "strategy_seed": 1}, [], "priority prefix, prefix given, needed are two or more"),
        ({"priority": "widest"}, [], "has no priority that is one of prefix, ratio, token, mixed"),
        ({"fingerprint": "e" * 64}, [], "has fingerprint eee"),
        ({"levels": "all"}, [], "differ in levels (1 and all): give runs"),
        ({"verdicts": ["ic"] * 10}, [], "differ in N (3 and 2): give runs"),
        ({"first": 5}, [], "differ in questions: give runs"),
        ({"split": "test"}, [], "has questions of the split 'test', allowed for training are train, validation"),
        ({}, ["--candidates", "heads"], "--candidates given with --method branch"),
        ({}, ["--set", "priority=prefix"], "--set given with --method branch"),
        ({}, ["--questions", "3"], "--questions given with --method branch"),
    ],
)
def test_runs_that_cannot_be_compared(tmp_path, capsys, second, arguments, said):
    folders = [write(tmp_path / "a", "prefix"), write(tmp_path / "b", **{"priority": "ratio", **second})]
    status, shown = train(capsys, *folders, "-o", tmp_path / "s", *arguments)
    assert status == 2 and said in shown and not (tmp_path / "s").exists()


def test_one_priority_is_no_choice(tmp_path, capsys):
    status, said = train(capsys, write(tmp_path / "a", "prefix"), "-o", tmp_path / "s")
    assert status == 2 and "needed are two or more" in said


@pytest.fixture
def folder(runs, tmp_path, capsys) -> str:
    assert train(capsys, *runs, "-o", tmp_path / "s")[0] == 0
    return str(tmp_path / "s")


def test_a_run_takes_it(folder):
    lm = model(selector=folder, strategy="branch")
    asked = requests(3, questions=2, max_gen_toks=40)
    chosen = [str(r) for r in lm.generate_until(asked)]
    assert chosen == [str(r) for r in model(strategy="branch", priority="ratio").generate_until(asked)]
    info = lm.get_model_info()["sprint"]
    named = {key: info[key] for key in ("strategy", "learned", "method", "selector", "priority", "levels", "fill")}
    known = {"strategy": "branch", "learned": True, "method": "branch", "selector": folder, "priority": "ratio"}
    assert named == {**known, "levels": 1, "fill": "stop"} and info["training"]["questions"] == 10


def build(**arguments):
    return build_strategy(StrategyArguments(**arguments))([8, 8, 8, 8])


def test_what_may_be_given_beside_it(folder):
    filled = build(selector=folder, fill="samples", strategy_seed=3)
    assert filled.draws and filled.described()["strategy_seed"] == 3
    with pytest.raises(InputError, match=r"1 of 2 questions are among the 10 that selector="):
        filled.attempts(["What is 3 + 1?", "What is 50 + 1?"], 2)
    for given, said in [
        ({"selector": folder, "priority": "ratio"}, "selector and priority given, of which only one can decide"),
        ({"selector": folder, "head_masks": "L0H0"}, "selector and head_masks given"),
        ({"selector": folder, "fill": "x"}, "fill=x given, allowed are stop, samples"),
        ({"selector": "tiny-cover", "strategy": "branch"}, "strategy=branch given with selector=tiny-cover, whose"),
        ({"selector": "tiny-cover", "fill": "stop"}, "fill given with selector=tiny-cover, whose method cover ranks"),
    ]:
        with pytest.raises(InputError, match=said):
            build(**given)
