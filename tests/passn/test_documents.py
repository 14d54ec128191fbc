"""Documents: the same fields from the hub and from a folder, and what is wrong with a folder, by file and line."""

import json
import os
from pathlib import Path

import pytest
from datasets import Dataset

from sprint_lmeval.errors import InputError
from sprint_lmeval.passn import documents

FIELDS = {"id", "question", "answer", "solution", "subject", "level", "split"}


def math_record(number, **changed):
    return {
        "problem": f"What is ${number} + 1$?",
        "solution": f"It is $\\boxed{{{number + 1}}}$.",
        "answer": str(number + 1),
        "subject": "Algebra",
        "level": 2,
        "unique_id": f"train/algebra/{number}.json",
    } | changed


def gsm8k_record(number):
    return {
        "question": f"Ann has {number} pens and buys 1000. How many?",
        "answer": f"{number}+1000=<<{number}+1000={number + 1000}>>{number + 1000}\n#### 1,{number:03d}",
    }


def write(folder: Path, name: str, records) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SPRINT_DATA_DIR", str(tmp_path))
    write(tmp_path, "math/math500.jsonl", [math_record(n) for n in range(3)])
    write(tmp_path, "math/train.jsonl", [math_record(n) for n in range(10, 14)])
    write(tmp_path, "gsm8k/test.jsonl", [gsm8k_record(n) for n in range(2)])
    write(tmp_path, "gsm8k/train.jsonl", [gsm8k_record(n) for n in range(2, 5)])
    return tmp_path


@pytest.mark.parametrize(
    ("load", "split", "count"),
    [
        (documents.math500, "test", 3),
        (documents.math_train, "train", 4),
        (documents.gsm8k, "test", 2),
        (documents.gsm8k_train, "train", 3),
        (documents.tiny, "test", 5000),
        (documents.tiny_train, "train", 1600),
    ],
)
def test_every_source_gives_the_same_fields(data, load, split, count):
    loaded = load(pretrained="whatever the harness hands on")
    assert set(loaded) == {split}
    assert set(loaded[split].features) == FIELDS
    assert len(loaded[split]) == count
    assert set(loaded[split]["split"]) == {split}
    assert len(set(loaded[split]["id"])) == count


def test_gsm8k_gold_is_the_number_and_the_solution_has_no_calculator_notes(data):
    document = documents.gsm8k()["test"][1]
    assert document["answer"] == "1001"
    assert document["solution"] == "1+1000=1001"


def test_math_training_leaves_out_math500_and_the_golds_that_are_none(data, harness_log):
    same_text = math_record(20, problem="What is\n  $1 + 1$?")
    bad = [
        math_record(21, answer="", unique_id="train/number_theory/7117.json"),
        math_record(22, answer="None", unique_id="train/algebra/25040.json"),
    ]
    write(data, "math/train.jsonl", [math_record(10), same_text, *bad])
    kept = documents.math_train()["train"]
    assert kept["question"] == ["What is $10 + 1$?"]
    assert "1 of MATH-500, 2 without usable gold" in harness_log.text
    assert "train/number_theory/7117.json, train/algebra/25040.json" in harness_log.text


def test_more_empty_golds_than_the_two_known_ones_stop_the_run(data):
    write(data, "math/train.jsonl", [math_record(n, answer="") for n in range(10, 13)])
    with pytest.raises(InputError, match="3 golds are empty"):
        documents.math_train()


def test_from_the_hub_math_answers_are_the_last_box_and_math500_is_left_out(monkeypatch):
    monkeypatch.delenv("SPRINT_DATA_DIR", raising=False)
    asked = []

    def load_dataset(name, *config, split):
        asked.append((name, *config, split))
        if name == documents.MATH500_HUB:
            return Dataset.from_list([math_record(n) for n in range(2)])
        number = 1 if config == ("algebra",) and split == "test" else 50 + len(asked)
        record = {
            "problem": f"What is ${number} + 1$?",
            "level": "Level ?" if number == 1 else "Level 3",
            "type": "Algebra",
            "solution": f"Not \\boxed{{9}} but \\boxed{{\\frac{{{number}}}{{2}}}}.",
        }
        return Dataset.from_list([record])

    monkeypatch.setattr(documents, "load_dataset", load_dataset)
    kept = documents.math_train()["train"]
    assert len(asked) == 2 * 7 + 1
    assert len(kept) == 13
    assert "What is $1 + 1$?" not in kept["question"]
    assert all(answer.startswith("\\frac{") for answer in kept["answer"])
    assert set(kept["level"]) == {3}
    assert len(set(kept["id"])) == 13


@pytest.mark.parametrize("load", [documents.math500, documents.gsm8k, documents.math_train, documents.gsm8k_train])
def test_no_network_and_no_data_names_both_ways(monkeypatch, load):
    monkeypatch.delenv("SPRINT_DATA_DIR", raising=False)

    def load_dataset(*arguments, **options):
        raise ConnectionError("the hub cannot be reached")

    monkeypatch.setattr(documents, "load_dataset", load_dataset)
    with pytest.raises(InputError, match=r"the hub cannot be reached.*hub is reachable.*SPRINT_DATA_DIR"):
        load()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no problems found"),
        (b'{"question": "q", "answer": "#### 1"}\n{"question": "q"', "line 2: not JSON"),
        (b'{"question": "q", "answer": "#### 1"}\n\n[1]\n', "line 3: a record needs"),
        (b'{"question": "q", "answer": 5}\n', "line 1: a record needs"),
        (b'{"question": "q", "answer": "no mark"}\n', "line 1: the answer has no number"),
        (b'{"question": "q", "answer": "#### "}\n', "line 1: the answer has no number"),
        (b"\xff\xfe\x00binary\x00", "not UTF-8"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b'\n\n{"question": "q", "answer": "no mark"}\n', "line 3: the answer has no number"),
    ],
)
def test_a_broken_file_is_named_by_its_line(data, text, words):
    (data / "gsm8k" / "test.jsonl").write_bytes(text)
    with pytest.raises(InputError) as caught:
        documents.gsm8k()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_missing_folder(data, monkeypatch):
    (data / "math" / "math500.jsonl").unlink()
    with pytest.raises(InputError, match=r"math500.jsonl is missing.*must hold"):
        documents.math500()
    monkeypatch.setenv("SPRINT_DATA_DIR", str(data / "nowhere"))
    with pytest.raises(InputError, match="is not a folder"):
        documents.gsm8k()


@pytest.mark.skipif(not os.environ.get("SPRINT_DATA_DIR"), reason="SPRINT_DATA_DIR is not set: no real data here")
def test_the_real_data():
    assert len(documents.math500()["test"]) == 500
    assert len(documents.gsm8k()["test"]) == 1319
    assert len(documents.gsm8k_train()["train"]) == 7473
    assert len(documents.math_train()["train"]) == 3998
