"""Every supported family: rows that leave and rows that go on in one batch write what each row writes alone."""

import random

import pytest
import torch

from benchmarks.tiny_architectures import TINY, tiny_model
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation import fallback
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.pruning.hooks import head_layout, prune_heads
from tests.shared.family_examples import tokenizer as tokenizer

TIE = 1e-4
NEW_TOKENS = 22


def rows_of(model, seed: int) -> list[Row]:
    """Prompts of one to twelve tokens (a sliding window here has six), each with a candidate of its own."""
    draw = random.Random(seed)
    heads = [layer.heads for layer in head_layout(model).layers]
    rows = []
    for length in (1, 2, 5, 7, 12, 12, 9, 3):
        layer = draw.randrange(len(heads))
        candidate = draw.choice([BASE, Candidate(((layer, draw.randrange(heads[layer])),))])
        rows.append(Row(" ".join(f"w{draw.randrange(1, 90)}" for _ in range(length)), candidate))
    return list(dict.fromkeys(rows))


def end_tokens(model, tokenizer, rows: list[Row]) -> list[int]:
    """Return tokens that some rows write a third into their text: with these as end tokens, rows part."""
    free = dict(generate(model, tokenizer, rows, Settings(max_new_tokens=NEW_TOKENS, batch_size=8)))
    written = [tokenizer(free[row].text)["input_ids"] for row in rows]
    return sorted({row[len(row) // 3] for row in (written[1], written[4]) if row})


def alone(model, tokenizer, row: Row, ends: list[int]) -> tuple[str, float]:
    """Return the text by plain `generate` of this row, and the smallest gap between its two best logits."""
    ids = tokenizer(row.prompt, return_tensors="pt")["input_ids"]
    with prune_heads(model, [row.candidate]):
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
        )
    best = torch.stack([step.topk(2).values[0] for step in output.logits])
    text = tokenizer.decode(output.sequences[0, ids.shape[1] :], skip_special_tokens=True)
    return text, (best[:, 0] - best[:, 1]).min().item()


@pytest.mark.parametrize("name", list(TINY))
def test_a_batch_that_shrinks_writes_what_its_rows_write_alone(name, tokenizer, monkeypatch):
    monkeypatch.setattr(fallback, "SPAN", 4)
    model = tiny_model(name)
    rows = rows_of(model, seed=len(name))
    ends = model.generation_config.eos_token_id = end_tokens(model, tokenizer, rows)
    texts = dict(generate(model, tokenizer, rows, Settings(max_new_tokens=NEW_TOKENS, batch_size=8)))
    lengths = {response.new_tokens for response in texts.values()}
    assert len(lengths) > 1, "no row left its batch early"
    ties = 0
    for row in rows:
        expected, gap = alone(model, tokenizer, row, ends)
        if texts[row].text != expected:
            assert gap < TIE, f"{row} wrote another text, its closest decision was {gap:.1e} apart"
            ties += 1
    assert ties == 0, f"{ties} near-ties in {len(rows)} rows"
