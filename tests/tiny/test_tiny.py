"""The embedded model: its problems, its tokenizer, its weights, and that training them again gives the same ones."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import islice

import pytest
import torch
from safetensors import safe_open

from benchmarks.tiny import model as tiny_model
from benchmarks.tiny import training
from sprint_lmeval.candidates import BASE
from sprint_lmeval.tiny import MODEL_FOLDER
from sprint_lmeval.tiny.families import FAMILIES
from sprint_lmeval.tiny.problems import SIZES, problems, stream

STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
SPLITS_SHA256 = "8d4c8e6f37b0ffc0147f586bf17e81e0a4fa39383cf06546427a4dde302326f9"
ACCURACY_BAND = (45.0, 80.0)  # per cent, as in the card


@pytest.fixture(scope="module")
def everything():
    return [*problems("train"), *problems("test"), *islice(stream("a test"), 1_000)]


@pytest.fixture(scope="module")
def loaded():
    return tiny_model.load()


# Problems


def test_split_sizes_and_ids():
    assert {split: len(problems(split)) for split in SIZES} == {"train": 1_600, "test": 5_000}
    ids = [problem.id for split in SIZES for problem in problems(split)]
    assert len(set(ids)) == len(ids)


def test_questions_of_splits_and_training_stream_are_disjoint():
    splits = [problem.question for split in SIZES for problem in problems(split)]
    assert len(set(splits)) == len(splits)
    trained_on = [
        problem.question for problem in islice(stream("0-0"), 5_000)
    ]  # the name of a chunk of the training data
    assert len(set(trained_on)) == len(trained_on)
    assert not set(trained_on) & set(splits)


def test_the_stream_leaves_out_what_the_splits_hold(monkeypatch):
    from sprint_lmeval.tiny import problems as module

    first = list(islice(stream("s"), 50))
    monkeypatch.setattr(module, "_splits", lambda: {"test": tuple(first[:25])})
    assert not {p.question for p in islice(stream("s"), 50)} & {p.question for p in first[:25]}


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="split 'dev' given, allowed are 'train', 'test'"):
        problems("dev")


def test_every_family_has_its_share():
    assert len(FAMILIES) >= 7
    assert Counter(p.subject for p in problems("train")) == dict.fromkeys(FAMILIES, 200)
    assert Counter(p.subject for p in problems("test")) == dict.fromkeys(FAMILIES, 625)


def test_every_answer_follows_from_its_steps(everything):
    operations = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
    for problem in everything:
        *steps, last = problem.solution.split("\n")
        assert len(steps) >= 2, problem
        known = {int(number) for number in re.findall(r"\d+", problem.question)} | {2, 3, 4, 5, 6, 8}
        for step in steps:
            left, operator, right, result = STEP.fullmatch(step).groups()
            assert operations[operator](int(left), int(right)) == int(result), problem
            assert operator != "/" or int(left) % int(right) == 0, problem
            assert {int(left), int(right)} <= known, problem  # nothing comes from nowhere
            known.add(int(result))
        assert last == f"#### {problem.answer}" and problem.answer == int(result), problem


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_problems_are_the_same_in_every_process(hash_seed):
    code = (
        "import hashlib; from sprint_lmeval.tiny.problems import problems; "
        "print(hashlib.sha256(repr([*problems('train'), *problems('test')]).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == SPLITS_SHA256  # the committed weights and results belong to these problems


def test_the_package_and_its_problems_need_the_standard_library_only():
    code = (
        "import sys; import sprint_lmeval.tiny.problems; "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'transformers', 'numpy', 'lm_eval'}))"
    )
    environment = {**os.environ, "SPRINT_LMEVAL_AUTOLOAD": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Tokenizer


def test_tokenizer_gives_every_text_back(loaded, everything):
    _, tokenizer = loaded
    texts = [problem.prompt + problem.completion for problem in everything]
    texts += ["Größe: 3 €\n\n\t{x}  ", "#### 1 2", "don't , stop .", "a\r\nb"]
    for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        assert tokenizer.decode(ids) == text
        assert len(ids) <= 512


def test_every_digit_is_a_token_of_its_own(loaded):
    _, tokenizer = loaded
    assert [tokenizer.decode([token]) for token in tokenizer("2026+19")["input_ids"]] == list("2026+19")
    assert not [token for token in tokenizer.get_vocab() if len(token) > 1 and re.search(r"\d", token)]


def test_prompt_and_completion_are_encoded_as_one_text_would_be(loaded, everything):
    _, tokenizer = loaded
    whole = tokenizer([p.prompt + p.completion for p in everything])["input_ids"]
    prompts = tokenizer([p.prompt for p in everything])["input_ids"]
    completions = tokenizer([p.completion for p in everything])["input_ids"]
    assert whole == [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]


def test_chat_template_leaves_the_text_as_it_is(loaded):
    _, tokenizer = loaded
    prompt = problems("test")[0].prompt
    for text in (prompt, f" {prompt} 1 + 1 = 2\n#### 2\n\n", "\n"):
        messages = [{"role": "user", "content": text}]
        assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == text
    turns = [
        {"role": "system", "content": "a "},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": " c\n"},
    ]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "a b c\n"


# Weights


def test_model_folder():
    assert (MODEL_FOLDER / "model.safetensors").stat().st_size < 10_000_000
    config = json.loads((MODEL_FOLDER / "config.json").read_text())
    assert (config["num_hidden_layers"], config["num_attention_heads"], config["num_key_value_heads"]) == (4, 8, 4)
    assert (config["hidden_size"], config["head_dim"], config["dtype"]) == (256, 32, "float32")
    assert "auto_map" not in config and config["max_position_embeddings"] >= 512
    assert not list(MODEL_FOLDER.glob("*.bin")) and not list(MODEL_FOLDER.glob("*.py"))
    with safe_open(MODEL_FOLDER / "model.safetensors", framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_model_runs_in_float32_and_ends_by_itself(loaded):
    model, tokenizer = loaded
    assert model.dtype == torch.float32
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id != tokenizer.pad_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id


def test_accuracy_is_in_the_documented_band(loaded):
    questions = problems("test")[:120]
    solved = tiny_model.solve(*loaded, questions, [BASE])[BASE]
    low, high = ACCURACY_BAND
    assert low <= tiny_model.percent(solved) <= high


def test_card_and_figures_belong_to_the_weights():
    figures = json.loads((MODEL_FOLDER / "figures.json").read_text())
    card = (MODEL_FOLDER / "README.md").read_text(encoding="utf-8")
    assert figures["weights_sha256"] == hashlib.sha256((MODEL_FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert tiny_model.table(figures) in card
    assert len(figures["heads"]) == 32 and figures["questions"] == 500
    assert ACCURACY_BAND[0] <= figures["base"] <= ACCURACY_BAND[1]
    assert figures["base"] <= figures["oracle_base_and_all_heads"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" 1 + 2 = 3\n#### 3", 3),
        ("#### 3\n#### 4", 4),
        ("####5", 5),
        ("#### -2", -2),
        (" 1 + 2 = 3", None),
        ("#### x", None),
        ("", None),
    ],
)
def test_final_answer(text, answer):
    assert tiny_model.final_answer(text) == answer


# Training


@pytest.fixture
def settings(monkeypatch):
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    monkeypatch.setattr(training, "TOKENIZER_TEXTS", 300)
    yield training.Training(steps=4, rows=4, save_every=2)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_training_again_gives_the_same_weights(settings, tmp_path):
    first = training.train(settings, tmp_path / "first")
    assert training.train(settings, tmp_path / "second") == first
    assert training.train(training.replace(settings, seed=1), tmp_path / "third") != first
    tokenizers = [(tmp_path / name / "tokenizer.json").read_bytes() for name in ("first", "second")]
    assert tokenizers[0] == tokenizers[1]


def test_a_stopped_training_goes_on_to_the_same_weights(settings, tmp_path):
    whole = training.train(settings, tmp_path / "whole")
    training.train(settings, tmp_path / "stopped", stop=3)  # its checkpoint is of step 2
    assert (tmp_path / "stopped" / "checkpoint.safetensors").exists()
    assert training.train(settings, tmp_path / "stopped") == whole
    assert not (tmp_path / "stopped" / "checkpoint.safetensors").exists()


def test_a_checkpoint_of_other_settings_is_refused(settings, tmp_path):
    training.train(settings, tmp_path, stop=2)
    with pytest.raises(ValueError, match="give the same settings, or remove it"):
        training.train(training.replace(settings, steps=6), tmp_path)


def test_weights_of_the_loss(loaded):
    _, tokenizer = loaded
    problem = problems("train")[0]
    ids, weights = training.encode(tokenizer, problem)
    full = [token for token, weight in zip(ids, weights, strict=True) if weight == 1]
    assert tokenizer.decode(full) == problem.completion + tokenizer.eos_token
    padded, padded_weights = training.pad([(ids, weights), (ids[:5], weights[:5])], tokenizer.pad_token_id)
    assert padded.shape == padded_weights.shape == (2, len(ids))
    assert (padded_weights[1, 5:] == 0).all() and (padded[1, 5:] == tokenizer.pad_token_id).all()


def test_padding_changes_no_loss(loaded):
    model, tokenizer = loaded
    short, long = sorted(
        (training.encode(tokenizer, p) for p in problems("train")[:2]), key=lambda example: len(example[0])
    )
    alone, beside = training.pad([short], tokenizer.pad_token_id), training.pad([short, long], tokenizer.pad_token_id)
    beside[1][1] = 0  # the long one bears no loss, the short one is padded
    with torch.no_grad():
        losses = [training.weighted_loss(model, *batch).item() for batch in (alone, beside)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
