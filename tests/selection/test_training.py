"""`sprint-lmeval train`: from matrix files to a folder, and everything that cannot be learned from."""

from pathlib import Path

import numpy as np
import pytest

from sprint_lmeval.candidates import BASE, parse_candidates
from sprint_lmeval.cli import main
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.selection.selector import Selector
from sprint_lmeval.selection.training import Choices, train_selector
from sprint_lmeval.selection.training_matrix import matrix_digest, training_matrix
from tests.shared.selector_examples import RANKING, KindEncoder, matrix, questions


@pytest.fixture
def path(tmp_path) -> Path:
    matrix().save(tmp_path / "train.parquet")
    return tmp_path / "train.parquet"


def saved(folder: Path, made: OutcomeMatrix, name: str = "other.parquet") -> Path:
    made.save(folder / name)
    return folder / name


def command(capsys, *arguments: object) -> tuple[int, str]:
    status = main(["train", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


# ---- the command ----


@pytest.mark.parametrize("method", RANKING)
def test_every_method_is_one_command(path, tmp_path, capsys, method, monkeypatch):
    monkeypatch.setattr(Encoder, "find", lambda name=None: KindEncoder())
    more = {"sprint": ["--set", "epochs=20"], "nearest": ["--set", "k=5"], "coverage": ["--set", "trees=9"]}.get(
        method, []
    )
    status, said = command(capsys, path, "--method", method, "-o", tmp_path / "s", "--folds", 3, *more)
    assert status == 0, said
    assert f"{method}, 60 questions x 6 candidates (0 questions unsolved), validation pass@1 " in said
    selector = Selector.from_pretrained(tmp_path / "s", encoder=KindEncoder())
    assert selector.config["training"]["questions"] == 60 and selector.config["model"]["name"] == "tiny"
    assert selector.config["training"]["evaluate"] == "tiny_passn"
    assert len(selector.rank(questions(2, first=100), 3)[0]) == 3


def test_a_part_of_the_questions_may_be_drawn(path, tmp_path, capsys, monkeypatch, harness_log):
    monkeypatch.setattr(Encoder, "find", lambda name=None: KindEncoder())
    for name, draw in (("uniform", []), ("diverse", ["--draw", "diverse"])):
        options = ["--method", "top", "--folds", 3, "--questions", 30, *draw]
        assert "top, 30 questions x 6" in command(capsys, path, *options, "-o", tmp_path / name)[1]
    pool = command(capsys, path, "--method", "pool", "--set", "size=3", "--questions", 30, "-o", tmp_path / "p.txt")
    assert "30 questions x 6" in (tmp_path / "p.txt").read_text(), pool
    assert "30 training questions: what is learned from fewer than 100 is mostly chance" in harness_log.text
    assert "there are 60 different ones" in command(capsys, path, *options, "--questions", 61, "-o", tmp_path / "x")[1]


def test_a_command_that_is_run_again_after_its_last_write_succeeds(path, tmp_path, capsys, monkeypatch):
    first = command(capsys, path, "--method", "top", "-o", tmp_path / "s", "--folds", 3)
    assert first[0] == 0 and command(capsys, path, "--method", "top", "-o", tmp_path / "s", "--folds", 3) == first
    monkeypatch.setattr("sprint_lmeval.selection.training.selector_of", lambda *_: pytest.fail("it was trained"))
    for other in (["--method", "cover"], ["--seed", 1], ["--folds", 4], ["--candidates", "heads"]):
        arguments = ["--method", "top", "-o", tmp_path / "s", "--folds", 3, *other]
        status, said = command(capsys, path, *arguments)
        assert status == 2 and "is a selector already" in said


def test_the_largest_seed_serves_the_method_with_trees(path, tmp_path, capsys):
    more = ["--set", "trees=9", "--seed", 2**32 - 1]
    status, said = command(capsys, path, "--method", "coverage", "-o", tmp_path / "s", "--folds", 3, *more)
    assert status == 0, said
    assert Selector.from_pretrained(tmp_path / "s").config["training"]["seed"] == 2**32 - 1


@pytest.mark.parametrize("altered", [{"peft": "a" * 64}, {}])
def test_what_alters_the_model_is_carried_to_the_selector(tmp_path, capsys, altered):
    status, said = command(capsys, saved(tmp_path, matrix(altered=altered)), "--method", "top", "-o", tmp_path / "s")
    assert status == 0, said
    assert Selector.from_pretrained(tmp_path / "s").config["training"].get("altered") == (altered or None)


def test_with_the_real_encoder(path, tmp_path, capsys):
    status, said = command(capsys, path, "--method", "logistic", "-o", tmp_path / "s", "--set", "penalty=0.001")
    assert status == 0, said
    selector = Selector.from_pretrained(tmp_path / "s")
    assert selector.config["encoder"]["fingerprint"] == Encoder.find().fingerprint
    pens, train, _ = [row[0] for row in selector.rank([questions(1)[0], questions(3)[2], questions(4)[3]])]
    assert str(pens) in ("L0H0", "L0H1") and str(train) == "L0H2"


def test_the_pool_is_a_file_of_candidates(path, tmp_path, capsys):
    status, said = command(capsys, path, "--method", "pool", "-o", tmp_path / "pool.txt", "--set", "size=3")
    assert status == 0 and "100.0 % of them solved" in said
    assert [str(c) for c in parse_candidates(tmp_path / "pool.txt")][:2] == ["L0H0", "L0H2"]
    assert len(parse_candidates(tmp_path / "pool.txt")) == 3
    before = (tmp_path / "pool.txt").read_text()
    assert command(capsys, path, "--method", "pool", "-o", tmp_path / "pool.txt", "--set", "size=3") == (0, said)
    status, said = command(capsys, path, "--method", "pool", "-o", tmp_path / "pool.txt", "--set", "size=2")
    assert status == 2 and "is there already" in said and (tmp_path / "pool.txt").read_text() == before
    assert (
        command(capsys, path, "--method", "pool", "-o", tmp_path / "pool.txt", "--set", "size=2", "--overwrite")[0] == 0
    )


@pytest.mark.parametrize(
    ("kind", "solved", "listed"),
    [
        ("cover", "100.0", ["L0H0  # + 66.67 %", "L0H2  # + 33.33 %", "L0H1  # + 0.00 %"]),
        ("best", "83.3", ["L0H0  # 66.67 %", "L0H1  # 66.67 %", "base  # 50.00 %"]),
        ("base+cover", "100.0", ["base  # + 50.00 %", "L0H0  # + 33.33 %", "L0H2  # + 16.67 %"]),
    ],
)
def test_pools_of_every_kind(path, tmp_path, capsys, kind, solved, listed):
    arguments = ["--method", "pool", "-o", tmp_path / "p.txt", "--set", "size=3", "--set", f"kind={kind}"]
    status, said = command(capsys, path, *arguments)
    assert status == 0, said
    assert (tmp_path / "p.txt").read_text().splitlines()[2:] == listed
    assert f"{solved} % of them solved" in said


def test_base_first_needs_base(path, tmp_path, capsys):
    arguments = ["--method", "pool", "-o", tmp_path / "p.txt", "--set", "kind=base+cover", "--candidates", "heads"]
    status, said = command(capsys, path, *arguments, "--set", "size=2")
    assert status == 2 and "base is not among the candidates" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "best"], "--method best given, allowed are sprint, top"),
        (["--method", "top", "--set", "k=3"], "k=3 given: top has the options none"),
        (["--method", "sprint", "--set", "p"], "--set p given, write NAME=VALUE"),
        (["--method", "sprint", "--set", "p=3", "--set", "p=4"], "each name once"),
        (["--method", "top", "--folds", "1"], "--folds 1 given, it must be a whole number from 2"),
        (["--method", "top", "--seed", "-1"], "--seed -1 given, it must be a whole number from 0 to 4294967295"),
        (["--method", "coverage", "--seed", "4294967296"], "--seed 4294967296 given"),
        (["--method", "top", "--candidates", "L0H7"], "candidate L0H7 is not in the matrix"),
        (["--method", "top", "--candidates", "L0"], "--candidates: .* or write all, or heads"),
        (["--method", "top", "--candidates", "base"], "a single candidate"),
        (["--method", "pool", "--set", "size=0"], "a pool has two: size"),
        (["--method", "pool", "--set", "k=3"], "a pool has two: size"),
        (["--method", "pool", "--set", "kind=worst"], r"kind=worst given, allowed are cover, best, base\+cover"),
        (["--method", "pool"], "the file of a pool ends in .txt"),
        (["--method", "sprint", "--encoder", "nowhere"], "encoder=nowhere given, which is not a folder"),
    ],
)
def test_mistakes_are_one_sentence_and_write_nothing(path, tmp_path, capsys, arguments, said):
    import re

    status, text = command(capsys, path, "-o", tmp_path / "s", *arguments)
    assert status == 2 and re.search(said, text), text
    assert text.startswith("error: ") and text.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_a_folder_that_is_something_else_is_left_alone(path, tmp_path, capsys):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").write_text("mine")
    status, said = command(capsys, path, "--method", "top", "-o", tmp_path / "s", "--overwrite")
    assert status == 2 and "not a selector folder" in said
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["notes.txt"]


def test_a_file_that_is_no_matrix(tmp_path, capsys):
    (tmp_path / "m.parquet").write_text("no")
    status, said = command(capsys, tmp_path / "m.parquet", "--method", "top", "-o", tmp_path / "s")
    assert status == 2 and "not a parquet file" in said


# ---- matrices ----


def narrowed(made: OutcomeMatrix, **arrays) -> OutcomeMatrix:
    from dataclasses import replace

    tokens = np.where(arrays["verdicts"] < 0, -1, made.new_tokens).astype(np.int32)
    return replace(made, new_tokens=tokens, **arrays)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (matrix(split="test"), "has questions of the split 'test', allowed for training are train, validation"),
        (matrix(split=""), "has questions of the split ''"),
        (matrix(1), "a single question"),
        (matrix(heads_per_layer=[4, 8]), "has candidate L0H4, and its model tiny has no such head"),
        (narrowed(matrix(), verdicts=np.zeros((60, 6), np.int8)), "every answer in the matrix is correct"),
        (narrowed(matrix(), verdicts=np.full((60, 6), 2, np.int8)), "every answer in the matrix is not correct"),
        (narrowed(matrix(), verdicts=np.where(np.eye(60, 6), -1, 0).astype(np.int8)), "6 of 360 cells .* not run"),
    ],
)
def test_a_matrix_that_cannot_be_learned_from_is_refused(tmp_path, made, said):
    with pytest.raises(InputError, match=said):
        training_matrix([saved(tmp_path, made)], "all")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (matrix(fingerprint="b" * 64), "has fingerprint bbb"),
        (
            matrix(architecture="LlamaForCausalLM", first=60),
            "has architecture LlamaForCausalLM, and .* Qwen2ForCausalLM",
        ),
        (matrix(heads_per_layer=[8], first=60), "has heads_per_layer"),
        (matrix(chat_template=True, first=60), "has chat_template True"),
        (matrix(settings={"max_new_tokens": 9}, first=60), "has settings"),
        (matrix(altered={"load_in_4bit": True}, first=60), "has altered {'load_in_4bit': True}, and .* has None"),
        (matrix(first=60).select(candidates=matrix().candidates[:3]), "has other candidates"),
        (matrix(first=30), "is in the matrix twice"),
    ],
)
def test_matrices_that_do_not_belong_together_are_refused(path, tmp_path, made, said):
    with pytest.raises(InputError, match=said):
        training_matrix([path, saved(tmp_path, made)], "all")


def test_matrices_of_one_model_are_joined_by_question(path, tmp_path):
    second = matrix(30, first=60, task="more_train_passn").select(candidates=list(reversed(matrix().candidates)))
    joined = training_matrix([path, saved(tmp_path, second)], "all")
    assert joined.verdicts.shape == (90, 6) and joined.candidates == matrix().candidates
    assert joined.facts["task"] == "more_train_passn+tiny_train_passn"
    assert (joined.correct[60:] == matrix(30, first=60).correct).all()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"heads_per_layer": "8"}, "heads_per_layer .*whole numbers"),
        ({"heads_per_layer": [8, "a", 8, 8]}, "heads_per_layer .*whole numbers"),
        ({"heads_per_layer": [8, True, 8, 8]}, "heads_per_layer .*whole numbers"),
        ({"model": 5}, "the model's name in the facts must be text"),
        ({"fingerprint": ["a"]}, "the model's fingerprint in the facts must be text"),
        ({"altered": "peft"}, "altered in the facts must be an object"),
    ],
)
def test_facts_that_no_selector_may_have_are_refused_before_training(path, monkeypatch, facts, said):
    made = matrix()
    made.facts.update(facts)
    monkeypatch.setattr(OutcomeMatrix, "load", lambda path: made)
    with pytest.raises(InputError, match=said) as caught:
        training_matrix([path], "all")
    assert "\n" not in str(caught.value)


def test_an_older_matrix_joins_one_that_says_that_nothing_was_altered(path, tmp_path):
    second = saved(tmp_path, matrix(30, first=60, altered={}))
    assert len(training_matrix([path, second], "all").questions) == 90


def test_candidates_may_be_chosen(path):
    assert BASE in training_matrix([path], "all").candidates
    assert BASE not in training_matrix([path], "heads").candidates
    assert [str(c) for c in training_matrix([path], "L0H2:base").candidates] == ["L0H2", "base"]


def test_questions_that_are_to_be_excluded_are_refused_by_hash(path, tmp_path):
    apart = saved(tmp_path, matrix(20, first=60, split="test"), "apart.parquet")
    assert training_matrix([path], "all", exclude=[apart])
    overlapping = saved(tmp_path, matrix(20, first=58, split="test").without_texts(), "overlap.parquet")
    with pytest.raises(InputError, match=r"2 training questions .the first: train-58. are also in .*overlap\.parquet"):
        training_matrix([path], "all", exclude=[apart, overlapping])


def test_texts_come_from_the_documents_of_the_task_or_are_asked_for(path, tmp_path):
    bare = saved(tmp_path, matrix().without_texts(), "bare.parquet")
    choices = Choices(folds=3)
    assert "top" in train_selector([bare], "top", tmp_path / "top", choices)  # reads no question
    with pytest.raises(InputError, match="have no text"):
        train_selector([bare], "logistic", tmp_path / "s", choices)
    assert not (tmp_path / "s").exists()


def test_the_digest_is_of_what_is_learned_from():
    one = matrix_digest(matrix())
    assert one == matrix_digest(matrix().without_texts()) == matrix_digest(matrix(model="elsewhere"))
    assert one != matrix_digest(matrix().select(candidates=matrix().candidates[:5]))
    assert one != matrix_digest(narrowed(matrix(), verdicts=1 - matrix().verdicts))
