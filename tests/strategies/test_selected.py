"""`selector=` of the harness model: who decides, which model, which questions, and what is recorded."""

from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from transformers import AutoModelForCausalLM

from sprint_lmeval.checkpoints.fingerprint import adapter_fingerprint, model_fingerprint
from sprint_lmeval.errors import InputError
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.outcomes.matrix import question_hash
from sprint_lmeval.runs.facts import run_facts
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.selection.selector import Selector
from sprint_lmeval.store.keys import altered_facts
from sprint_lmeval.tiny import MODEL_FOLDER
from sprint_lmeval.tiny.problems import problems
from tests.shared.selector_examples import KindEncoder, make_selector, questions

GREEDY = {"until": ["\nQuestion:"], "max_gen_toks": 20, "do_sample": False, "temperature": 0.0}


@pytest.fixture(scope="module", autouse=True)
def kinds():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "find", lambda name=None: KindEncoder())
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("selectors") / "kinds"
    make_selector("sprint", fingerprint=model_fingerprint("tiny")).save_pretrained(place)
    return place


def model(**arguments) -> HFPrunedBestOfN:
    return HFPrunedBestOfN(**{"pretrained": "tiny", "batch_size": 32, "device": "cpu"} | arguments)


def requests(texts: list[str], n: int, task: str = "tiny_passn") -> list[Instance]:
    made = [
        Instance("generate_until", {"question": text}, (f"Question: {text}\nAnswer:", GREEDY), 0, (task, i, n))
        for i, text in enumerate(texts)
    ]
    return [instance for instance in made for _ in range(n)]


def test_each_question_is_answered_by_its_own_candidates(folder):
    asked = questions(4, first=500)
    lm = model(selector=str(folder))
    assert lm.strategy.name == "selector" and lm.strategy.learned and not lm.strategy.exchangeable
    responses = lm.generate_until(requests(asked, 3))
    ranked = Selector.from_pretrained(folder).scored(asked, 3)
    assert [r.candidate for r in responses] == [str(candidate) for row in ranked for candidate, _ in row]
    assert [r.score for r in responses] == pytest.approx([score for row in ranked for _, score in row])
    assert len({tuple(candidate for candidate, _ in row) for row in ranked}) > 1


def test_the_raw_question_is_ranked_once_and_not_the_prompt(folder, monkeypatch):
    lm = model(selector=str(folder), strategy="selector")
    seen = []
    ranked = lm.strategy.selector.scored
    monkeypatch.setattr(lm.strategy.selector, "scored", lambda asked, n: (seen.extend(asked), ranked(asked, n))[1])
    asked = questions(3, first=500)
    lm.generate_until(requests(asked, 4))
    assert seen == asked


def test_results_name_method_selector_and_training(folder):
    lm = model(selector=str(folder))
    info = lm.get_model_info()["sprint"]
    assert (info["strategy"], info["learned"], info["method"], info["selector"]) == (
        "selector",
        True,
        "sprint",
        str(folder),
    )
    assert info["training"]["questions"] == 60 and info["training"]["task"] == "tiny_train_passn"
    assert info["selector_check"] is True and len(info["selector_sha256"]) == 64


def test_training_questions_are_refused_or_counted(folder, harness_log):
    asked = [*questions(2, first=500), questions(1)[0]]
    lm = model(selector=str(folder))
    with pytest.raises(InputError, match=r"1 of 3 questions are among the 60 .*'Tom has 2 pens.*selector_check=False"):
        lm.generate_until(requests(asked, 2))
    lm = model(selector=str(folder), selector_check=False)
    assert len(lm.generate_until(requests(asked, 2))) == 6
    assert "1 of 3 questions are among the 60" in harness_log.text
    assert lm.get_model_info()["sprint"]["training_questions_evaluated"] == 1


def test_a_selector_of_other_weights_is_refused_before_they_load(tmp_path, monkeypatch):
    make_selector("top", fingerprint="f" * 64).save_pretrained(tmp_path / "s")
    monkeypatch.setattr(HFPrunedBestOfN, "_create_model", lambda *_, **__: pytest.fail("weights were loaded"))
    with pytest.raises(InputError, match=r"is for tiny with fingerprint fff.*selector_check=False"):
        model(selector=str(tmp_path / "s"))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"architecture": "LlamaForCausalLM"}, "architecture LlamaForCausalLM, this model has Qwen2ForCausalLM"),
        ({"heads_per_layer": [8, 8, 8]}, r"heads_per_layer \[8, 8, 8\], this model has \[8, 8, 8, 8\]"),
        ({"fingerprint": "f" * 64}, "fingerprint fff"),
    ],
)
def test_a_selector_of_another_model_is_refused_or_told(tmp_path, harness_log, facts, said):
    make_selector("top", **facts).save_pretrained(tmp_path / "s")
    with pytest.raises(InputError, match=said):
        model(selector=str(tmp_path / "s"))
    assert model(selector=str(tmp_path / "s"), selector_check=False).strategy.learned
    assert "give the selector" not in harness_log.text and "this model has" in harness_log.text


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """Only what is fingerprinted: no weights are loaded where a selector is refused."""
    place = tmp_path_factory.mktemp("adapter")
    (place / "adapter_config.json").write_text('{"r": 4}')
    (place / "adapter_model.safetensors").write_bytes(b"weights")
    return place


@pytest.mark.parametrize(
    "arguments",
    [
        {"peft": "{adapter}"},
        {"delta": str(MODEL_FOLDER)},
        {"load_in_4bit": True},
        {"load_in_8bit": True},
        {"gptqmodel": True},
        {"quantization_config": {"quant_method": "x"}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
    ],
)
def test_a_selector_is_refused_on_an_altered_model_before_it_loads(folder, adapter, monkeypatch, arguments):
    monkeypatch.setattr(HFPrunedBestOfN, "_create_model", lambda *_, **__: pytest.fail("weights were loaded"))
    (name, value), *_ = arguments.items()
    value = value.format(adapter=adapter) if isinstance(value, str) else value
    with pytest.raises(InputError, match=rf"weights unaltered, this model has weights altered by {name}="):
        model(selector=str(folder), **{name: value})


def test_a_selector_of_an_altered_model_is_for_the_same_alteration_only(tmp_path, adapter, monkeypatch):
    altered = {"peft": adapter_fingerprint(str(adapter), "main")}
    assert altered_facts("tiny", {"peft": str(adapter), "dtype": "float16", "load_in_8bit": False}) == altered
    make_selector("top", fingerprint=model_fingerprint("tiny"), altered=altered).save_pretrained(tmp_path / "s")
    with pytest.raises(InputError, match=r"altered by peft=\w+, this model has weights unaltered: give the selector"):
        model(selector=str(tmp_path / "s"))
    passed = "loading begins"
    monkeypatch.setattr(HFPrunedBestOfN, "_create_model", lambda *_, **__: pytest.exit(passed))
    with pytest.raises(pytest.exit.Exception, match=passed):
        model(selector=str(tmp_path / "s"), peft=str(adapter))


def test_results_say_what_was_altered():
    lm = model(head_masks="L0H0", use_cache=True)
    assert lm.get_model_info()["sprint"]["altered"] == {}
    lm = model(head_masks="L0H0", sliding_window=64)
    info = lm.get_model_info()
    assert info["sprint"]["altered"] == {"sliding_window": 64}
    assert run_facts({"config": info, "configs": {"t": {}}}, "t")["altered"] == {"sliding_window": 64}


def test_a_loaded_model_is_compared_by_its_heads_only(folder, tmp_path, harness_log):
    loaded = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32)
    assert model(pretrained=loaded, tokenizer=str(MODEL_FOLDER), selector=str(folder)).strategy.learned
    assert "whether these are the weights that it was trained for is not known" in harness_log.text
    make_selector("top", heads_per_layer=[8]).save_pretrained(tmp_path / "s")
    with pytest.raises(InputError, match="heads_per_layer"):
        model(pretrained=loaded, tokenizer=str(MODEL_FOLDER), selector=str(tmp_path / "s"))


def test_heads_that_the_model_lacks_are_refused_in_any_case(tmp_path):
    selector = make_selector("top", heads_per_layer=None)
    selector.config["candidates"][3] = "L7H0"
    selector.save_pretrained(tmp_path / "s")
    with pytest.raises(InputError, match="layer 7 given, the model has layers 0-3"):
        model(selector=str(tmp_path / "s"), selector_check=False)


def test_a_run_that_differs_from_training_is_told(folder, harness_log):
    lm = model(selector=str(folder))
    lm.generate_until(requests(questions(2, first=500), 2, task="gsm8k_passn"))
    assert "was trained with task tiny_passn, and this run has gsm8k_passn" in harness_log.text
    assert "was trained with max_new_tokens 50, and this run has 20" in harness_log.text
    assert "chat template" not in harness_log.text


def test_more_candidates_than_it_ranks(folder):
    with pytest.raises(InputError, match="7 responses per question and strategy selector has 6"):
        model(selector=str(folder)).generate_until(requests(questions(1, first=500), 7))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"strategy": "selector"}, "strategy=selector given without a selector"),
        ({"selector_check": False}, "selector_check given without a selector"),
        ({"selector_encoder": "x"}, "selector_encoder given without a selector"),
        ({"selector": "{folder}", "strategy": "random"}, "selector given with strategy=random"),
        ({"selector": "{folder}", "head_masks": "L0H0"}, "selector and head_masks given, of which only one can decide"),
        ({"selector": "{folder}", "pool": "L0H0"}, "selector and pool given"),
        ({"selector": "{folder}", "selector_check": "maybe"}, "selector_check=maybe given, allowed are True and False"),
        ({"selector": "nothing-of-the-kind"}, "neither a folder nor one of"),
        ({"selector": ""}, "neither a folder nor one of"),
    ],
)
def test_contradictions_are_refused(folder, arguments, said):
    given = {key: value.format(folder=folder) if isinstance(value, str) else value for key, value in arguments.items()}
    with pytest.raises(InputError, match=said):
        model(**given)


def test_no_training_problem_of_the_embedded_model_is_a_test_problem():
    trained = {question_hash(p.question) for p in problems("train")}
    assert not trained & {question_hash(p.question) for p in problems("test")}


def test_another_prompt_form_is_told(tmp_path, harness_log):
    def asked(form: str) -> list[Instance]:
        made = requests(questions(2, first=500), 1)
        for instance, text in zip(made, questions(2, first=500), strict=True):
            instance.arguments = (form.format(text), GREEDY)
        return made

    lm = model(head_masks="L0H0")
    lm.generate_until(asked("Question: {}\nAnswer:"))
    form = lm.get_model_info()["sprint"]["prompt_form"]
    assert len(form) == 64
    make_selector("top", prompt_form=form).save_pretrained(tmp_path / "s")
    lm = model(selector=str(tmp_path / "s"))
    lm.generate_until(asked("Question: {}\nAnswer:"))
    assert "the prompt form" not in harness_log.text
    lm.generate_until(asked("Example.\n\nQuestion: {}\nAnswer:"))
    assert "was trained with the prompt form (instructions, examples)" in harness_log.text
    assert lm.get_model_info()["sprint"]["prompt_form"] is None  # several
