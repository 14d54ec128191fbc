"""Which models and settings are decoded the fast way, and that a model which only seems to allow it is found out."""

import pytest
import torch

from benchmarks.tiny_architectures import tiny_model
from sprint_lmeval.candidates import BASE
from sprint_lmeval.generation.fast import forward, supported
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.supported import repetition_penalty, stretched, why_not_fast
from sprint_lmeval.generation.rows import Settings
from sprint_lmeval.pruning.hooks import head_layout


@pytest.fixture
def llama():
    return tiny_model("Llama")


def reason(model, longest: int = 40, **settings) -> str | None:
    return why_not_fast(model, head_layout(model), Settings(max_new_tokens=8, **settings), longest)


def test_a_common_decoder_is_fast(llama):
    assert reason(llama) is None


@pytest.mark.parametrize("name", ["no_repeat_ngram_size", "min_new_tokens", "bad_words_ids"])
def test_settings_that_only_generate_computes(llama, name):
    assert name in reason(llama, generate_arguments={name: 3})


def test_the_checkpoint_may_ask_for_them_too(llama):
    llama.generation_config.no_repeat_ngram_size = 2
    assert "no_repeat_ngram_size" in reason(llama)


def test_the_penalty_is_that_of_the_settings_else_of_the_checkpoint(llama):
    assert repetition_penalty(llama, Settings(max_new_tokens=1)) == 1.0
    llama.generation_config.repetition_penalty = 1.1
    assert reason(llama) is None
    assert repetition_penalty(llama, Settings(max_new_tokens=1)) == 1.1
    assert repetition_penalty(llama, Settings(max_new_tokens=1, generate_arguments={"repetition_penalty": 2})) == 2.0


def test_windows_shorter_than_the_text():
    model = tiny_model("Mistral")
    model.config.sliding_window = 64
    assert "its window of 64 tokens" in reason(model, longest=65)
    assert reason(model, longest=64) is None


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_positions_that_depend_on_the_longest_row(llama, kind):
    assert stretched(llama, 10_000) is None
    llama.config.rope_parameters = {"rope_type": kind, "factor": 2.0, "original_max_position_embeddings": 32}
    assert kind in reason(llama, longest=33)
    assert stretched(llama, 33) == kind
    assert stretched(llama, 32) is None


def test_a_model_that_returns_all_logits(llama, monkeypatch):
    forward = type(llama).forward
    monkeypatch.setattr(type(llama), "forward", lambda self, *a, logits_to_keep=0, **k: forward(self, *a, **k))
    rows = Passes(llama, head_layout(llama), 12)
    logits = rows.run(rows.cache(1), [[1, 2, 3, 4]], [BASE], 2)
    assert logits.shape[1] == 2
    assert torch.allclose(logits, forward(llama, torch.tensor([[1, 2, 3, 4]])).logits[:, -2:], atol=1e-5)
    assert reason(llama) is None


def test_the_check_is_made_anew_for_another_attention(llama, monkeypatch):
    assert reason(llama) is None
    monkeypatch.setattr(forward.Passes, "_mask", lambda self, visible: torch.ones_like(visible))
    assert reason(llama) is None, "remembered"
    llama.config._attn_implementation_internal = "eager"
    assert "differ" in reason(llama)


def test_attention_that_takes_no_mask_per_row(llama):
    llama.config._attn_implementation_internal = "flash_attention_2"
    assert "flash_attention_2" in reason(llama)


def test_a_model_that_ignores_the_mask_is_found_out(llama, monkeypatch):
    monkeypatch.setattr(forward.Passes, "_mask", lambda self, visible: torch.ones_like(visible))
    assert "differ" in reason(llama)


def test_a_model_that_fails_is_found_out(llama, monkeypatch):
    def refuse(*args, **kwargs):
        raise TypeError("unexpected keyword argument 'logits_to_keep'")

    monkeypatch.setattr(supported.Passes, "run", refuse)
    assert "TypeError" in reason(llama)


def test_after_the_check_the_model_is_as_before(llama):
    ids = torch.arange(6)[None]
    before = llama(ids).logits
    assert reason(llama) is None
    assert torch.equal(llama(ids).logits, before)
    assert llama.config._attn_implementation == "sdpa"
    assert all("forward" not in module.__dict__ for module in llama.modules())
