"""The harness model: which candidate answers which request, what is refused, and what results record."""

import json
from types import SimpleNamespace

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models import utils
from lm_eval.models.huggingface import HFLM
from transformers import MambaConfig, T5Config

from sprint_lmeval.errors import InputError
from sprint_lmeval.models import hf
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.models.hf_lazy import LazyWeights
from sprint_lmeval.tiny import MODEL_FOLDER
from sprint_lmeval.tiny.problems import problems
from tests.shared.harness_requests import count_rows, model, requests


@pytest.fixture(scope="module")
def fixed() -> HFPrunedBestOfN:
    return model(head_masks="base:L1H2:L3H4:L0H0+L2H7")


def test_repeats_get_the_candidates_in_order(fixed):
    responses = fixed.generate_until(requests(4))
    assert [r.candidate for r in responses] == ["base", "L1H2", "L3H4", "L0H0+L2H7"] * 3
    for r in responses:
        assert isinstance(r, str) and isinstance(r.truncated, bool) and r.new_tokens > 0
        assert not r.exchangeable and r.score is None


def test_fewer_repeats_take_the_first_candidates(fixed):
    two, four = fixed.generate_until(requests(2)), fixed.generate_until(requests(4))
    assert [str(r) for r in two] == [str(four[i]) for i in (0, 1, 4, 5, 8, 9)]


def test_one_candidate_at_a_time_writes_the_same(fixed):
    together = fixed.generate_until(requests(4))
    for place, name in enumerate(["base", "L1H2", "L3H4", "L0H0+L2H7"]):
        alone = model(head_masks=name, batch_size=1).generate_until(requests(1))
        assert [str(r) for r in alone] == [str(r) for r in together[place::4]]


def test_base_writes_what_the_harness_hf_model_writes():
    theirs = HFLM(pretrained=str(MODEL_FOLDER), device="cpu", batch_size=8, dtype="float32")
    asked = requests(1, questions=8)
    ours = model(strategy="base").generate_until(asked)
    assert [str(r) for r in ours] == theirs.generate_until(asked)


def test_padding_of_a_rank_is_answered_without_generating_it_again(fixed):
    asked = requests(4, questions=2)
    padded = asked + asked[-4:] * 2  # the harness pads with clones of a rank's last request
    generated = count_rows(fixed)
    responses = fixed.generate_until(padded)
    assert len(generated) == 8
    assert [str(r) for r in responses[8:]] == [str(r) for r in responses[4:8]] * 2


def test_base_is_generated_once_and_stands_for_all():
    base = model(strategy="base")
    generated = count_rows(base)
    responses = base.generate_until(requests(16, questions=2))
    assert len(generated) == 2 and len(responses) == 32
    assert len({str(r) for r in responses[:16]}) == 1


def test_samples_are_exchangeable_reproducible_and_differ():
    settings = {"temperature": 2.0, "do_sample": True}
    first = model(strategy="sample", batch_size=5).generate_until(requests(4, **settings))
    again = model(strategy="sample", batch_size=12).generate_until(requests(4, **settings))
    other = model(strategy="sample", strategy_seed=1).generate_until(requests(4, **settings))
    assert [str(r) for r in first] == [str(r) for r in again]
    assert [str(r) for r in first] != [str(r) for r in other]
    assert all(r.exchangeable and r.candidate == "base" for r in first)
    assert len({str(r) for r in first[:4]}) > 1


def test_random_heads_differ_between_questions():
    responses = model(strategy="random").generate_until(requests(4))
    chosen = [tuple(r.candidate for r in responses[i : i + 4]) for i in (0, 4, 8)]
    assert len(set(chosen)) == 3
    assert all(len(set(c)) == 4 for c in chosen)


def test_without_masks_the_strategy_is_spread_and_says_so(harness_log):
    lm = model()
    assert lm.strategy.name == "spread"
    assert "not SPRINT" in harness_log.text
    harness_log.clear()
    assert model(strategy="spread").strategy.name == "spread" and "not SPRINT" not in harness_log.text
    assert lm.get_model_info()["sprint"]["learned"] is False


def test_a_chat_template_that_is_not_used_is_mentioned(harness_log):
    lm = model(strategy="base")
    lm.generate_until(requests(1, questions=1))
    assert "--apply_chat_template" not in harness_log.text  # the embedded model's adds nothing
    lm.tokenizer.chat_template = "<user>{{ messages[0].content }}</user>"
    lm.generate_until(requests(1, questions=1))
    assert "--apply_chat_template" in harness_log.text


def test_results_record_what_a_rerun_needs(fixed):
    fixed.generate_until(requests(4))
    recorded = json.loads(json.dumps(fixed.get_model_info(), default=str))["sprint"]
    assert recorded["candidates"] == ["base", "L1H2", "L3H4", "L0H0+L2H7"]
    assert recorded["strategy"] == "fixed" and 4 in recorded["n"]
    assert recorded["generation"][-1]["max_new_tokens"] == 50
    assert recorded["self_test"]["difference"] <= 1e-4
    assert {"torch", "transformers", "lm_eval"} <= set(recorded["versions"])
    assert "math_verify" in recorded["grader"]
    sampled = model(strategy="sample", strategy_seed=9)
    sampled.generate_until(requests(2, questions=1, temperature=0.6, top_p=0.95, top_k=40))
    recorded = sampled.get_model_info()["sprint"]
    settings = recorded["generation"][-1]
    assert (settings["temperature"], settings["top_p"], settings["top_k"]) == (0.6, 0.95, 40)
    assert recorded["strategy_seed"] == 9


# ---- loglikelihood ----


def scoring(continuations=(" 3", " 4", " pears")) -> list[Instance]:
    prompt = problems("test")[0].prompt
    return [Instance("loglikelihood", {}, (prompt, c), i, ("t", 0, 1)) for i, c in enumerate(continuations)]


def test_loglikelihood_of_one_candidate_is_that_of_zeroed_weights():
    pruned = model(head_masks="L2H3").loglikelihood(scoring())
    zeroed = HFLM(pretrained=str(MODEL_FOLDER), device="cpu", dtype="float32")
    with torch.no_grad():
        zeroed.model.model.layers[2].self_attn.o_proj.weight[:, 3 * 32 : 4 * 32] = 0
    expected = zeroed.loglikelihood(scoring())
    assert [p[0] for p in pruned] == pytest.approx([e[0] for e in expected], abs=1e-4)
    plain = HFLM(pretrained=str(MODEL_FOLDER), device="cpu", dtype="float32").loglikelihood(scoring())
    assert [p[0] for p in plain] != pytest.approx([e[0] for e in expected], abs=1e-3)
    assert [b[0] for b in model(strategy="base").loglikelihood(scoring())] == pytest.approx([p[0] for p in plain])


@pytest.mark.parametrize("arguments", [{"head_masks": "L0H0:L0H1"}, {}, {"strategy": "sample"}])
def test_loglikelihood_of_several_candidates_is_refused(arguments):
    lm = model(**arguments)
    for call in (lm.loglikelihood, lm.loglikelihood_rolling):
        with pytest.raises(InputError, match="exactly one candidate"):
            call(scoring())


# ---- refused ----


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_beams": 2}, "num_beams=2"),
        ({"num_return_sequences": 3}, "num_return_sequences=3"),
        ({"temperature": 0.5}, "strategy=sample"),
        ({"do_sample": True}, "strategy=sample"),
        ({"max_gen_toks": 100_000}, "max_gen_toks=100000"),
        ({"max_gen_toks": 0}, "max_gen_toks=0 given, it must be a whole number from 1 up"),
        ({"max_gen_toks": "many"}, "max_gen_toks=many"),
        ({"until": 5}, "until="),
        ({"temperature": "hot"}, "temperature=hot"),
        ({"top_p": 0.5}, "strategy=fixed"),
        ({"min_p": 0.9}, "min_p=0.9 given, allowed are"),
        ({"pad_token_id": 3}, "pad_token_id=3"),
        ({"use_cache": False}, "use_cache=False"),
        ({"foo": 1}, "foo=1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fixed, settings, words):
    with pytest.raises(InputError, match=words):
        fixed.generate_until(requests(1, questions=1, **settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top_p": 1.5}, "top_p=1.5 given, it must be a number from 0.0 to 1.0"),
        ({"top_p": 0}, "top_p=0 given"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_k": 0.5}, "top_k=0.5"),
        ({"typical_p": 0.5}, "typical_p"),
    ],
)
def test_sampling_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        model(strategy="sample").generate_until(requests(2, 1, temperature=0.6, **settings))


@pytest.mark.parametrize("wrong", [{"max_gen_toks": 100_000}, {"temperature": 0.5}, {"num_beams": 2}, {"foo": 1}])
def test_every_task_is_checked_before_the_first_row(fixed, monkeypatch, wrong):
    """The third of three tasks was refused after the rows of two were generated."""
    monkeypatch.setattr(fixed, "_generate", lambda *_: pytest.fail("rows were generated"))
    for asked in (requests(2, questions=1, **wrong), requests(9)):
        with pytest.raises(InputError):
            fixed.generate_until([*requests(2), *requests(2, max_gen_toks=40), *asked])


def test_a_row_that_cannot_be_decoded_is_named(monkeypatch):
    """By question and candidate; what its neighbours wrote is there."""
    lm = model(head_masks="base:L1H2:L3H4:L0H0+L2H7")
    texts = [str(r) for r in lm.generate_until(requests(4))]
    place = next(i for i in range(7, 3, -1) if texts.count(texts[i]) == 1)
    read = utils.postprocess_generated_text

    def raising(text, *arguments):
        if (text := read(text, *arguments)) == texts[place]:
            raise KeyError("no such piece")
        return text

    monkeypatch.setattr(utils, "postprocess_generated_text", raising)
    with pytest.raises(KeyError, match="no such piece") as caught:
        lm.generate_until(requests(4))
    (note,) = caught.value.__notes__
    candidate = ["base", "L1H2", "L3H4", "L0H0+L2H7"][place - 4]
    assert problems("test")[1].question[:60] in note and f"with candidate {candidate};" in note
    assert "none of 12 answers is kept: with store=FILE" in note
    assert [str(r) for r in lm._responses[:4]] == texts[:4]


def test_prompts_that_are_cut_are_told_and_counted(harness_log):
    lm = model(strategy="base", max_length=80)
    lm.generate_until(requests(1, questions=2, max_gen_toks=60))
    assert "lose their left end" in harness_log.text
    assert lm.get_model_info()["sprint"]["cut_prompts"] == 2


def test_a_checkpoint_that_changes_greedy_decoding_is_told(harness_log, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(MODEL_FOLDER, folder)
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"repetition_penalty": 1.3, "num_beams": 3}))
    lm = model(pretrained=str(folder), head_masks="base:L1H2")
    assert "repetition_penalty" in harness_log.text
    mixed = lm.generate_until(requests(2))  # prompts of different lengths, padded on the left
    alone = [lm.generate_until([r])[0] for r in requests(1)]
    assert [str(r) for r in mixed[::2]] == [str(r) for r in alone]


def test_sample_at_temperature_zero_is_refused():
    with pytest.raises(InputError, match="above 0"):
        model(strategy="sample").generate_until(requests(2, questions=1))


def test_more_repeats_than_candidates_are_refused(fixed):
    with pytest.raises(InputError, match=r"16 responses .* 4 candidates"):
        fixed.generate_until(requests(16))


def test_use_cache_is_refused(fixed):
    with pytest.raises(InputError, match="--use_cache"):
        fixed.set_cache_hook(SimpleNamespace(dbdict={}))


@pytest.fixture
def no_weights(monkeypatch):
    """Fail when weights are loaded: these mistakes must be reported before."""

    def loaded(*arguments, **options):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(HFLM, "_create_model", loaded)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"head_masks": "L9H0"}, "layer 9 given, the model has layers 0-"),
        ({"head_masks": "L0H99"}, "head 99 of layer 0"),
        ({"head_masks": "L5"}, "L5"),
        ({"strategy": "best"}, "strategy=best"),
        ({"head_mask": "L0H0"}, "did you mean head_masks"),
        ({"zzz": 1}, "unknown model argument zzz=1"),
        ({"head_masks": "L0H0", "selector": "x"}, "head_masks"),
        ({"selector": "x"}, "selector=x given, which is neither a folder nor"),
        ({"backend": "seq2seq"}, "seq2seq"),
        ({"tp_plan": "auto"}, "tp_plan"),
        ({"batch_size": -4}, "batch_size=-4"),
        ({"batch_size": "x"}, "batch_size=x"),
        ({"pretrained": 5}, "pretrained=5"),
        ({"pretrained": "./no/such/folder"}, "pretrained=tiny"),
    ],
)
def test_mistakes_are_told_before_weights_load(no_weights, arguments, words):
    with pytest.raises(InputError) as caught:
        model(**arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("config", "name"), [(T5Config, "T5"), (MambaConfig, "Mamba")])
def test_models_without_such_heads_are_refused_by_name(no_weights, tmp_path, config, name):
    config().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=name):
        model(pretrained=str(tmp_path))


def test_a_model_that_cannot_be_fetched_names_the_ways_out(no_weights, monkeypatch):
    from transformers import AutoConfig

    def fetch(*arguments, **options):
        raise OSError("We couldn't connect to\nthe hub")

    monkeypatch.setattr(AutoConfig, "from_pretrained", fetch)
    with pytest.raises(InputError, match=r"Qwen2.5-Math-1.5B-Instruct.*couldn't connect.*FOLDER.*pretrained=tiny"):
        HFPrunedBestOfN(device="cpu")


@pytest.mark.parametrize(
    ("program", "config", "size"),
    [
        ("/usr/bin/lm_eval", {"batch_size": 1}, "auto"),  # the harness's default
        ("/usr/bin/lm_eval", {"batch_size": "1"}, 1),  # typed
        ("/usr/bin/sprint-lmeval", {"batch_size": "16"}, 16),
        ("/usr/bin/lm_eval", {"batch_size": "auto"}, "auto"),
        ("notebook.py", {"batch_size": 1}, 1),  # simple_evaluate(batch_size=1)
        ("notebook.py", {"batch_size": None}, "auto"),
        ("notebook.py", None, "auto"),
    ],
)
def test_a_batch_size_that_nobody_gave_is_auto(monkeypatch, program, config, size):
    seen = []
    monkeypatch.setattr(LazyWeights, "__init__", lambda self, **arguments: seen.append(arguments) or stop())
    monkeypatch.setattr("sys.argv", [program])
    monkeypatch.setattr("sprint_lmeval.models.hf.show_one_sentence", lambda: None)
    for create, arguments in (
        (HFPrunedBestOfN.create_from_arg_obj, {"pretrained": "tiny", "strategy": "base"}),
        (HFPrunedBestOfN.create_from_arg_string, "pretrained=tiny,strategy=base"),
    ):
        with pytest.raises(Stopped):
            create(arguments, config)
    assert [str(arguments["batch_size"]) for arguments in seen] == [str(size)] * 2


class Stopped(Exception):
    pass


def stop():
    raise Stopped


def test_without_a_batch_size_rows_go_together_and_scores_one_by_one(monkeypatch):
    lm = model(strategy="base", batch_size=None)
    sizes, call = [], lm._model_call
    monkeypatch.setattr(lm, "_model_call", lambda rows, *_, **__: sizes.append(len(rows)) or call(rows))
    lm.loglikelihood(scoring((" 3 pears", " 4 pears", " pears and 5")))
    assert sizes == [1, 1, 1] and lm.batch_size == "auto"
    lm.generate_until(requests(1, questions=1))
    assert lm.batch_sizes == {"generate": 512}


@pytest.mark.parametrize(("size", "roomy"), [(64, True), ("auto", False), (None, False)])
def test_a_batch_size_that_was_given_may_fill_the_memory(monkeypatch, size, roomy):
    seen, real = [], hf.generate

    def noted(model, tokenizer, rows, settings, *args, **options):
        seen.append(settings.roomy)
        return real(model, tokenizer, rows, settings, *args, **options)

    monkeypatch.setattr(hf, "generate", noted)
    model(strategy="base", batch_size=size).generate_until(requests(1, questions=1))
    assert seen == [roomy]


def test_arguments_of_hf_are_taken():
    lm = model(strategy="base", dtype="bfloat16", max_length=256, batch_size="auto", max_batch_size=2)
    assert lm.model.dtype is torch.bfloat16 and lm.max_length == 256
    assert len(lm.generate_until(requests(1, questions=2))) == 2
    assert len(model(strategy="base", attn_implementation="eager").generate_until(requests(1))) == 3


def test_an_adapter_is_loaded_and_pruned_with_the_model(tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER)
    config = LoraConfig(r=4, target_modules=["o_proj", "q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(plain, config).save_pretrained(tmp_path)
    adapted = model(peft=str(tmp_path), head_masks="base:L1H2")
    assert adapted.self_test.reference == "inputs"
    with_adapter = [str(r) for r in adapted.generate_until(requests(2))]
    without = [str(r) for r in model(head_masks="base:L1H2").generate_until(requests(2))]
    assert len(with_adapter) == 6 and with_adapter != without
    assert adapted.get_model_info()["sprint"]["architecture"] == "Qwen2ForCausalLM"
