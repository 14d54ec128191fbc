"""Adapters are the pruned heads: PEFT with them computes what the hooks do; what cannot be made is refused."""

import json
import os
import stat
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from benchmarks.tiny_architectures import TINY, tiny_model
from sprint_lmeval.adapters.cache import AdapterCache
from sprint_lmeval.adapters.maker import ENGINE_RANKS, AdapterMaker, adapter_name, engine_rank, make_adapters
from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.errors import InputError
from sprint_lmeval.pruning.hooks import head_layout, prune_heads
from sprint_lmeval.pruning.self_test import zeroed
from sprint_lmeval.tiny import MODEL_FOLDER

CANDIDATES = parse_candidates("L1H2:L0H0+L2H3:L1H0+L1H3+L2H1")


def tokens(model, rows: int = 2) -> torch.Tensor:
    return (torch.arange(rows * 9) * 37 + 11).view(rows, 9) % model.config.get_text_config().vocab_size


@torch.no_grad()
def logits(model, ids: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def saved(model, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    return saved(tiny_model("GPT-2"), tmp_path_factory.mktemp("gpt2"))


@pytest.mark.parametrize("name", TINY)
def test_peft_with_an_adapter_equals_the_hooks(name, tmp_path):
    model = tiny_model(name)
    maker = AdapterMaker(str(saved(model, tmp_path / "model")))
    assert dict(make_adapters(maker, [BASE, *CANDIDATES], tmp_path / "adapters")) == dict.fromkeys(CANDIDATES, True)
    ids = tokens(model)
    plain = logits(model, ids)
    for candidate in CANDIDATES:
        with prune_heads(model, [candidate] * len(ids)):
            hooked = logits(model, ids)
        wrapped = peft.PeftModel.from_pretrained(tiny_model(name), tmp_path / "adapters" / str(candidate))
        scale = plain.abs().max().item()
        unmerged = logits(wrapped, ids)
        assert (unmerged - plain).abs().max() > 1e-3 * scale
        assert (unmerged - hooked).abs().max() < 2e-6 * scale
        merged = wrapped.merge_and_unload()
        with zeroed(head_layout(model), candidate):
            by_hand = logits(model, ids)
        assert torch.equal(logits(merged, ids), by_hand), "merged, the columns are exactly zero"


def test_bfloat16_merged_is_exact_and_unmerged_is_rounding(tmp_path):
    """Unmerged, W x and B A x are rounded before they are added: the only difference."""
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.bfloat16)
    (candidate,) = parse_candidates("L1H2+L3H4")
    list(make_adapters(AdapterMaker("tiny"), [candidate], tmp_path))
    ids = tokens(model, 8)
    with prune_heads(model, [candidate] * 8):
        hooked = logits(model, ids)
    effect = (hooked - logits(model, ids)).abs().max()
    options = {"autocast_adapter_dtype": False}
    wrapped = peft.PeftModel.from_pretrained(model, tmp_path / str(candidate), **options)
    assert (logits(wrapped, ids) - hooked).abs().max() < 0.1 * effect
    merged = wrapped.merge_and_unload()
    columns = slice(2 * 32, 3 * 32)
    assert (merged.model.layers[1].self_attn.o_proj.weight[:, columns] == 0).all()
    assert torch.equal(logits(merged, ids), hooked)


def test_zeros_up_to_the_rank_change_nothing(tmp_path):
    maker = AdapterMaker("tiny")
    (candidate,) = parse_candidates("L1H2+L1H3+L2H0")
    smallest, filled = maker.tensors(candidate), maker.tensors(candidate, 128)
    assert [t.shape for t in smallest.values()] == [(64, 256), (256, 64)] * 2
    assert [t.shape for t in filled.values()] == [(128, 256), (256, 128)] * 2
    for (name, small), wide in zip(smallest.items(), filled.values(), strict=True):
        across = name.endswith("lora_B.weight")
        assert torch.equal(small, wide[:, :64] if across else wide[:64])
        assert not (wide[:, 64:] if across else wide[64:]).any()
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32)
    ids = tokens(model)
    with prune_heads(model, [candidate] * len(ids)):
        hooked = logits(model, ids)
    maker.write(candidate, tmp_path / "wide", 128)
    wrapped = peft.PeftModel.from_pretrained(model, tmp_path / "wide")
    assert wrapped.peft_config["default"].r == 128
    assert (logits(wrapped, ids) - hooked).abs().max() < 1e-4


def test_an_adapter_of_zeros_is_the_unpruned_model(tmp_path):
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32)
    ids = tokens(model)
    plain = logits(model, ids)
    assert AdapterMaker("tiny").write_nothing(tmp_path / "base")
    wrapped = peft.PeftModel.from_pretrained(model, tmp_path / "base")
    assert wrapped.peft_config["default"].r == 1
    assert torch.equal(logits(wrapped, ids), plain)


def test_ranks_for_engines():
    layout = AdapterMaker("tiny").layout  # head_dim 32
    heads = [Candidate(tuple((2, head) for head in range(n))) for n in range(9)]
    assert [engine_rank(layout, [BASE, c]) for c in heads] == [1, 32, 64, 128, 128, 256, 256, 256, 256]
    assert engine_rank(layout, heads) == 256 and engine_rank(layout, []) == 1
    assert set(ENGINE_RANKS) >= {32, 64, 128, 256}
    wide = AdapterMaker("tiny").layout
    layers = tuple(layer._replace(head_dim=128) for layer in wide.layers)
    with pytest.raises(InputError, match=r"L2H0\+.* silences 640 values of one layer, .* at most 512: prune fewer"):
        engine_rank(type(wide)("x", layers, wide.names), [heads[1], heads[5]])


def test_each_adapter_is_written_once(gpt2, tmp_path):
    maker = AdapterMaker(str(gpt2))
    (candidate,) = parse_candidates("L1H2")
    folder = tmp_path / "L1H2"
    assert maker.write(candidate, folder)
    stamps = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    assert not AdapterMaker(str(gpt2)).write(candidate, folder)
    assert [path.stat().st_mtime_ns for path in sorted(folder.iterdir())] == stamps
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    (folder / "adapter_config.json").unlink()  # a run that was killed before the last file
    assert maker.write(candidate, folder)


def test_another_adapter_in_the_folder_is_refused(gpt2, tmp_path):
    maker, folder = AdapterMaker(str(gpt2)), tmp_path / "L1H2"
    (candidate,) = parse_candidates("L1H2")
    changed = tiny_model("GPT-2")
    for weight in changed.parameters():
        weight.data += 0.1
    assert AdapterMaker(str(saved(changed, tmp_path / "changed"))).write(candidate, folder, rank=64)
    with pytest.raises(InputError, match=r"L1H2 holds another adapter .* --overwrite"):
        maker.write(candidate, folder)
    assert maker.write(candidate, folder, overwrite=True) and rank_of(folder) == 8
    for rank in ("64", 63, 1 << 40, True, [8], None):
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, "r": rank}))
        with pytest.raises(InputError, match="holds another adapter"):
            maker.write(candidate, folder)


def rank_of(folder: Path) -> int:
    weights = load_file(folder / "adapter_model.safetensors")
    (rank,) = {tensor.shape["lora_B" in name] for name, tensor in weights.items()}
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == rank
    return rank


def test_an_adapter_that_differs_in_zeros_only_is_the_same(gpt2, tmp_path):
    maker, folder = AdapterMaker(str(gpt2)), tmp_path / "L1H2"
    (candidate,) = parse_candidates("L1H2")
    assert maker.write(candidate, folder) and rank_of(folder) == 8
    assert not maker.write(candidate, folder, rank=64), "narrower, which an engine of rank 64 takes"
    assert maker.write(candidate, folder, rank=64, overwrite=True) and rank_of(folder) == 64
    assert not maker.write(candidate, folder), "wider"
    assert maker.write(candidate, folder, at_most=32) and rank_of(folder) == 8, "too wide for that engine"


def test_one_folder_serves_runs_of_other_ranks_and_layers(gpt2, tmp_path):
    """`base` and a candidate's adapter do not depend on the other candidates of a run."""
    maker = AdapterMaker(str(gpt2))
    for candidates, rank in (("L1H2", 8), ("L2H3", 8), ("L0H0:L1H2", 8), ("L1H2:L1H3+L1H1", 16), ("L1H2:L2H1", 8)):
        cache = AdapterCache(maker, parse_candidates(candidates), str(tmp_path))
        assert cache.rank == rank
        for candidate in (BASE, *parse_candidates(candidates)):
            assert rank_of(cache.path(candidate)) <= rank
    assert sorted(path.name for path in tmp_path.iterdir()) == ["L0H0", "L1H1+L1H3", "L1H2", "L2H1", "L2H3", "base"]


def test_shards_and_other_prefixes(tmp_path):
    model = tiny_model("Llama")
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 3
    saved(model, tmp_path / "whole")
    (candidate,) = parse_candidates("L0H1+L2H3")
    whole = AdapterMaker(str(tmp_path / "whole")).tensors(candidate)
    weights = load_file(tmp_path / "whole" / "model.safetensors")
    for rename in ("language_model.{}", "{}"):
        renamed = {rename.format(name.removeprefix("model.")): tensor for name, tensor in weights.items()}
        save_file(renamed, tmp_path / "whole" / "model.safetensors", {"format": "pt"})
        again = AdapterMaker(str(tmp_path / "whole")).tensors(candidate)
        assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    sharded = AdapterMaker(str(tmp_path / "sharded")).tensors(candidate)
    assert all(torch.equal(sharded[name], tensor) for name, tensor in whole.items())


def changed(folder: Path, change) -> str:
    """Save a small Llama whose tensors `change` has altered."""
    saved(tiny_model("Llama"), folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


NAME = "model.layers.1.self_attn.o_proj.weight"
BROKEN = {
    "fused with another": (lambda w: w.update({NAME: torch.zeros(96, 48)}), r"o_proj is \[96, 48\] .*fused"),
    "under another name": (lambda w: w.update({"model.layers.1.fused.weight": w.pop(NAME)}), "no tensor of that name"),
    "twice": (lambda w: w.update({f"a.{NAME}": w[NAME] * 1, f"b.{NAME}": w.pop(NAME)}), "2 tensors of that name"),
    "whole numbers": (lambda w: w.update({NAME: w[NAME].to(torch.int8)}), r"stored as torch.int8 \(quantised\)"),
    "eight-bit floats": (lambda w: w.update({NAME: w[NAME].to(torch.float8_e4m3fn)}), "stored as torch.float8"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_projections_that_cannot_be_taken_are_refused_by_name(what, tmp_path):
    change, said = BROKEN[what]
    maker = AdapterMaker(changed(tmp_path / "model", change))
    maker.tensors(Candidate(((0, 1),)))
    with pytest.raises(InputError, match=said) as refusal:
        maker.tensors(Candidate(((1, 1),)))
    assert "hf-pruned-bon" in str(refusal.value)


def test_models_without_plain_weights_are_refused(gpt2, tmp_path):
    folder = saved(tiny_model("Llama"), tmp_path / "quantised")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(InputError, match=r"quantised is quantised, .* give the unquantised model"):
        AdapterMaker(str(folder))
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_bytes((gpt2 / "config.json").read_bytes())
    torch.save(tiny_model("GPT-2").state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match="no safetensors files"):
        AdapterMaker(str(pickled))
    cut = saved(tiny_model("Llama"), tmp_path / "cut")
    os.truncate(cut / "model.safetensors", 1000)
    with pytest.raises(InputError, match=r"model.safetensors cannot be read .*: restore the model's files"):
        AdapterMaker(str(cut))


def test_wrong_candidates_are_refused(gpt2, tmp_path):
    maker = AdapterMaker(str(gpt2))
    for candidate, said in (
        (BASE, "base given, the unpruned model needs no adapter"),
        (Candidate(((3, 0),)), "layer 3 given, the model has layers 0-2"),
        (Candidate(((0, 4),)), "head 4 of layer 0 given"),
    ):
        with pytest.raises(InputError, match=said):
            maker.write(candidate, tmp_path / "a")
    with pytest.raises(InputError, match=r"rank 8 given, L0H0\+L0H1 needs at least 16"):
        maker.write(Candidate(((0, 0), (0, 1))), tmp_path / "a", rank=8)
    many = Candidate(tuple((layer, head) for layer in range(10) for head in range(9)))
    with pytest.raises(InputError, match="has 90 heads, too many for an adapter's name"):
        adapter_name(many)


def test_a_full_disk_is_one_sentence(gpt2, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"L0H0/\S+ cannot be written \(No space left on device\): give another place"):
        AdapterMaker(str(gpt2)).write(Candidate(((0, 0),)), tmp_path / "L0H0")
    assert list((tmp_path / "L0H0").iterdir()) == [], "nothing half-written stays"


def test_a_file_in_the_folder_s_place(gpt2, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        AdapterMaker(str(gpt2)).write(Candidate(((0, 0),)), tmp_path / "out" / "L0H0")
