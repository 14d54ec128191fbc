"""`store=` of the harness model: nothing is generated twice, nothing wrong is reused, weights wait until needed."""

import json
import shutil
import sqlite3
from dataclasses import replace

import pytest
import torch
from lm_eval.api.instance import Instance
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.store.database import Store
from sprint_lmeval.store.keys import model_facts, row_key, run_key, tokenizer_digest
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.harness_requests import count_rows, model, requests

FIXED = "base:L1H2:L3H4:L0H0+L2H7"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "answers.sqlite")


def answered(lm: HFPrunedBestOfN, asked: list[Instance]) -> list[tuple]:
    return [(str(r), r.candidate, r.truncated, r.new_tokens) for r in lm.generate_until(asked)]


def test_a_second_run_loads_no_weights_and_says_the_same(path):
    plain = answered(model(head_masks=FIXED), requests(4))
    first = model(head_masks=FIXED, store=path)
    assert not first.weights_loaded
    assert answered(first, requests(4)) == plain
    assert first.weights_loaded and first.self_test.effect > 0
    assert first.get_model_info()["sprint"]["store"] == {"file": "answers.sqlite", "reused": 0, "generated": 12}
    second = model(head_masks=FIXED, store=path, batch_size=5)
    generated = count_rows(second)
    assert answered(second, requests(4)) == plain
    assert not second.weights_loaded and generated == []
    info = json.loads(json.dumps(second.get_model_info(), default=str))
    assert info["sprint"]["store"] == {"file": "answers.sqlite", "reused": 12, "generated": 0}
    assert info["sprint"]["self_test"] is None
    loaded = json.loads(json.dumps(first.get_model_info(), default=str))
    same = ("model_num_parameters", "model_dtype", "model_revision")
    assert [info[key] for key in same] == [loaded[key] for key in same]
    same = ("attention", "checkpoint_generation_config", "heads_per_layer", "fingerprint", "architecture")
    assert [info["sprint"][key] for key in same] == [loaded["sprint"][key] for key in same]


def test_other_strategies_reuse_the_same_heads(path):
    answered(model(head_masks=FIXED, store=path), requests(4))
    other = model(head_masks="L3H4:L1H1:base", store=path)
    generated = count_rows(other)
    assert answered(other, requests(3)) == answered(model(head_masks="L3H4:L1H1:base"), requests(3))
    assert {str(row.candidate) for row in generated} == {"L1H1"}
    assert other.stored.described()["reused"] == 6
    base = model(strategy="base", store=path)
    base.generate_until(requests(16))
    assert base.stored.described()["reused"] == 3 and not base.weights_loaded


def test_a_run_that_breaks_off_keeps_what_it_had(path, monkeypatch):
    whole = answered(model(head_masks=FIXED), requests(4))
    broken = model(head_masks=FIXED, store=path, batch_size=4)
    generate = type(broken)._generate

    def breaking(self, rows, settings):
        for number, done in enumerate(generate(self, rows, settings)):
            if number == 5:
                raise KeyboardInterrupt
            yield done

    with monkeypatch.context() as patched:
        patched.setattr(HFPrunedBestOfN, "_generate", breaking)
        with pytest.raises(KeyboardInterrupt):
            broken.generate_until(requests(4))
    again = model(head_masks=FIXED, store=path)
    assert answered(again, requests(4)) == whole
    assert again.stored.described() == {"file": "answers.sqlite", "reused": 5, "generated": 7}


def test_stored_answers_come_without_a_progress_bar_too(path):
    whole = [str(text) for text in model(head_masks=FIXED, store=path).generate_until(requests(3), disable_tqdm=True)]
    again = model(head_masks=FIXED, store=path).generate_until(requests(3), disable_tqdm=True)
    assert [str(text) for text in again] == whole


def test_a_damaged_response_is_generated_anew_and_counted(path):
    whole = answered(model(head_masks=FIXED, store=path), requests(4))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE responses SET text = CAST(text || 'x' AS BLOB) WHERE key = (SELECT min(key) FROM responses)"
        )
    connection.close()
    again = model(head_masks=FIXED, store=path)
    assert answered(again, requests(4)) == whole
    info = again.get_model_info()["sprint"]["store"]
    assert info == {"file": "answers.sqlite", "reused": 11, "generated": 1, "damaged": 1}
    third = model(head_masks=FIXED, store=path)
    assert answered(third, requests(4)) == whole
    assert third.stored.described() == {"file": "answers.sqlite", "reused": 12, "generated": 0}


def test_samples_are_kept_by_their_seeds(path):
    settings = {"temperature": 2.0, "do_sample": True}
    first = answered(model(strategy="sample", store=path), requests(3, **settings))
    again = model(strategy="sample", store=path)
    assert answered(again, requests(3, **settings)) == first
    assert not again.weights_loaded
    other = model(strategy="sample", strategy_seed=1, store=path)
    assert answered(other, requests(3, **settings)) != first
    cooler = model(strategy="sample", store=path)
    cooler.generate_until(requests(3, **settings | {"temperature": 1.0}))
    assert [lm.stored.described()["reused"] for lm in (other, cooler)] == [0, 0]


def test_a_loaded_model_is_stored_by_its_tensors(path):
    loaded = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER)
    model(pretrained=loaded, head_masks="L1H2", store=path).generate_until(requests(1))
    again = model(pretrained=loaded, head_masks="L1H2", store=path)
    again.generate_until(requests(1))
    assert again.stored.described()["reused"] == 3
    with torch.no_grad():
        loaded.model.layers[1].mlp.up_proj.weight += 0.01
    changed = model(pretrained=loaded, head_masks="L1H2", store=path)
    changed.generate_until(requests(1))
    assert changed.stored.described() == {"file": "answers.sqlite", "reused": 0, "generated": 3}


def test_scoring_loads_the_weights(path):
    lm = model(head_masks="L1H2", store=path)
    asked = [Instance("loglikelihood", {}, ("Question: 1 + 1", " 2"), 0)]
    assert not lm.weights_loaded
    assert lm.loglikelihood(asked) == model(head_masks="L1H2").loglikelihood(asked)


def test_a_store_without_this_model_says_what_differs(path, harness_log):
    model(head_masks="L1H2", store=path).generate_until(requests(1))
    other = model(head_masks="L1H2", store=path, dtype="bfloat16")
    other.generate_until(requests(1))
    assert other.stored.described() == {"file": "answers.sqlite", "reused": 0, "generated": 3}
    assert "none for this run: model.dtype differ" in harness_log.text


def test_a_damaged_store_stops_the_run_before_the_model_loads(path, monkeypatch):
    with open(path, "w") as stream:
        stream.write("no store")
    monkeypatch.setattr("sprint_lmeval.models.hf.LazyWeights.__init__", lambda *a, **k: pytest.fail("loaded"))
    with pytest.raises(InputError, match="is not a store"):
        model(head_masks="L1H2", store=path)


def test_a_stand_in_that_promised_another_model_is_refused(path, monkeypatch):
    lm = model(head_masks="L1H2", store=path)
    lm._model.generation_config.repetition_penalty = 1.5
    with pytest.raises(InputError, match="another generation_config"):
        lm.generate_until(requests(1))


def test_files_that_change_before_the_weights_are_loaded_end_the_run(path, tmp_path):
    """Else the texts of the new weights would stand in the store under the fingerprint of the old ones."""
    folder = shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    lm = model(pretrained=str(folder), head_masks="L1H2", store=path)
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor + 0.1 for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="files changed between the start of this run and the loading"):
        lm.generate_until(requests(1))
    assert lm.stored.described() == {"file": "answers.sqlite", "reused": 0, "generated": 0}
    assert lm.stored.store.count() == 0


def test_an_adapter_has_answers_of_its_own(path, tmp_path):
    import peft

    torch.manual_seed(0)
    for name in ("one", "two"):
        config = peft.LoraConfig(r=4, target_modules=["o_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
        adapted = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(MODEL_FOLDER), config)
        adapted.save_pretrained(tmp_path / name)
    plain = answered(model(head_masks="L1H2", store=path), requests(1))
    one = answered(model(head_masks="L1H2", store=path, peft=str(tmp_path / "one")), requests(1))
    two = model(head_masks="L1H2", store=path, peft=str(tmp_path / "two"))
    assert plain != one == answered(model(head_masks="L1H2", peft=str(tmp_path / "one")), requests(1))
    answered(two, requests(1))
    assert two.stored.described()["reused"] == 0
    again = model(head_masks="L1H2", store=path, peft=str(tmp_path / "one"))
    assert answered(again, requests(1)) == one and not again.weights_loaded


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("rows", [-8, 0, 24])
@pytest.mark.parametrize(
    "trained",
    [
        {"target_modules": ["o_proj"]},
        {"target_modules": ["o_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["o_proj"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["o_proj", "lm_head", "embed_tokens"]},
    ],
    ids=str,
)
def test_an_adapter_loads_as_in_peft_whatever_the_rows_of_the_embeddings(trained, rows, stored, path, tmp_path):
    """More rows than the tokenizer has tokens, as many, or fewer (tokens were added when the adapter was trained)."""
    import peft

    torch.manual_seed(0)
    tokens = len(AutoTokenizer.from_pretrained(MODEL_FOLDER))
    base = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32)
    base.resize_token_embeddings(tokens + rows)
    base.save_pretrained(tmp_path / "base")
    for file in MODEL_FOLDER.glob("token*"):
        shutil.copy(file, tmp_path / "base")
    base.resize_token_embeddings(max(tokens, tokens + rows))
    config = peft.LoraConfig(r=4, init_lora_weights=False, task_type="CAUSAL_LM", **trained)
    adapted = peft.get_peft_model(base, config)
    for weight in adapted.parameters():
        if weight.requires_grad:
            weight.data += 0.01
    adapted.save_pretrained(tmp_path / "adapter")
    kept = {"store": path} if stored else {}
    lm = model(pretrained=str(tmp_path / "base"), head_masks="base", peft=str(tmp_path / "adapter"), **kept)
    lm.load_weights()
    ids = torch.arange(12).view(2, 6)
    with torch.no_grad():
        found, expected = lm.model(ids).logits, adapted.eval()(ids).logits
    assert found.shape[-1] == (tokens + rows if trained == {"target_modules": ["o_proj"]} else expected.shape[-1])
    known = expected.shape[-1] if "lm_head" in str(trained) else tokens + rows  # others are drawn when rows are added
    assert torch.allclose(found[..., :known], expected[..., :known], atol=1e-5)


# ---- keys ----

FACTS = {"fingerprint": "a", "dtype": "torch.float32", "attention": "sdpa", "arguments": {}}
SETTINGS = Settings(50, until=("\n",), batch_size=4, max_prompt_tokens=100)
ROW = Row("prompt", Candidate.parse("L1H2"))


def key(facts=FACTS, settings=SETTINGS, row=ROW) -> bytes:
    return row_key(run_key(facts, settings, row.seed is not None)[0], row)


DECIDE = {
    "fingerprint": lambda: key(facts=FACTS | {"fingerprint": "b"}),
    "dtype": lambda: key(facts=FACTS | {"dtype": "torch.bfloat16"}),
    "arguments": lambda: key(facts=FACTS | {"arguments": {"load_in_4bit": True}}),
    "limit": lambda: key(settings=replace(SETTINGS, max_new_tokens=51)),
    "stop strings": lambda: key(settings=replace(SETTINGS, until=())),
    "room for the prompt": lambda: key(settings=replace(SETTINGS, max_prompt_tokens=99)),
    "penalty": lambda: key(settings=replace(SETTINGS, generate_arguments={"repetition_penalty": 1.1})),
    "special tokens": lambda: key(settings=replace(SETTINGS, add_special_tokens=False)),
    "think end": lambda: key(settings=replace(SETTINGS, think_end_token="</think>")),
    "prompt": lambda: key(row=replace(ROW, prompt="prompt ")),
    "candidate": lambda: key(row=replace(ROW, candidate=Candidate())),
    "seed": lambda: key(row=replace(ROW, seed=0)),
    "another seed": lambda: key(row=replace(ROW, seed=1)),
    "code": lambda: key(row=replace(ROW, seed=1, code=0.5)),
    "another code": lambda: key(row=replace(ROW, seed=1, code=0.0)),
    "given tokens": lambda: key(row=replace(ROW, given=(1, 2))),
    "other given tokens": lambda: key(row=replace(ROW, given=(1,))),
    "temperature of a sample": lambda: key(settings=replace(SETTINGS, temperature=1.0), row=replace(ROW, seed=1)),
}


def test_everything_that_decides_a_text_is_in_its_key():
    keys = [key(), *(make() for make in DECIDE.values())]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("change", [{"batch_size": 64}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.5}])
def test_what_decides_no_text_of_a_greedy_row_is_not(change):
    assert key(settings=replace(SETTINGS, **change)) == key()


def test_model_arguments_change_the_facts(path):
    def facts(**arguments):
        return model(head_masks="L1H2", store=path, **arguments).stored.facts

    plain = facts()
    assert facts(batch_size=2) == facts(dtype="float32") == facts(pretrained=str(MODEL_FOLDER)) == plain
    for changed in ({"dtype": "bfloat16"}, {"attn_implementation": "eager"}, {"mixed_precision_dtype": "bfloat16"}):
        assert facts(**changed) != plain, changed
    assert facts(rope_theta=5.0)["arguments"] == {"rope_theta": 5.0}


def test_trusted_code_of_a_model_changes_the_facts(path):
    lm = model(head_masks="L1H2", store=path)
    lm.model.config.auto_map = {"AutoModelForCausalLM": "own.Model"}

    def facts(trust: bool) -> dict:
        return model_facts(str(MODEL_FOLDER), {"trust_remote_code": trust}, lm.model, lm.tokenizer, "cpu")

    assert facts(True) == facts(False) | {"own_code": True}


def test_the_digest_of_a_tokenizer_ignores_traces_of_its_last_call():
    tokenizer = AutoTokenizer.from_pretrained(MODEL_FOLDER)
    before = tokenizer_digest(tokenizer)
    tokenizer(["a", "long text"], padding=True, truncation=True, max_length=3)
    assert tokenizer_digest(tokenizer) == before
    tokenizer.add_tokens(["<new>"])
    assert tokenizer_digest(tokenizer) != before


def test_a_store_is_shared_by_two_models_in_one_process(path):
    one, two = model(head_masks="base:L1H2", store=path), model(head_masks="L1H2:base", store=path)
    one.generate_until(requests(2))
    two.generate_until(requests(2))
    assert two.stored.described()["reused"] == 6
    with Store.open(path) as store:
        assert store.count() == 6
