"""What else a model might have written at each position, against a plain loop over the answer."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.tiny_architectures import tiny_model
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation import alternatives as module
from sprint_lmeval.generation.alternatives import alternatives
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.pruning.hooks import prune_heads
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.decoding_examples import prompts
from tests.shared.decoding_examples import tiny as tiny
from tests.shared.family_examples import tokenizer as tokenizer


def one_by_one(model, tokenizer, row: Row, top: int) -> list[tuple[int, float, list[int], list[float]]]:
    """Return token, log-probability, other tokens and theirs: each position read by a pass of its own."""
    ids, found = tokenizer(row.prompt)["input_ids"], []
    for token in row.given:
        with torch.no_grad(), prune_heads(model, [row.candidate]):
            scores = model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
        own = scores[token].item()
        scores[token] = -torch.inf
        best = scores.topk(top)
        found.append((token, own, best.indices.tolist(), best.values.tolist()))
        ids = [*ids, token]
    return found


def agrees(steps, expected) -> None:
    assert [step.token for step in steps] == [token for token, *_ in expected]
    for step, (_, own, tokens, values) in zip(steps, expected, strict=True):
        assert step.log_probability == pytest.approx(own, abs=1e-3)
        assert [token for token, _ in step.others] == tokens
        assert [value for _, value in step.others] == pytest.approx(values, abs=1e-3)


def answered(tiny) -> list[Row]:
    rows = [Row(p, c) for p in prompts(3) for c in (BASE, Candidate.parse("L0H1"))]
    found = generate(*tiny, rows, Settings(40), keep_tokens=True)
    return [Row(row.prompt, row.candidate, given=response.tokens) for row, response in found]


@pytest.mark.parametrize("logits_bytes", [1 << 26, 1 << 14])
def test_greedy_answers_and_what_came_second(tiny, monkeypatch, logits_bytes):
    limits = module.limits_of(tiny[0])
    monkeypatch.setattr(module, "limits_of", lambda model: type(limits)(24, 256, logits_bytes, 1 << 20, 1 << 21))
    rows = [*answered(tiny), Row(prompts(1)[0], BASE, given=(99, 5)), Row(prompts(1)[0], BASE)]
    found = alternatives(*tiny, rows, Settings(40), top=3)
    for row, steps in zip(rows, found, strict=True):
        agrees(steps, one_by_one(*tiny, row, 3))
    assert found[-1] == []
    assert all(step.log_probability >= step.others[0][1] for steps in found[:-2] for step in steps)


@pytest.mark.parametrize("name", ["Gemma 2", "BLOOM", "GPT-2"])
def test_models_without_a_head_of_their_own(name, tokenizer):
    model = tiny_model(name)
    rows = [Row("w1 w2 w3", Candidate.parse("L1H0"), given=(4, 9, 2)), Row("w7", BASE, given=(5,))]
    for row, steps in zip(rows, alternatives(model, tokenizer, rows, Settings(9), top=2), strict=True):
        agrees(steps, one_by_one(model, tokenizer, row, 2))


def test_a_long_prompt_keeps_its_right_end(tiny):
    row = Row("nonsense " * 20 + prompts(1)[0], BASE, given=(7, 8))
    count = len(tiny[1](prompts(1)[0])["input_ids"])
    (cut,) = alternatives(*tiny, [row], Settings(9, max_prompt_tokens=count))
    (short,) = alternatives(*tiny, [Row(prompts(1)[0], BASE, given=(7, 8))], Settings(9))
    assert [step.log_probability for step in cut] == pytest.approx([step.log_probability for step in short], abs=1e-3)


def test_an_answer_in_bfloat16(tiny):
    model = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.bfloat16).eval()
    (steps,) = alternatives(model, tiny[1], answered(tiny)[:1], Settings(40), top=2)
    assert all(step.log_probability <= 0 and len(step.others) == 2 for step in steps)
