"""The tasks inside the harness: N responses judged together, with our model and with the harness's own."""

import functools
import json

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.passn.task import PassNTask
from sprint_lmeval.tiny import MODEL_FOLDER

LISTS = ["candidates", "verdicts", "answers", "truncated_rows", "new_tokens"]


@functools.cache
def task_manager() -> TaskManager:
    """Reading the harness's 15,000 task files takes seconds: once for all tests."""
    return TaskManager()


def evaluate(tasks="tiny_passn", model="hf-pruned-bon", model_args="pretrained=tiny", limit=3, **options) -> dict:
    options = {"batch_size": 48, "device": "cpu", "bootstrap_iters": 0, "task_manager": task_manager()} | options
    tasks = tasks if isinstance(tasks, list) else [tasks]
    return lm_eval.simple_evaluate(model=model, model_args=model_args, tasks=tasks, limit=limit, **options)


@pytest.fixture(scope="module")
def spread_run() -> dict:
    return evaluate(tasks=["tiny_passn", "tiny_train_passn"], limit=4, bootstrap_iters=100)


def metric(run: dict, name: str, task: str = "tiny_passn") -> float:
    return run["results"][task][f"{name},first_n"]


def test_every_metric_of_sixteen_candidates_is_in_the_table(spread_run):
    for task in ("tiny_passn", "tiny_train_passn"):
        values = spread_run["results"][task]
        names = {key.split(",")[0] for key in values if key.endswith(",first_n") and "stderr" not in key}
        passes = {f"pass@{k}" for k in range(1, 17)}
        rates = {"no_answer", "truncated", "grader_failed", "distinct_answers", "distinct_texts", "tokens_per_answer"}
        assert names == passes | rates | {"mean@16", "maj@16", "all@16"}
        assert isinstance(values["pass@16_stderr,first_n"], float)


def test_samples_carry_lists_of_n_in_order(spread_run):
    for sample in spread_run["samples"]["tiny_passn"]:
        assert {name: len(sample[name]) for name in LISTS} == dict.fromkeys(LISTS, 16)
        assert sample["candidates"][:5] == ["base", "L0H0", "L1H0", "L2H0", "L3H0"]
        assert sample["pass@16"] == float("correct" in sample["verdicts"])
        assert "unbiased_pass@1" not in sample and "scores" not in sample
        json.dumps(sample)


def test_metrics_follow_from_the_samples(spread_run):
    samples = spread_run["samples"]["tiny_passn"]
    for k in (1, 3, 16):
        by_hand = sum("correct" in s["verdicts"][:k] for s in samples) / len(samples)
        assert metric(spread_run, f"pass@{k}") == pytest.approx(by_hand)
    correct = sum(s["verdicts"].count("correct") for s in samples) / (16 * len(samples))
    assert metric(spread_run, "mean@16") == pytest.approx(correct)
    assert correct > 0, "the embedded model solves some of its problems"


def test_results_record_strategy_and_grader(spread_run):
    assert spread_run["config"]["sprint"]["strategy"] == "spread"
    recorded = spread_run["configs"]["tiny_passn"]
    assert recorded["repeats"] == 16
    assert "math_verify" in recorded["metadata"]["grader"]
    assert " at 0x" not in json.dumps(recorded, default=str)


def test_the_harness_hf_model_runs_the_task_and_tells_less():
    run = evaluate(model="hf", model_args=f"pretrained={MODEL_FOLDER},dtype=float32", limit=2)
    sample = run["samples"]["tiny_passn"][0]
    assert "verdicts" in sample and len(sample["resps"][0]) == 16
    assert not {"candidates", "truncated_rows", "new_tokens", "truncated"} & set(sample)
    assert "truncated,first_n" not in run["results"]["tiny_passn"]
    assert "unbiased_pass@4,first_n" not in run["results"]["tiny_passn"]
    assert metric(run, "pass@1") == metric(run, "pass@16")  # greedy: sixteen times the same


def test_sampling_with_the_harness_hf_model_is_exchangeable():
    run = evaluate(
        model="hf",
        model_args=f"pretrained={MODEL_FOLDER},dtype=float32",
        limit=2,
        gen_kwargs="do_sample=True,temperature=0.9",
    )
    sample = run["samples"]["tiny_passn"][0]
    assert sample["unbiased_pass@1"] == pytest.approx(sample["mean@16"])


def test_sample_strategy_has_the_unbiased_estimate():
    run = evaluate(model_args="pretrained=tiny,strategy=sample", gen_kwargs="temperature=0.9", limit=2)
    assert metric(run, "unbiased_pass@1") == pytest.approx(metric(run, "mean@16"))
    assert metric(run, "unbiased_pass@16") == metric(run, "pass@16")


@pytest.mark.parametrize("n", [1, 3, 20])
def test_other_n_by_yaml(tmp_path, n):
    (tmp_path / "other.yaml").write_text(f"group: tiny_other\ntask:\n  - task: tiny_passn\n    repeats: {n}\n")
    manager = TaskManager(include_path=str(tmp_path))
    run = evaluate(tasks="tiny_other", limit=2, task_manager=manager)
    assert len(run["samples"]["tiny_passn"][0]["verdicts"]) == n
    assert metric(run, f"pass@{n}") == metric(run, f"pass@{n}")
    assert f"pass@{n + 1},first_n" not in run["results"]["tiny_passn"]


def test_few_shot_and_chat_template():
    asked = {}
    for name, options in {
        "plain": {},
        "shots": {"num_fewshot": 2},
        "chat": {"apply_chat_template": True},
        "system": {"apply_chat_template": True, "system_instruction": "Be brief."},
    }.items():
        run = evaluate(model_args="pretrained=tiny,strategy=base", limit=1, **options)
        asked[name] = run["samples"]["tiny_passn"][0]["arguments"][0][0]
    assert asked["plain"].startswith("Question: ") and asked["plain"].endswith("\nAnswer:")
    assert asked["shots"].endswith(asked["plain"]) and asked["shots"].count("####") == 2
    assert asked["chat"] == asked["plain"]  # the embedded model's template adds nothing
    assert "Be brief." in asked["system"]


def test_few_shot_variant_has_its_shots():
    run = evaluate(tasks="tiny_passn_fewshot", model_args="pretrained=tiny,strategy=base", limit=1)
    assert run["samples"]["tiny_passn_fewshot"][0]["arguments"][0][0].count("####") == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cache_requests": True}, "--cache_requests"),
        ({"num_fewshot": 50}, r"--num_fewshot 50 .* has 6 examples"),
        ({"model_args": "pretrained=tiny,head_masks=L0H0:L0H1"}, r"16 responses .* 2 candidates"),
    ],
)
def test_refused(options, words):
    with pytest.raises(InputError, match=words):
        evaluate(limit=1, **options)


def test_predict_only_judges_nothing():
    run = evaluate(limit=1, predict_only=True, model_args="pretrained=tiny,strategy=base")
    assert len(run["samples"]["tiny_passn"][0]["resps"][0]) == 16
    assert not any("pass@" in name for name in run["results"]["tiny_passn"])


def test_use_cache_is_refused(tmp_path):
    with pytest.raises(InputError, match="--use_cache"):
        evaluate(limit=1, use_cache=str(tmp_path / "cache"))


def test_a_gold_that_cannot_be_judged_stops_the_run_before_generating(monkeypatch):
    from sprint_lmeval.passn import documents

    real = documents.tiny

    def spoiled(**arguments):
        split = real()["test"].select(range(3))
        return {"test": split.map(lambda d, i: {"answer": "many" if i == 1 else d["answer"]}, with_indices=True)}

    monkeypatch.setattr(documents, "tiny", spoiled)
    monkeypatch.setattr(HFPrunedBestOfN, "generate_until", lambda *a: pytest.fail("it generated"))
    with pytest.raises(InputError, match=r"tiny_passn, document .*many"):
        evaluate(limit=3)


@pytest.mark.parametrize("repeats", [0, -1, 2.5, "16", True])
def test_n_must_be_a_whole_number(repeats):
    with pytest.raises(InputError, match="repeats"):
        PassNTask(config={"task": "t", "repeats": repeats})


def test_missing_responses_stop_the_run():
    task = task_manager().load(["tiny_passn"])["tasks"]["tiny_passn"]
    with pytest.raises(InputError, match="3 responses, 16 were asked for"):
        task.process_results(task.task_docs[0], [["a", "b", "c"]])


def test_padding_is_cut_off():
    task = task_manager().load(["tiny_passn"])["tasks"]["tiny_passn"]
    document = task.task_docs[0]
    right, wrong = f"#### {document['answer']}", "#### 123456"
    row = task.process_results(document, [[wrong] * 16 + [right] * 16])
    assert row["pass@16"] == 0.0 and len(row["verdicts"]) == 16


def test_n_as_a_model_argument_that_the_tasks_were_not_told():
    with pytest.raises(InputError, match="n=3 given, and task tiny_passn asks for 16 responses per question"):
        evaluate(model_args="pretrained=tiny,n=3", limit=1)


@pytest.mark.parametrize("n", [0, True, "four", 2.5])
def test_n_that_is_no_number_of_responses(n):
    with pytest.raises(InputError, match=f"task a: n={n} given, N must be a whole number above 0"):
        PassNTask({"task": "a", "repeats": 16, "metadata": {"n": n}})
