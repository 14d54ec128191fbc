"""Log-probabilities of the embedded model and rewards of random weights, against plain calls of transformers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
)

from sprint_lmeval.cli import main
from sprint_lmeval.errors import InputError
from sprint_lmeval.scoring.likelihoods import BaseModel
from sprint_lmeval.scoring.rewards import RewardModel
from sprint_lmeval.scoring.stored import StoredResponses
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.gate_examples import DATE, TASK, row, write_rows
from tests.shared.reward_examples import reward_by_hand, reward_folder

PROMPTS = ["Question: Yuki needs 9 books. One costs 8 dollars. How much?\nAnswer:", "Question: 1 + 1?\nAnswer:"]
RESPONSES = [
    [" 9 * 8 = 72\n#### 72", " 9 * 8 = 71", "", " 9 * 8 = 72\n#### 72"],
    [" 2", " 1 + 1 = 2\n#### 2", " 3", " é"],
]
QUESTIONS = [StoredResponses(prompt, prompt, responses) for prompt, responses in zip(PROMPTS, RESPONSES, strict=True)]


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return BaseModel("pretrained=tiny,dtype=float32", "cpu")


def by_hand(prompt: str, response: str) -> tuple[float, int]:
    tokenizer = AutoTokenizer.from_pretrained(MODEL_FOLDER)
    model = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32).eval()
    before = len(tokenizer(prompt)["input_ids"])
    ids = torch.tensor([tokenizer(prompt + response)["input_ids"]])
    with torch.inference_mode():
        found = model(ids).logits.log_softmax(-1)[0]
    chosen = [found[place - 1, ids[0, place]].item() for place in range(before, ids.shape[1])]
    return sum(chosen), len(chosen)


def log_probabilities(model: BaseModel, questions) -> list[list[tuple[float, int]]]:
    """Sum and number of tokens of each response."""
    return [[(facts[0].sum(), facts.shape[1]) for facts in row] for row in model.token_facts(questions)]


def test_log_probabilities_are_the_models_own(base):
    found = log_probabilities(base, QUESTIONS)
    for question, values in zip(QUESTIONS, found, strict=True):
        for response, pair in zip(question.responses, values, strict=True):
            assert pair == pytest.approx(by_hand(question.prompt, response) if response else (0, 0), abs=1e-3)
    assert found[0][0] == found[0][3]


def test_progress_is_shown_while_texts_are_read(capsys):
    model = BaseModel("pretrained=tiny,dtype=float32", "cpu")
    model.token_facts(QUESTIONS)
    said = capsys.readouterr().err
    assert "read by tiny" in said and f"{len({(q.prompt, r) for q in QUESTIONS for r in q.responses if r})}/" in said
    model.token_facts(QUESTIONS)
    assert not capsys.readouterr().err


def test_batches_do_not_matter(base, monkeypatch):
    together = log_probabilities(base, QUESTIONS)
    monkeypatch.setattr("sprint_lmeval.scoring.likelihoods.MAX_LOGITS", 1)  # one row a batch
    alone = log_probabilities(BaseModel("pretrained=tiny,dtype=float32", "cpu"), QUESTIONS)
    assert np.allclose(together, alone, atol=1e-3)


def test_a_prompt_is_read_once_and_that_does_not_matter(base, monkeypatch):
    """A model without plain keys and values reads it with each response."""
    one, reads = BaseModel("pretrained=tiny,dtype=float32", "cpu"), []
    one.model.model.base_model.register_forward_hook(lambda module, given, output: reads.append(given))
    shared = one.token_facts(QUESTIONS)
    prompts = [given[0].shape for given in reads if given]  # within the model's own forward it has named arguments only
    assert len(prompts) == len(PROMPTS)
    monkeypatch.setattr(BaseModel, "_cache_of", lambda self, prompt, longest: None)
    whole = BaseModel("pretrained=tiny,dtype=float32", "cpu").token_facts(QUESTIONS)
    for question, other in zip(shared, whole, strict=True):
        for facts, expected in zip(question, other, strict=True):
            np.testing.assert_allclose(facts, expected, atol=1e-3)


def test_a_common_beginning_is_read_once_and_that_does_not_matter(base, monkeypatch):
    beginning = "Question: A pen costs 3 dollars. How much are 4?\nAnswer: 3 * 4 = 12\n#### 12\n\n"
    questions = [replace(question, prompt=beginning + question.prompt) for question in QUESTIONS]
    one, reads = BaseModel("pretrained=tiny,dtype=float32", "cpu"), []
    one.model.model.base_model.register_forward_hook(lambda module, given, output: reads.append(given))
    shared = one.token_facts(questions)
    first, second = (given[0].shape[1] for given in reads if given)
    lengths = [len(one.model.tok_encode(question.prompt)) - 1 for question in questions]
    common = len(one.model.tok_encode(beginning + "Question: "))
    assert first + second <= sum(lengths) - common + 2
    monkeypatch.setattr(BaseModel, "_cache_of", lambda self, prompt, longest: None)
    whole = BaseModel("pretrained=tiny,dtype=float32", "cpu").token_facts(questions)
    for question, other in zip(shared, whole, strict=True):
        for facts, expected in zip(question, other, strict=True):
            np.testing.assert_allclose(facts, expected, atol=1e-3)


def test_probabilities_that_are_no_numbers():
    model = BaseModel("pretrained=tiny,dtype=float32", "cpu")
    with torch.no_grad():
        model.model.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="probabilities that are no numbers: give another dtype="):
        model.token_facts(QUESTIONS)


def test_a_response_without_room_is_refused(base):
    with pytest.raises(InputError, match="which has room for"):
        base.token_facts([StoredResponses("Question:", "", [" 9" * 3000])])


def test_rpc_through_the_command(tmp_path, capsys):
    rows = []
    for number, (prompt, responses) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        arguments = {"gen_args_0": {"arg_0": prompt, "arg_1": {}}}
        answers = ["72", "71", None, "72"] if number == 0 else ["2", "2", "3", None]
        rows.append(
            row(number, "cinc" if number == 0 else "ccin", answers=answers, resps=[responses], arguments=arguments)
        )
    write_rows(tmp_path, rows)
    assert main(["score", str(tmp_path), "--with", "rpc", "--model_args", "pretrained=tiny", "--device", "cpu"]) == 0
    methods = json.loads((tmp_path / f"scores_{TASK}_{DATE}.json").read_text())["methods"]
    names = ["first", "least perplexity", "log-probability vote", "perplexity vote", "perplexity consistency", "rpc"]
    assert list(methods) == names
    assert methods["rpc"]["settings"]["scored_under"] == "tiny"
    assert "unpruned" in methods["rpc"]["settings"]["pruned_heads"]
    assert "every candidate scored under the unpruned tiny" in capsys.readouterr().out
    totals = [[by_hand(PROMPTS[1], r) for r in RESPONSES[1]]][0]
    best = int(np.argmax([total / tokens for total, tokens in totals[:3]]))
    assert methods["least perplexity"]["chosen"][1] == best


# ---- rewards ----


@pytest.mark.parametrize("pad", [True, False])
def test_rewards_are_the_logits_of_pairs(pad, tmp_path, capsys):
    folder = reward_folder(tmp_path / "reward", pad=pad)
    found = RewardModel(folder, "cpu").rewards(QUESTIONS)
    assert "read by reward: 100%" in capsys.readouterr().err
    for question, values in zip(QUESTIONS, found, strict=True):
        expected = [reward_by_hand(folder, question.question, response).item() for response in question.responses]
        assert values == pytest.approx(expected, abs=1e-4)


def test_a_chat_template_and_two_labels(tmp_path):
    folder = reward_folder(tmp_path / "reward", labels=2, template=True)
    (values, _) = RewardModel(folder, "cpu").rewards(QUESTIONS)
    text = f"user: {QUESTIONS[0].question}\nassistant: {QUESTIONS[0].responses[0]}\n"
    logits = reward_by_hand(folder, text)
    assert values[0] == pytest.approx((logits[1] - logits[0]).item(), abs=1e-4)


def test_what_is_too_long_is_cut_and_told(tmp_path, caplog):
    model = RewardModel(reward_folder(tmp_path / "reward"), "cpu")
    (values,) = model.rewards([StoredResponses("", "How many?", ["1 " * 5_000, "2"])])
    assert np.isfinite(values).all() and "1 texts are longer than the 128 tokens" in caplog.text


def test_models_that_are_no_reward_models(tmp_path):
    with pytest.raises(InputError, match="has 3 labels"):
        RewardModel(reward_folder(tmp_path / "three", labels=3), "cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="could not be loaded"):
        RewardModel(str(tmp_path / "empty"), "cpu")
    damaged = reward_folder(tmp_path / "damaged")
    with pytest.raises(InputError, match="could not be loaded"):
        RewardModel(damaged, "nonsense")
    for name, text in (("model.safetensors", "rubbish"), ("config.json", "[1]")):
        (tmp_path / "damaged" / name).write_text(text)
        with pytest.raises(InputError, match="could not be loaded"):
            RewardModel(damaged, "cpu")


def test_weights_that_are_not_there_are_no_reward_model(tmp_path):
    """A language model loads as a classifier, whose head is then drawn anew every time."""
    with pytest.raises(InputError, match=r"has no weights for score.weight, which would be random"):
        RewardModel(str(MODEL_FOLDER), "cpu")


def test_rewards_that_are_no_numbers(tmp_path):
    folder = reward_folder(tmp_path / "reward")
    model = RewardModel(folder, "cpu")
    with torch.no_grad():
        model.model.score.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="rewards that are no numbers"):
        model.rewards(QUESTIONS)


def test_segments_tell_a_question_from_a_response(tmp_path):
    """Encoders of the kind of BERT mark the two texts of a pair."""
    torch.manual_seed(1)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        num_labels=1,
        initializer_range=1.0,
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    (found,) = RewardModel(str(tmp_path), "cpu").rewards([StoredResponses("", "one two", ["three", "two three one"])])
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), BertForSequenceClassification.from_pretrained(tmp_path)
    with torch.inference_mode():
        for value, response in zip(found, ("three", "two three one"), strict=True):
            inputs = tokenizer("one two", response, return_tensors="pt")
            assert inputs["token_type_ids"].any()
            assert value == pytest.approx(model.eval()(**inputs).logits.item(), abs=1e-4)


def test_reward_through_the_command(tmp_path):
    folder = reward_folder(tmp_path / "reward")
    rows = [row(number, "ciic", answers=["1", "2", "2", "1"]) for number in range(5)]
    write_rows(tmp_path / "run", rows)
    assert main(["score", str(tmp_path / "run"), "--with", "reward", "--reward-model", folder, "--device", "cpu"]) == 0
    methods = json.loads((tmp_path / "run" / f"scores_{TASK}_{DATE}.json").read_text())["methods"]
    assert list(methods) == ["first", "reward best of N", "reward vote"]
    for number, place in enumerate(methods["reward best of N"]["chosen"]):
        texts = rows[number]["resps"][0]
        rewards = [reward_by_hand(folder, rows[number]["doc"]["question"], text).item() for text in texts]
        assert place == int(np.argmax(rewards))
