"""`vllm-pruned-bon` answers as `hf-pruned-bon` does, with all adapters in flight together."""

import json
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance
from vllm import EngineArgs

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines.vllm import VLLMPrunedBestOfN
from sprint_lmeval.store.database import Store
from sprint_lmeval.store.keys import model_facts
from sprint_lmeval.store.responses import StoredRows
from sprint_lmeval.strategies.build import StrategyArguments, build_strategy
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.harness_requests import requests
from tests_vllm.conftest import ENGINE
from tests_vllm.ties import compare

N, QUESTIONS = 16, 20


def asked(n: int = N, questions: int = QUESTIONS, **settings) -> list[Instance]:
    return requests(n, questions, **{"max_gen_toks": 160} | settings)


@pytest.fixture(scope="module")
def answers(engine):
    return engine.generate_until(asked())


def with_strategy(monkeypatch, lm, **given):
    build = build_strategy(StrategyArguments(**given))
    monkeypatch.setattr(lm, "strategy", build([layer.heads for layer in lm.layout.layers]))
    return lm


def test_sixteen_candidates_of_twenty_problems_equal_the_hooks(engine, reference, answers, capsys):
    theirs = reference.generate_until(asked())
    result = compare(reference, [request.args[0] for request in asked()], theirs, answers)
    with capsys.disabled():
        print(f"\n{result.equal} of {N * QUESTIONS} texts equal, margins of the others: {result.margins}")
    result.check(N * QUESTIONS)
    assert [r.candidate for r in answers[:N]] == [str(c) for c in engine.strategy.possible()]
    assert len({str(r) for r in answers[:N]}) > 2, "adapters make different answers"


def test_the_engine_holds_one_adapter_per_candidate(engine, answers):
    assert engine.self_test.effect > 1e-3 and engine.self_test.afterwards < 1e-4
    info = json.loads(json.dumps(engine.get_model_info(), default=str))["sprint"]
    assert info["engine"] == {
        "name": "vllm",
        "data_parallel_size": 1,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": None,
        "max_loras": 8,
        "max_lora_rank": 128,  # three heads of 32 in one layer, filled up
        "adapters": 15,
    }
    folder = engine._adapters.folder  # with one of zeros for base, which a CPU needs
    assert sorted(path.name for path in folder.iterdir()) == sorted({r.candidate for r in answers})


def test_results_record_what_those_of_hf_do(engine, reference, answers):
    reference.generate_until(asked(questions=1))
    ours, theirs = (json.loads(json.dumps(lm.get_model_info()["sprint"], default=str)) for lm in (engine, reference))
    assert ours.keys() - theirs.keys() == {"engine"} and theirs.keys() <= ours.keys()
    same = "strategy candidates generation fingerprint altered architecture heads_per_layer n"
    for key in same.split():
        assert ours[key] == theirs[key], key
    assert ours["versions"]["vllm"] and engine.get_model_info()["model_dtype"] == "float32"


def test_samples_are_drawn_by_their_seeds_and_the_engine_starts_for_missing_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lm, later = (VLLMPrunedBestOfN("tiny", strategy="sample", store=tmp_path / "s.sqlite", **ENGINE) for _ in range(2))
    assert not lm.started and lm.max_length == 512 and lm.get_model_info()["model_dtype"] == "float32"
    settings = {"temperature": 2.0, "do_sample": True}
    first = lm.generate_until(asked(3, 4, **settings))
    assert lm.started and lm.self_test is None and not lm.model_args["enable_lora"]
    assert [str(r) for r in later.generate_until(asked(3, 4, **settings))] == [str(r) for r in first]
    assert not later.started and later.stored.described() == {"file": "s.sqlite", "reused": 12, "generated": 0}
    lm.stored = None
    assert [str(r) for r in lm.generate_until(asked(3, 4, **settings))] == [str(r) for r in first]
    assert len({str(r) for r in first}) > 8 and all(r.exchangeable for r in first)
    lm.strategy.seed = 1
    assert [str(r) for r in lm.generate_until(asked(3, 4, **settings))] != [str(r) for r in first]


def test_limits_stops_and_penalties_as_in_hf(engine, reference):
    for settings in (
        {"max_gen_toks": 12},
        {"until": ["="], "max_gen_toks": 40},
        {"max_gen_toks": 60, "repetition_penalty": 1.3},
        {"max_gen_toks": 60, "min_new_tokens": 55},
    ):
        both = asked(4, 3, **settings)
        theirs, ours = reference.generate_until(both), engine.generate_until(both)
        prompts, penalty = [r.args[0] for r in both], settings.get("repetition_penalty", 1.0)
        compare(reference, prompts, theirs, ours, penalty).check(12)


def test_long_prompts_lose_their_left_end(engine):
    long = "Question: " + "1 + " * 400 + "1\nAnswer:"
    request = Instance("generate_until", {"question": long}, (long, {"until": [], "max_gen_toks": 50}), 0, ("t", 0, 1))
    (response,) = engine.generate_until([request])
    assert response.new_tokens > 0 and engine.get_model_info()["sprint"]["cut_prompts"] == 1
    with pytest.raises(InputError, match="max_gen_toks=512 given, the model's whole length is 512"):
        engine.generate_until(asked(1, 1, max_gen_toks=512))
    with pytest.raises(InputError, match="no_repeat_ngram_size=2 given, vLLM takes repetition_penalty and min_new"):
        engine.generate_until(asked(1, 1, no_repeat_ngram_size=2))


def test_what_vllm_refuses_or_breaks_off(engine, monkeypatch):
    with pytest.raises(InputError, match=r"vLLM refuses the generation settings .*change --gen_kwargs"):
        engine.generate_until(asked(1, 1, max_gen_toks=10, min_new_tokens=20))
    whole = engine._in_this_engine

    def broken_off(requests):
        for request, output in whole(requests):
            output.outputs[0].finish_reason = "abort"
            yield request, output

    monkeypatch.setattr(engine, "_in_this_engine", broken_off)
    with pytest.raises(InputError, match=r"vLLM broke an answer off \(abort\): repeat the command"):
        engine.generate_until(asked(1, 1))


def test_the_chat_template_is_told_what_was_given(engine, monkeypatch):
    """The harness's way passes enable_thinking=None, which some templates take for something given."""
    template = "{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}:{{ messages[0].content }}"
    turns = [{"role": "user", "content": "x"}]
    given = {"chat_template": template}
    monkeypatch.setattr(engine, "chat_template_args", given)
    assert engine.apply_chat_template(turns) == ":x"
    monkeypatch.setattr(engine, "chat_template_args", {**given, "enable_thinking": False})
    assert engine.apply_chat_template(turns) == "False:x"


def test_the_dtype_of_replicas_is_that_of_their_engines():
    """A store's key has it: `auto` is what vLLM makes of the checkpoint, here and in each of them."""
    lm = VLLMPrunedBestOfN.__new__(VLLMPrunedBestOfN)
    lm.data_parallel_size = 2
    for dtype in ("auto", "bfloat16", "float32"):
        lm.model_args = {"model": str(MODEL_FOLDER), "dtype": dtype}
        expected = EngineArgs(**lm.model_args).create_model_config().dtype
        assert f"torch.{lm._dtype()}" == str(expected)


def test_given_continuations_are_scored_with_the_only_candidate(engine, reference, monkeypatch):
    pairs = [("Question: 1 + 1\nAnswer:", " 2"), ("Question: 3 * 4\nAnswer:", " 12\n#### 12")]
    scored = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    with pytest.raises(InputError, match="needs exactly one candidate"):
        engine.loglikelihood(scored)
    seen = []
    for mask in ("base", "L1H2"):
        ours = with_strategy(monkeypatch, engine, head_masks=mask).loglikelihood(scored)
        theirs = with_strategy(monkeypatch, reference, head_masks=mask).loglikelihood(scored)
        assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], abs=2e-3)
        seen.append(ours)
    assert seen[0] != seen[1]


def test_a_run_that_breaks_off_keeps_what_it_had(engine, reference, answers, tmp_path, monkeypatch):
    store = Store.open(tmp_path / "answers.sqlite")
    facts = model_facts(engine.model_args["model"], {}, engine._checkpoint, engine.tokenizer, "cpu")
    monkeypatch.setattr(engine, "stored", StoredRows(store, {**facts, "engine": "vllm"}))
    real = engine._generate

    def breaking(rows, settings):
        for number, done in enumerate(real(rows, settings)):
            if number == 40:
                raise KeyboardInterrupt
            yield done

    with monkeypatch.context() as patched:
        patched.setattr(engine, "_generate", breaking)
        with pytest.raises(KeyboardInterrupt):
            engine.generate_until(asked())
    assert not engine.model.llm_engine.has_unfinished_requests(), "nothing stays in the engine"
    again = engine.generate_until(asked())
    compare(reference, [r.args[0] for r in asked()], answers, again).check(N * QUESTIONS)
    assert engine.stored.described() == {"file": "answers.sqlite", "reused": 40, "generated": N * QUESTIONS}


def test_adapters_are_cleaned_up_or_kept(engine, tmp_path):
    from sprint_lmeval.adapters.cache import AdapterCache

    maker, (pruned,) = engine._adapters.maker, [c for c in engine.strategy.possible() if str(c) == "L1H2"]
    cache = AdapterCache(maker, [pruned])
    path = cache.path(pruned)
    assert path.is_dir()
    del cache
    assert not path.exists()
    kept = AdapterCache(maker, [pruned], str(tmp_path / "kept"))
    assert kept.path(pruned).is_dir()
    del kept
    assert (tmp_path / "kept" / "L1H2" / "adapter_model.safetensors").is_file()


# ---- what is refused, before the engine starts ----


def small_gpt2(folder: Path) -> str:
    """A GPT-2, which vLLM serves without adapters."""
    from transformers import AutoTokenizer

    from benchmarks.tiny_architectures import tiny_model
    from sprint_lmeval.tiny import MODEL_FOLDER

    tiny_model("GPT-2").save_pretrained(folder)
    AutoTokenizer.from_pretrained(MODEL_FOLDER).save_pretrained(folder)
    return str(folder)


def test_a_model_that_vllm_serves_without_adapters(tmp_path):
    with pytest.raises(InputError, match="vLLM serves GPT2LMHeadModel without LoRA adapters"):
        VLLMPrunedBestOfN(small_gpt2(tmp_path), head_masks="L1H2", **ENGINE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"head_masks": "L9H0"}, "layer 9 given, the model has layers 0-3"),
        ({"head_masks": "L1H2", "max_lora_rank": 8}, "max_lora_rank=8 given, these candidates need 32"),
        ({"head_masks": "L1H2", "max_lora_rank": 100}, "max_lora_rank=100 given, vLLM takes 1, 8, 16"),
        ({"head_masks": "L1H2", "lora_local_path": "x"}, "lora_local_path=x given: one answer has one adapter"),
        ({"head_masks": "L1H2", "quantization": "fp8"}, "quantization=fp8 given, and an adapter is made of the"),
        ({"head_mask": "L1H2"}, "unknown model argument head_mask=L1H2: did you mean head_masks"),
        ({"max_num_sequences": 3}, "unknown model argument max_num_sequences=3: did you mean max_num_seqs"),
        ({"strategy": "fixed"}, "strategy=fixed needs candidates"),
        ({"head_masks": "L1H2", "adapters": "/proc/nowhere"}, "cannot be written"),
    ],
)
def test_what_is_refused(arguments, said):
    with pytest.raises(InputError, match=said) as refusal:
        VLLMPrunedBestOfN("tiny", **{**ENGINE, **arguments})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("candidate", "levels"), [("base", 1), ("L1H2", "all")])
def test_branches_are_those_of_the_hooks(engine, reference, monkeypatch, candidate, levels):
    """Ties apart, which may also change the order of branches: so the texts of a question are compared as a set."""
    given = {"strategy": "branch", "head_masks": candidate, "priority": "ratio", "levels": levels}
    wanted = asked(8, 4, max_gen_toks=60)
    ours, theirs = (with_strategy(monkeypatch, lm, **given).generate_until(wanted) for lm in (engine, reference))
    same = [len({str(r) for r in ours[i : i + 8]} & {str(r) for r in theirs[i : i + 8]}) for i in range(0, 32, 8)]
    assert [str(r) for r in ours[::8]] == [str(r) for r in theirs[::8]] and sum(same) >= 30
    assert all(len({str(r) for r in ours[i : i + 8]}) == 8 for i in range(0, 32, 8))
