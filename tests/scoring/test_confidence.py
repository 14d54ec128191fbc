"""Confidence and entropy of tokens against plain loops over the embedded model's logits, and through the command."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from sprint_lmeval.cli import main
from sprint_lmeval.scoring.confidence import measured, top_share
from sprint_lmeval.scoring.likelihoods import BaseModel
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.gate_examples import DATE, TASK, row, write_rows

PROMPT = "Question: Yuki needs 9 books. One costs 8 dollars. How much?\nAnswer:"
RESPONSES = [" 9 * 8 = 72\n#### 72", " 9 * 8 = 71\n#### 71", "", " 9 * 9 = 81\n so 81\n#### 81", " 72"]
ANSWERS = ["72", "71", None, "81", "72"]
ROWS = [
    row(number, "cinic", answers=ANSWERS, resps=[RESPONSES], arguments={"gen_args_0": {"arg_0": PROMPT}})
    for number in range(2)
]


def by_hand(response: str) -> list[dict[str, float]]:
    """Of each token: its log-probability, minus the mean one of the best 20, entropy, number of its line."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL_FOLDER)
    model = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32).eval()
    before, ids = tokenizer(PROMPT)["input_ids"], tokenizer(PROMPT + response)["input_ids"]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0]
    found, line = [], 0
    for place in range(len(before), len(ids)):
        chances = logits[place - 1].softmax(-1)
        best = sorted(chances.tolist(), reverse=True)[:20]
        entropy = -sum(p * np.log(p) for p in chances.tolist() if p > 0)
        found.append([np.log(chances[ids[place]].item()), -np.mean(np.log(best)), entropy, line])
        line += "\n" in tokenizer.decode([ids[place]])
    return np.array(found).T


def loop(facts: np.ndarray, window: int) -> dict[str, float]:
    values, entropies, lines = facts[1], facts[2], facts[3]
    if len(values) < window:
        means = [sum(values) / len(values)]
    else:
        means = [sum(values[i : i + window]) / window for i in range(len(values) - window + 1)]
    lowest = sorted(means)[: max(1, int(len(means) * 0.1))]
    by_line = [[e for e, at in zip(entropies, lines, strict=True) if at == line] for line in range(int(lines[-1]) + 1)]
    return {
        "mean": sum(values) / len(values),
        "tail": sum(values[-window:]) / len(values[-window:]),
        "bottom": sum(lowest) / len(lowest),
        "lowest": min(means),
        "entropy": -np.mean([np.mean(of) for of in by_line]),
    }


def test_facts_of_tokens_are_the_logits_own():
    from sprint_lmeval.scoring.stored import StoredResponses

    (found,) = BaseModel("pretrained=tiny,dtype=float32", "cpu").token_facts([StoredResponses(PROMPT, "", RESPONSES)])
    for response, facts in zip(RESPONSES, found, strict=True):
        assert facts.shape[0] == 4 and (facts.shape[1] == 0) == (not response)
        if response:
            assert np.allclose(facts, by_hand(response), atol=1e-3)


@pytest.mark.parametrize("window", [1, 3, 16, 40, 41, 2048])
def test_measures_are_their_loops(window):
    facts = np.random.default_rng(0).random((4, 40))
    facts[3] = np.repeat([0, 1, 2, 3], [3, 17, 1, 19])
    assert measured(facts, window) == pytest.approx(loop(facts, window))
    assert np.isnan(list(measured(facts[:, :0], window).values())).all()


def test_shares_are_of_the_responses_with_an_answer():
    values = np.array([5.0, 9.0, 3.0, np.nan, 1.0, 2.0])
    classes = [0, None, 1, 0, 1, 2]
    assert top_share(values, classes, 0.1).tolist() == [True, False, False, False, False, False]
    assert top_share(values, classes, 0.9).tolist() == [True, False, True, False, False, True]
    assert not top_share(values, [None] * 6, 0.9).any()


def scored(folder, way: str) -> dict:
    options = ["--model_args", "pretrained=tiny,dtype=float32", "--device", "cpu"]
    assert main(["score", str(folder), "--with", way, *options]) == 0
    return json.loads((folder / f"scores_{TASK}_{DATE}.json").read_text())["methods"]


def test_through_the_command_and_again_without_weights(tmp_path, capsys, monkeypatch):
    write_rows(tmp_path, ROWS)
    methods = scored(tmp_path, "confidence4")
    facts = [by_hand(text) if text else None for text in RESPONSES]
    for measure in ("mean", "tail", "bottom", "lowest", "entropy"):
        values = [loop(of, 4)[measure] if of is not None else np.nan for of in facts]
        weights = np.exp(values) if measure == "entropy" else values
        label = f"confidence {measure}" if measure in ("mean", "entropy") else f"confidence4 {measure}"
        best = max((0, 1, 3, 4), key=lambda i: values[i])
        assert methods[f"{label} best"]["chosen"] == [best] * 2
        votes = {"72": weights[0] + weights[4], "71": weights[1], "81": weights[3]}
        assert methods[f"{label} vote"]["chosen"] == [ANSWERS.index(max(votes, key=votes.get))] * 2
        assert methods[f"{label} top 10 %"]["chosen"] == [ANSWERS.index(ANSWERS[best])] * 2
    vote = methods["confidence4 tail vote"]
    assert vote["settings"]["window"] == "4" and vote["settings"]["scored_under"] == "tiny"
    assert vote["answers_used"] == 5 and vote["tokens_used"] == vote["tokens_of_all"] and "over_vote" in vote
    assert "confidence4 lowest top 90 %" in capsys.readouterr().out
    monkeypatch.setattr("lm_eval.models.huggingface.HFLM", None)  # no weights can be loaded any more
    assert scored(tmp_path, "confidence4,confidence,rpc")["confidence4 tail vote"] == vote
    file = tmp_path / f"likelihoods_{TASK}_{DATE}.safetensors"
    with safe_open(file, framework="numpy") as kept:
        key, lengths, values = kept.metadata(), kept.get_tensor("lengths"), kept.get_tensor("values")
    moved = lengths + np.array([-100, 100, 0, 0, 0], np.int32)
    for changed in (
        {"lengths": lengths},
        {"lengths": moved, "values": values},
        {"lengths": lengths * 1.0, "values": values},
        {"lengths": lengths, "values": values * np.float32(np.nan)},
    ):
        file.write_bytes(save(changed, metadata=key))
        refused(tmp_path, capsys)
    half = {"lengths": torch.from_numpy(lengths), "values": torch.from_numpy(values).bfloat16()}
    save_file(half, file, metadata=key)
    refused(tmp_path, capsys)
    file.write_text("mine")
    refused(tmp_path, capsys)


def refused(folder, capsys):
    assert main(["score", str(folder), "--with", "rpc", "--model_args", "pretrained=tiny,dtype=float32"]) == 2
    assert "is no file of likelihoods: move it away" in capsys.readouterr().err


def test_a_window_that_holds_every_response_is_told(tmp_path, caplog):
    write_rows(tmp_path, ROWS)
    methods = scored(tmp_path, "confidence")
    assert methods["confidence tail best"]["chosen"] == methods["confidence mean best"]["chosen"]
    assert "no response has more than the 2048 tokens of a window" in caplog.text
