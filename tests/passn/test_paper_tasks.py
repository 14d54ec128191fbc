"""The paper's own protocol as tasks: its messages, its grader beside ours; AIME; an instruction is said once."""

import json
from functools import cache

import pytest
from lm_eval.tasks import TaskManager

from sprint_lmeval.answers.extraction import paper_answer
from sprint_lmeval.answers.verdicts import paper_verdicts
from sprint_lmeval.errors import InputError
from sprint_lmeval.passn import documents
from sprint_lmeval.passn.task import INSTRUCTION

MATH = {"problem": "What is $1 + 1$?", "solution": "It is $\\boxed{2}$.", "answer": "2", "unique_id": "a"}
GSM8K = {"question": "Ann has 3 pens and buys 1000. How many?", "answer": "3+1000=1003\n#### 1,003"}
AIME = {"problem": "Find the remainder.", "answer": "073", "id": 60}


@cache
def task_manager() -> TaskManager:
    return TaskManager()


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SPRINT_DATA_DIR", str(tmp_path))
    files = {"math/math500": MATH, "math/train": {**MATH, "problem": "What is $2$?"}, "gsm8k/test": GSM8K}
    for name, record in {**files, "gsm8k/train": GSM8K, "aime/aime24": AIME, "aime/aime25": AIME}.items():
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record) + "\n")
    return tmp_path


def load(name: str):
    return task_manager().load([name])["tasks"][name]


def prompt(task, render=None, **options) -> str:
    task.build_all_requests(apply_chat_template=bool(render), chat_template=render, **options)
    return task.instances[0].args[0]


def plain_template(messages, **_) -> str:
    return "".join(f"<{m['role']}>{m['content']}" for m in messages)


def template_with_instruction(messages, **_) -> str:
    own = [] if messages[0]["role"] == "system" else [{"role": "system", "content": INSTRUCTION}]
    return plain_template([*own, *messages])


@pytest.mark.parametrize(
    ("name", "system", "question", "limit"),
    [
        ("math500_passn_paper", INSTRUCTION, MATH["problem"], 2048),
        ("math_train_passn_paper", INSTRUCTION, "What is $2$?", 2048),
        ("gsm8k_passn_paper", "Solve the following question.", GSM8K["question"], 512),
        ("gsm8k_train_passn_paper", "Solve the following question.", GSM8K["question"], 512),
    ],
)
def test_the_papers_messages_and_limits(data, name, system, question, limit):
    task = load(name)
    assert prompt(task, plain_template) == f"<system>{system}<user>{question}"
    settings = task.instances[0].args[1]
    assert settings["max_gen_toks"] == limit and settings["repetition_penalty"] == 1.0
    assert documents.task_documents(name)["question"] == [question]


def test_an_instruction_of_the_chat_template_is_not_said_again(data, harness_log):
    asked = f"{MATH['problem']}\n\n{INSTRUCTION}"
    task = load("math500_passn")
    assert prompt(task, template_with_instruction) == f"<system>{INSTRUCTION}<user>{MATH['problem']}"
    assert "--system_instruction" in harness_log.text
    assert prompt(task, plain_template) == f"<user>{asked}"
    other = prompt(task, template_with_instruction, system_instruction="Be brief.")
    assert other == f"<system>Be brief.<user>{asked}"
    twice = prompt(load("math500_passn_fewshot"), template_with_instruction)
    assert twice.count(INSTRUCTION) == 1  # in the system message


@pytest.mark.parametrize(
    ("response", "kind", "answer"),
    [
        (r"\boxed{\frac{1}{2}} and \boxed{3}", "math", r"\frac{1}{2}"),
        (r"so \boxed{\{1, 2\}}", "math", r"\{1, 2\}"),
        (r"so \boxed{1", "math", None),
        (r"so \boxed{}", "math", None),
        ("the answer is 3", "math", None),
        ("#### 1,003\nThat is 3 + 1000.50.", "number", "1000.50"),
        ("minus -4 in all.", "number", "-4"),
        ("none", "number", None),
    ],
)
def test_what_the_papers_grader_reads(response, kind, answer):
    assert paper_answer(response, kind) == answer


def test_the_papers_tolerance():
    said = ["It is 2.99995.", "It is 2.9998.", "It is three."]
    assert paper_verdicts(said, "3", "number") == ["correct", "incorrect", "no_answer"]


def test_both_verdicts_are_in_the_sample_and_the_difference_is_counted(data):
    task = load("gsm8k_passn_paper")
    right, working, wrong = "The answer is 1003.", "The answer is 1003.\nHere 3 was there before.", "It is 5."
    row = task.process_results(task.task_docs[0], [[wrong, working, working, right] + [wrong] * 12])
    assert row["verdicts"][:4] == ["incorrect", "correct", "correct", "correct"]
    assert row["paper_verdicts"][:4] == ["incorrect", "incorrect", "incorrect", "correct"]
    numbers = dict(row.items())
    assert (numbers["pass@2"], numbers["paper_pass@2"], numbers["paper_pass@4"]) == (1, 0, 1)
    assert numbers["grading_differs"] == 2 / 16
    assert set(numbers) <= set(task.aggregation()) and task.higher_is_better()["grading_differs"] is False


@pytest.mark.parametrize("name", ["aime24_passn", "aime25_passn"])
def test_aime(data, name):
    task = load(name)
    (document,) = task.task_docs
    assert document["answer"] == "73" and INSTRUCTION in prompt(task)
    row = task.process_results(document, [[r"\boxed{073}", r"\boxed{73}", r"\boxed{74}", "73"] * 4])
    assert row["verdicts"][:4] == ["correct", "correct", "incorrect", "no_answer"]


@pytest.mark.parametrize("answer", ["1000", "-1", "7.5", "x", ""])
def test_an_answer_that_aime_does_not_have(data, answer):
    (data / "aime" / "aime24.jsonl").write_text(json.dumps({**AIME, "answer": answer}) + "\n")
    with pytest.raises(InputError, match=r"aime24.jsonl, line 1: answer .* no whole number from 0 to 999"):
        documents.aime24()


def test_an_answer_in_degrees_is_a_whole_number(data):
    (data / "aime" / "aime25.jsonl").write_text(json.dumps({**AIME, "answer": r"336^\circ"}) + "\n")
    assert documents.aime25()["test"]["answer"] == ["336"]
