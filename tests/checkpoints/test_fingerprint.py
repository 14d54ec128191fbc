"""Fingerprints: the same for the same model anywhere, another one for any other, and every file read once."""

import hashlib
import json
import os
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from sprint_lmeval.checkpoints import fingerprint
from sprint_lmeval.checkpoints.fingerprint import adapter_fingerprint, file_sha256, model_fingerprint
from sprint_lmeval.errors import InputError
from sprint_lmeval.tiny import MODEL_FOLDER


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    """A model of a few bytes, in two files as large models are."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps({"model_type": "x", "hidden_size": 4, "transformers_version": "5"}))
    for number in (1, 2):
        (made / f"model-{number}.safetensors").write_bytes(bytes([number]) * 100)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}
    (made / "model.safetensors.index.json").write_text(json.dumps(index))
    return made


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_copy_elsewhere_is_the_same_model(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "copy")
    edit(other / "config.json", transformers_version="6", _name_or_path="elsewhere")
    (other / "README.md").write_text("a word")
    assert model_fingerprint(str(other)) == model_fingerprint(str(folder))


CHANGES = {
    "weights": lambda f: (f / "model-2.safetensors").write_bytes(b"\x03" * 100),
    "configuration": lambda f: edit(f / "config.json", hidden_size=8),
    "other files": lambda f: (f / "model.safetensors").write_bytes(b"whole"),
    "code": lambda f: (edit(f / "config.json", auto_map={"A": "m.B"}), (f / "m.py").write_text("x = 1")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_is_another_model(name, folder):
    before = model_fingerprint(str(folder))
    CHANGES[name](folder)
    assert model_fingerprint(str(folder)) != before


def test_a_file_is_read_once_until_it_changes(folder, monkeypatch):
    read, streamed = [], fingerprint._streamed
    monkeypatch.setattr(fingerprint, "_streamed", lambda path: read.append(os.path.basename(path)) or streamed(path))
    first = model_fingerprint(str(folder))
    assert sorted(read) == ["model-1.safetensors", "model-2.safetensors"]
    assert model_fingerprint(str(folder)) == first and len(read) == 2
    weights = folder / "model-1.safetensors"
    weights.write_bytes(b"\x05" * 100)
    os.utime(weights, ns=(1, 1))
    assert model_fingerprint(str(folder)) != first and read[2:] == ["model-1.safetensors"]


@pytest.mark.parametrize("damage", ["", "[]", '["a", 1, 2, "short"]', "\0" * 50])
def test_a_damaged_cache_is_read_past(damage, folder, cache):
    first = model_fingerprint(str(folder))
    for kept in cache.rglob("*.json"):
        kept.write_text(damage)
    assert model_fingerprint(str(folder)) == first


def test_a_home_that_takes_no_files_is_no_error(folder, cache):
    first = model_fingerprint(str(folder))
    shutil.rmtree(cache)
    cache.write_text("a file where the folder should be")
    assert model_fingerprint(str(folder)) == first


def test_the_hub_cache_names_its_files_by_their_content(tmp_path):
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"never read")
    link = tmp_path / "snapshots" / "model.safetensors"
    link.parent.mkdir()
    link.symlink_to(blob)
    assert file_sha256(str(link)) == "ab" * 32


def test_a_model_of_the_hub_is_the_same_as_its_folder(tmp_path):
    """As the hub's client lays it out: a branch names a commit, whose files are links to blobs."""
    repository = tmp_path / "models--own--tiny"
    commit = repository / "snapshots" / ("a" * 40)
    for made in (repository / "refs", repository / "blobs", commit):
        made.mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit.name)
    for file in (MODEL_FOLDER / "config.json", MODEL_FOLDER / "model.safetensors"):
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        (commit / file.name).symlink_to(blob)
    assert model_fingerprint("own/tiny", cache_dir=str(tmp_path), local_files_only=True) == model_fingerprint("tiny")


def test_a_loaded_model_is_known_by_its_tensors():
    model = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER)
    before = model_fingerprint(model)
    assert before == model_fingerprint(AutoModelForCausalLM.from_pretrained(MODEL_FOLDER))
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] += 1
    assert model_fingerprint(model) != before
    with pytest.raises(InputError, match="meta device"):
        model_fingerprint(model.to("meta"))


def test_tiny_is_the_folder_in_the_package():
    assert model_fingerprint("tiny") == model_fingerprint(str(MODEL_FOLDER))


def test_an_adapter_is_known_by_its_weights_and_configuration(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 4}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    first = adapter_fingerprint(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"r": 8}')
    assert adapter_fingerprint(str(tmp_path)) != first


WRONG = {
    "no configuration": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "no weights": (lambda f: (f / "model.safetensors.index.json").unlink(), "no weights"),
    "a shard is missing": (lambda f: (f / "model-2.safetensors").unlink(), "no file model-2.safetensors"),
    "configuration no JSON": (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    "configuration a list": (lambda f: (f / "config.json").write_text("[]"), "not an object"),
    "a shard elsewhere": (
        lambda f: edit(f / "model.safetensors.index.json", weight_map={"a": "../../secret"}),
        "outside of the model's folder",
    ),
    "an index without shards": (
        lambda f: edit(f / "model.safetensors.index.json", weight_map=[1]),
        "lists no weights",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_models_that_are_not_whole_are_refused(name, folder):
    change, sentence = WRONG[name]
    change(folder)
    with pytest.raises(InputError, match=sentence):
        model_fingerprint(str(folder))


def test_a_hub_id_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="no-such-owner/no-such-model"):
        model_fingerprint("no-such-owner/no-such-model", local_files_only=True)
