"""Fingerprints: the same for the same model anywhere, another one for any other, and every file read once."""

import hashlib
import json
import os
import shutil
import time

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
    "an adapter in its folder": lambda f: (f / "adapter_config.json").write_text("{}"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_is_another_model(name, folder):
    before = model_fingerprint(str(folder))
    CHANGES[name](folder)
    assert model_fingerprint(str(folder)) != before


@pytest.fixture
def read(monkeypatch):
    """What is read, on a disk that tells when a file changed, and without the minute's rest."""
    sums, streamed = [], fingerprint._streamed
    monkeypatch.setattr(fingerprint, "_streamed", lambda stream: sums.append(streamed(stream)) or sums[-1])
    monkeypatch.setattr(fingerprint, "REST_NS", -1)
    monkeypatch.setattr(fingerprint, "_file_system", lambda path: "ext4")
    return sums


def in_place(path, content):
    """Other content in the same file, of the same size, with the old times as far as they can be set."""
    before = path.stat()
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def renamed(path, content):
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)


def copied(path, content):
    """`cp -p` of another checkpoint's file over this one."""
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    shutil.copy2(other, path)
    other.unlink()


def linked_elsewhere(path, content):
    path.rename(path.with_name("first"))
    path.with_name("second").write_bytes(content)
    path.symlink_to("second")


@pytest.mark.parametrize("swap", [in_place, renamed, copied, linked_elsewhere])
def test_a_file_is_read_once_until_it_changes(swap, folder, read):
    first = model_fingerprint(str(folder))
    assert read == [hashlib.sha256(bytes([number]) * 100).hexdigest() for number in (1, 2)]
    assert model_fingerprint(str(folder)) == first and len(read) == 2
    time.sleep(0.02)  # more than a tick of the disk's clock
    swap(folder / "model-1.safetensors", b"\x05" * 100)
    second = model_fingerprint(str(folder))
    assert second != first and len(read) == 3
    assert model_fingerprint(str(folder)) == second


@pytest.mark.parametrize(
    "uncertain", [{"REST_NS": 10**10}, {"_file_system": lambda path: "fuse.sshfs"}, {"_file_system": lambda path: None}]
)
def test_a_file_whose_times_may_not_tell_is_read_each_time(uncertain, folder, read, monkeypatch):
    for name, value in uncertain.items():
        monkeypatch.setattr(fingerprint, name, value)
    assert model_fingerprint(str(folder)) == model_fingerprint(str(folder)) and len(read) == 4


def test_a_file_that_changes_while_it_is_read_is_not_kept(folder, read, monkeypatch):
    streamed, weights = fingerprint._streamed, folder / "model-1.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(fingerprint, "_streamed", lambda stream: (streamed(stream), in_place(weights, b"7"))[0])
        first = model_fingerprint(str(folder))
    assert model_fingerprint(str(folder)) != first


def test_the_kind_of_file_system_is_that_of_the_nearest_mount():
    assert fingerprint._file_system("/proc/self/status") == "proc"
    assert fingerprint._file_system("/no/such/file") == fingerprint._file_system("/")


def test_a_swap_of_any_one_tensor_is_seen(tmp_path, read):
    """Same name, size and modification time, the header unchanged: two values of one tensor change their positions."""
    folder = shutil.copytree(MODEL_FOLDER, tmp_path / "copy")
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    found = {model_fingerprint(str(folder))}
    tensors = [value["data_offsets"] for name, value in header.items() if name != "__metadata__"]
    for begin, end in tensors:
        data = bytearray(content)
        data[start + begin : start + end] = data[start + begin : start + end][::-1]
        in_place(weights, bytes(data))
        time.sleep(0.02)
        found.add(model_fingerprint(str(folder)))
    assert len(found) == 1 + len(tensors) and len(tensors) > 30


@pytest.mark.parametrize("damage", ["", "[]", '["a", 1, 2, "short"]', "\0" * 50])
def test_a_damaged_cache_is_read_past(damage, folder, cache, read):
    first = model_fingerprint(str(folder))
    kept = list(cache.rglob("*.json"))
    for file in kept:
        file.write_text(damage)
    assert model_fingerprint(str(folder)) == first and len(kept) == 2 and len(read) == 4


def test_a_home_that_takes_no_files_is_no_error(folder, cache, read):
    first = model_fingerprint(str(folder))
    shutil.rmtree(cache)
    cache.write_text("a file where the folder should be")
    assert model_fingerprint(str(folder)) == first


def test_a_blob_of_the_hub_s_cache_that_was_written_through_is_seen(tmp_path, read):
    """The hub's client names a blob by its content: the name is not believed."""
    content = b"weights"
    blob = tmp_path / "blobs" / hashlib.sha256(content).hexdigest()
    blob.parent.mkdir()
    blob.write_bytes(content)
    link = tmp_path / "snapshots" / "model.safetensors"
    link.parent.mkdir()
    link.symlink_to(blob)
    assert file_sha256(str(link)) == blob.name
    time.sleep(0.02)
    in_place(link, b"changed")
    assert file_sha256(str(link)) == hashlib.sha256(b"changed").hexdigest()


def test_a_model_of_the_hub_is_the_same_as_its_folder(tmp_path):
    """As the hub's client lays it out: a branch names a commit, whose files are links to blobs."""
    code = {"m.py": "from .n import x\n", "n.py": "x = 1\n"}
    folder = shutil.copytree(MODEL_FOLDER, tmp_path / "folder")
    edit(folder / "config.json", auto_map={"A": "m.B"})
    for name, source in code.items():
        (folder / name).write_text(source)
    repository = tmp_path / "models--own--tiny"
    commit = repository / "snapshots" / ("a" * 40)
    for made in (repository / "refs", repository / "blobs", commit):
        made.mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit.name)
    for file in map(folder.joinpath, ("config.json", "model.safetensors", *code)):
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        (commit / file.name).symlink_to(blob)
    own = {"cache_dir": str(tmp_path), "local_files_only": True}
    assert model_fingerprint("own/tiny", **own) == model_fingerprint(str(folder))
    (folder / "n.py").write_text("x = 2\n")
    assert model_fingerprint("own/tiny", **own) != model_fingerprint(str(folder))


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
    in_place(tmp_path / "adapter_model.safetensors", b"WEIGHTS")
    second = adapter_fingerprint(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"r": 8}')
    assert len({first, second, adapter_fingerprint(str(tmp_path))}) == 3


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("auto_map", [{"A": "m.B"}, {"A": ["m.B", None]}])
@pytest.mark.parametrize("module", ["m.py", "imported.py", "by_imported.py", "folder/by_hand.py"])
def test_modules_that_code_of_a_model_imports_belong_to_it(file, auto_map, module, folder):
    (folder / "tokenizer_config.json").write_text("{}")
    edit(folder / file, auto_map=auto_map)
    (folder / "folder").mkdir()
    sources = {"m.py": "from .imported import x\n", "imported.py": "import .by_imported\n", "by_imported.py": "x = 1\n"}
    for name, source in {**sources, "folder/by_hand.py": "x = 2\n"}.items():
        (folder / name).write_text(source)
    first = model_fingerprint(str(folder))
    in_place(folder / module, b"#")
    assert model_fingerprint(str(folder)) != first


def test_code_of_another_place_counts_where_it_is_trusted(folder, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "m.py").write_text("x = 1")
    edit(folder / "config.json", auto_map={"A": f"{tmp_path / 'code'}--m.B"})
    first, trusted = (model_fingerprint(str(folder), trust_remote_code=trust) for trust in (False, True))
    in_place(tmp_path / "code" / "m.py", b"y = 1")
    again = [model_fingerprint(str(folder), trust_remote_code=trust) for trust in (False, True)]
    assert again[0] == first and len({first, trusted, again[1]}) == 3


WRONG = {
    "no configuration": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "no weights": (lambda f: (f / "model.safetensors.index.json").unlink(), "no weights"),
    "a shard is missing": (lambda f: (f / "model-2.safetensors").unlink(), "no file model-2.safetensors"),
    "configuration no JSON": (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
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
