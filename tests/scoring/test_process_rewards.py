"""Scores of steps by random weights in both forms, against plain calls of transformers, and early rejection."""

import json
import re

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForTokenClassification

from sprint_lmeval.cli import main
from sprint_lmeval.scoring.process_rewards import ProcessRewardModel
from sprint_lmeval.scoring.stored import Prefix, StoredResponses
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.gate_examples import DATE, TASK, row, write_rows

QUESTION = "One book costs 8 dollars. How much are 9?"
RESPONSES = ["9 * 8 = 72\n\n#### 72", "9 * 8 = 71\nso 71\n#### 71", "", "#### 80"]
ANSWERS = ["72", "71", None, "80"]
MARKS = ["?", "+", "-"]
ROWS = [
    row(number, "cini", answers=ANSWERS, resps=[RESPONSES], new_tokens=[20, 30, 1, 8], doc=doc)
    for number, doc in enumerate([{"id": f"test-{i}", "question": QUESTION, "answer": "72"} for i in range(2)])
]


def folder(path, kind, labels: int = 2) -> str:
    torch.manual_seed(2)
    tokenizer = AutoTokenizer.from_pretrained(MODEL_FOLDER)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        num_labels=labels,
        initializer_range=0.3,
    )
    kind(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def by_hand(path: str, response: str, marks=None, labels: int = 2) -> list[float]:
    """Each step appended and the whole text read anew up to its end."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    kind = LlamaForCausalLM if marks else LlamaForTokenClassification
    model = kind.from_pretrained(path).eval()
    ids = tokenizer(QUESTION + " " if marks else QUESTION, add_special_tokens=False)["input_ids"]
    found = []
    for step in [line for line in response.split("\n") if line]:
        ids = ids + tokenizer(step, add_special_tokens=False)["input_ids"]
        ids = ids + tokenizer(marks[0] if marks else "\n", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1]
        if marks:
            good, bad = (logits[tokenizer.convert_tokens_to_ids(mark)] for mark in marks[1:])
            found.append((good.exp() / (good.exp() + bad.exp())).item())
            ids = ids + tokenizer("\n", add_special_tokens=False)["input_ids"]
        else:
            found.append((logits.softmax(0)[1] if labels == 2 else 1 / (1 + (-logits[0]).exp())).item())
    return found


@pytest.mark.parametrize(
    ("kind", "marks", "labels"),
    [
        (LlamaForTokenClassification, None, 2),
        (LlamaForTokenClassification, None, 1),
        (LlamaForCausalLM, MARKS, 2),
    ],
)
def test_scores_of_steps_are_the_models_own(kind, marks, labels, tmp_path):
    path = folder(tmp_path / "prm", kind, labels)
    (found,) = ProcessRewardModel(path, "cpu", marks=marks).step_scores([StoredResponses("", QUESTION, RESPONSES)])
    assert [len(steps) for steps in found] == [2, 3, 0, 1]
    for response, steps in zip(RESPONSES, found, strict=True):
        assert steps == pytest.approx(by_hand(path, response, marks, labels), abs=1e-4)


def scored(run, path, *options) -> dict:
    assert main(["score", str(run), "--with", "prm", "--reward-model", path, "--device", "cpu", *options]) == 0
    return json.loads((run / f"scores_{TASK}_{DATE}.json").read_text())["methods"]


def test_through_the_command(tmp_path, capsys):
    path = folder(tmp_path / "prm", LlamaForTokenClassification)
    write_rows(tmp_path / "run", ROWS)
    methods = scored(tmp_path / "run", path, "--prefix", "0.3", "--keep", "0.5")
    steps = [by_hand(path, response) for response in RESPONSES]
    begun = [
        by_hand(path, text[: round(len(text) * cut / of)])
        for text, cut, of in zip(RESPONSES, [6, 9, 1, 3], [20, 30, 1, 8], strict=True)
    ]
    reduced = {"min": min, "last": lambda s: s[-1], "product": np.prod, "mean": np.mean}
    for name, reduce in reduced.items():
        values = [reduce(s) if s else float("-inf") for s in steps]
        assert methods[f"prm {name} best of N"]["chosen"] == [int(np.argmax(values))] * 2
        assert methods[f"prm {name} vote"]["chosen"] == [int(np.argmax(values))] * 2  # all answers differ
        first = [reduce(s) if s else -1 for s in begun]
        kept = sorted(range(4), key=lambda i: -first[i])[:2]
        early = methods[f"prm {name} early"]
        assert early["chosen"] == [max(kept, key=lambda i: values[i])] * 2
        paid = [length if i in kept else cut for i, (length, cut) in enumerate([(20, 6), (30, 9), (1, 1), (8, 3)])]
        assert early["used"] == [2, 2] and early["tokens"] == [sum(paid)] * 2 and early["tokens_used"] == sum(paid)
    assert "prm min early" in capsys.readouterr().out
    again = scored(tmp_path / "run", path)
    assert again["prm mean early"] == methods["prm mean early"]  # is kept, with its tokens


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (LlamaForCausalLM, ["--step-marks", "ки", "+", "-"], "which .* knows as . tokens and not as one"),
        (LlamaForCausalLM, [], "has no weights for score"),
        (LlamaForTokenClassification, ["--step-marks", *MARKS], "has no weights for lm_head.weight"),
        (LlamaForTokenClassification, ["--prefix", "1.5"], "--prefix 1.5 given, it is a share between 0 and 1"),
        (LlamaForTokenClassification, ["--prefix", "nan"], "--prefix nan given, it is a share between 0 and 1"),
        (LlamaForTokenClassification, ["--keep", "0.5"], "--keep 0.5 given, .* goes with --prefix"),
        (LlamaForTokenClassification, ["--keep", "1", "--prefix", "0.3"], "--keep 1 given, it is a share"),
    ],
)
def test_mistakes_are_one_sentence(kind, options, reason, tmp_path, capsys):
    path = folder(tmp_path / "prm", kind)
    write_rows(tmp_path / "run", ROWS)
    capsys.readouterr()
    assert main(["score", str(tmp_path / "run"), "--with", "prm", "--reward-model", path, *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]  # transformers may have written above it
    assert error.startswith("error: ") and re.search(reason, error)


def test_lengths_that_a_prefix_needs_are_missing(tmp_path, capsys):
    path = folder(tmp_path / "prm", LlamaForTokenClassification)
    write_rows(tmp_path / "run", [{**r, "new_tokens": None} for r in ROWS])
    options = ["--with", "prm", "--reward-model", path, "--prefix", "4"]
    assert main(["score", str(tmp_path / "run"), *options]) == 2
    assert "does not say how many tokens each response has" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "expected"), [(0.3, [3, 1, 6]), (4, [4, 2, 4]), (0.99, [10, 2, 20])])
def test_prefixes(size, expected):
    assert Prefix.parsed(size).tokens(np.array([10, 2, 20])).tolist() == expected
