"""The sentence encoder: where it is found, what it refuses, and that the same questions give the same vectors."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sprint_lmeval.errors import InputError
from sprint_lmeval.selection.encoder import DEFAULT_ENCODER, Encoder, check_embeddings, weights_fingerprint

QUESTIONS = ["Tom has 3 pens and buys 4 more. How many pens has he?", "How old is Anna?", "A bus drives 30 km."]
KNOWN = "5c5115593387df0e99baa01c601f4d69c14fa6410193a561cf7e4c0c9a45d59b"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.find()


def test_the_default_is_found_offline_and_is_the_known_one(encoder):
    assert encoder.name == DEFAULT_ENCODER
    assert encoder.fingerprint == KNOWN


def test_one_unit_vector_for_each_question_in_their_order(encoder):
    vectors = encoder.encode([*QUESTIONS, QUESTIONS[0]])
    assert vectors.shape == (4, 384) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors[3] == vectors[0]).all() and not np.allclose(vectors[1], vectors[0], atol=0.01)
    assert np.allclose(encoder.encode(QUESTIONS[::-1]), vectors[2::-1], atol=1e-6)
    assert (encoder.encode(QUESTIONS) == encoder.encode(QUESTIONS)).all()


@pytest.mark.parametrize("question", ["", "  \n", None, 7])
def test_an_empty_question_is_refused(encoder, question):
    with pytest.raises(InputError, match="question 1 is empty"):
        encoder.encode([QUESTIONS[0], question])


def test_no_questions_need_no_model():
    unread = Encoder("x", Encoder.find().folder)
    assert len(unread.encode([])) == 0 and unread._model is None


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.array([[1.0, np.nan]]), "not finite"),
        (np.array([[0.0, 0.0]]), "all zero"),
        (np.ones((2, 3)), "shape"),
        (np.ones((1, 0)), "shape"),
    ],
)
def test_broken_vectors_are_refused(vectors, said):
    with pytest.raises(InputError, match=said):
        check_embeddings(vectors, 1)


def test_the_fingerprint_is_of_the_weights_and_nothing_else(encoder, tmp_path):
    weights = load_file(encoder.folder / "model.safetensors")
    first = next(name for name in weights if name.endswith("LayerNorm.bias"))
    small = {first: weights[first], "embeddings.position_ids": torch.arange(3)}
    save_file(small, tmp_path / "with.safetensors")
    save_file({first: weights[first]}, tmp_path / "without.safetensors", {"format": "pt"})
    save_file({first: weights[first] + 1e-6}, tmp_path / "other.safetensors")
    assert weights_fingerprint(tmp_path / "with.safetensors") == weights_fingerprint(tmp_path / "without.safetensors")
    assert weights_fingerprint(tmp_path / "other.safetensors") != weights_fingerprint(tmp_path / "with.safetensors")


def test_folders_that_are_no_encoder_are_refused_in_one_sentence(encoder, tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        Encoder.find(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"no modules\.json"):
        Encoder.find(str(tmp_path))
    for part in encoder.folder.iterdir():
        if part.is_file() and part.name != "model.safetensors":
            shutil.copy(part, tmp_path)
    with pytest.raises(InputError, match=r"no model\.safetensors"):  # a pickle beside would not do either
        Encoder.find(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04not tensors")
    broken = Encoder.find(str(tmp_path))
    with pytest.raises(InputError, match="not a readable safetensors file"):
        _ = broken.fingerprint
    with pytest.raises(InputError, match="cannot be read"):
        broken.encode(QUESTIONS)


def test_without_the_package_and_the_hub_the_sentence_names_the_ways_out(monkeypatch):
    monkeypatch.setattr("sprint_lmeval.selection.encoder.PACKAGE", "no_such_package")
    monkeypatch.setattr("sprint_lmeval.selection.encoder.DEFAULT_ENCODER", "nobody/no-such-encoder")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"is not here .*sprint-lmeval\[encoder\]"):
        Encoder.find()


def test_importing_it_loads_nothing_heavy():
    heavy = "('torch', 'sentence_transformers')"
    code = f"import sys, sprint_lmeval.selection.encoder; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
