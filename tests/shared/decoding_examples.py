"""The embedded model decoding rows, with the fast decoder's shortcuts and without."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.generation import decode as generation
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.rows import Settings
from sprint_lmeval.tiny import MODEL_FOLDER
from sprint_lmeval.tiny.problems import problems

HEADS = [Candidate(((layer, head),)) for layer in range(4) for head in range(8)]


@pytest.fixture(scope="module")
def tiny():
    model = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(MODEL_FOLDER)


@pytest.fixture
def plain(monkeypatch, tiny):
    """Decode without shortcuts."""

    def decode(rows, **settings) -> dict:
        with monkeypatch.context() as patch:
            patch.setattr(generation, "why_not_fast", lambda *args: "not in this test")
            return fast(tiny, rows, **settings)

    return decode


def fast(tiny, rows, **settings) -> dict:
    options = {"max_new_tokens": 70, "batch_size": 24} | settings
    return dict(generate(*tiny, rows, Settings(**options)))


def prompts(count: int) -> list[str]:
    return [p.prompt for p in problems("train")[:count]]
