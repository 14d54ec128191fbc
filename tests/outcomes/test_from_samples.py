"""Samples of a run -> outcome matrix: same and different candidates, samples refused, broken files named by line."""

import json

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import NOT_RUN, OutcomeMatrix, question_hash

DATE = "2026-01-02T03-04-05.678901"
RESULTS = {
    "config": {
        "model_args": {"pretrained": "tiny"},
        "model_revision": "main",
        "model_dtype": "torch.float32",
        "sprint": {"fingerprint": "f", "heads_per_layer": [8], "generation": [{"greedy": True}], "strategy": "fixed"},
    },
    "configs": {"tiny_passn": {"num_fewshot": 2, "generation_kwargs": {}}},
    "versions": {"tiny_passn": 1.0},
}


def sample(number: int, candidates: str = "base L0H0 L1H2", **changed) -> dict:
    names = candidates.split()
    doc = {"id": f"q-{number}", "question": f"How  many are {number}?", "subject": "s", "level": 3, "split": "test"}
    kinds = ["correct", "incorrect", "no_answer", "timeout", "error"]
    return {
        "doc_id": number,
        "doc": doc,
        "candidates": names,
        "verdicts": [kinds[(number + place) % 5] for place in range(len(names))],
        "answers": [str(place) for place in range(len(names))],
        "truncated_rows": [place == 1 for place in range(len(names))],
        "new_tokens": [10 * number + place for place in range(len(names))],
        "resps": [["text"] * len(names)],
        **changed,
    }


def run(folder, samples: list[dict], results: dict | None = RESULTS):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_tiny_passn_{DATE}.jsonl"
    path.write_text("".join(json.dumps(s) + "\n" for s in samples))
    if results is not None:
        (folder / f"results_{DATE}.json").write_text(json.dumps(results))
    return path


def test_a_folder_and_its_samples_file_give_the_same_matrix(tmp_path):
    path = run(tmp_path / "out" / "tiny", [sample(1), sample(0)])
    one, other = OutcomeMatrix.from_samples(tmp_path / "out"), OutcomeMatrix.from_samples(path)
    assert one.questions == other.questions and one.facts == other.facts
    assert [q.id for q in one.questions] == ["q-0", "q-1"]  # in the order of the documents
    assert [str(c) for c in one.candidates] == ["base", "L0H0", "L1H2"]
    assert one.verdicts.tolist() == [[0, 1, 2], [1, 2, 3]] and one.correct.tolist()[0] == [True, False, False]
    assert one.truncated.tolist() == [[0, 1, 0]] * 2 and one.new_tokens.tolist() == [[0, 1, 2], [10, 11, 12]]
    first = one.questions[0]
    assert (first.hash, first.subject, first.level, first.split) == (question_hash(first.text), "s", 3, "test")
    assert one.complete


def test_facts_come_from_the_results(tmp_path):
    facts = OutcomeMatrix.from_samples(run(tmp_path, [sample(0)])).facts
    expected = {"model": "tiny", "fingerprint": "f", "heads_per_layer": [8], "task": "tiny_passn", "task_version": 1.0}
    expected |= {"num_fewshot": 2, "settings": {"greedy": True}, "split": "test", "dtype": "torch.float32"}
    assert {name: facts[name] for name in expected} == expected


@pytest.mark.parametrize("given", ["/home/me/models/small", "./small", "~/small"])
def test_where_things_lie_is_left_out(given, tmp_path):
    arguments = {"pretrained": given, "store": "/home/me/s", "token": "secret", "dtype": "float32"}
    results = {**RESULTS, "config": {**RESULTS["config"], "model_args": arguments}}
    facts = OutcomeMatrix.from_samples(run(tmp_path, [sample(0)], results)).facts
    assert (facts["model"], facts["model_args"]) == ("small", {"dtype": "float32"})


def test_model_arguments_may_be_one_text_and_a_hub_id_stays(tmp_path):
    arguments = "pretrained=somebody/small,dtype=float32"
    results = {**RESULTS, "config": {**RESULTS["config"], "model_args": arguments}}
    facts = OutcomeMatrix.from_samples(run(tmp_path, [sample(0)], results)).facts
    assert (facts["model"], facts["model_args"]) == ("somebody/small", {"dtype": "float32"})


def test_a_file_that_was_cut_at_the_end_of_a_line_is_refused(tmp_path):
    results = {**RESULTS, "n-samples": {"tiny_passn": {"original": 9, "effective": 2}}}
    with pytest.raises(InputError, match="has 1 rows, and its run had 2 questions"):
        OutcomeMatrix.from_samples(run(tmp_path, [sample(0)], results))
    again = sample(1)
    again["doc"]["question"] = sample(0)["doc"]["question"]  # left out of the matrix, and nevertheless a row
    assert len(OutcomeMatrix.from_samples(run(tmp_path, [sample(0), again], results)).questions) == 1


def test_numbers_that_no_file_can_hold_are_refused_in_facts_only(tmp_path):
    metrics = {"results": {"tiny_passn": {"pass@1_stderr": float("nan")}}}
    assert OutcomeMatrix.from_samples(run(tmp_path, [sample(0)], {**RESULTS, **metrics})).facts["model"] == "tiny"
    results = {**RESULTS, "versions": {"tiny_passn": float("nan")}}
    with pytest.raises(InputError, match="cannot be written as JSON"):
        OutcomeMatrix.from_samples(run(tmp_path, [sample(0)], results))


def test_without_results_the_model_is_unknown_and_that_is_said(tmp_path, harness_log):
    facts = OutcomeMatrix.from_samples(run(tmp_path, [sample(0)], results=None)).facts
    assert facts == {"task": "tiny_passn", "split": "test", "source": "samples"}
    assert "does not know its model" in harness_log.text


def test_questions_may_have_different_candidates(tmp_path):
    matrix = OutcomeMatrix.from_samples(run(tmp_path, [sample(0, "L0H0 L1H2"), sample(1, "L1H2 base")]))
    assert [str(c) for c in matrix.candidates] == ["L0H0", "L1H2", "base"]
    assert matrix.verdicts.tolist() == [[0, 1, NOT_RUN], [NOT_RUN, 1, 2]]
    assert matrix.truncated.tolist() == [[0, 1, -1], [-1, 0, 1]]
    assert not matrix.complete and not matrix.correct[0, 2]
    with pytest.raises(InputError, match="2 of 6 cells"):
        matrix.require_complete()
    matrix.save(tmp_path / "m.parquet")
    assert OutcomeMatrix.load(tmp_path / "m.parquet").verdicts.tolist() == matrix.verdicts.tolist()


def test_texts_can_be_left_out(tmp_path):
    matrix = OutcomeMatrix.from_samples(run(tmp_path, [sample(0)]), texts=False)
    assert matrix.questions[0].text == "" and len(matrix.questions[0].hash) == 64


def test_what_the_model_did_not_tell_is_unknown(tmp_path):
    unlabelled = sample(0)
    del unlabelled["truncated_rows"], unlabelled["new_tokens"]
    matrix = OutcomeMatrix.from_samples(run(tmp_path, [unlabelled]))
    assert matrix.truncated.tolist() == matrix.new_tokens.tolist() == [[-1] * 3]


def test_base_stands_once_for_its_n_copies(tmp_path):
    copies = {"verdicts": ["correct"] * 3, "truncated_rows": [False] * 3, "new_tokens": [7] * 3}
    matrix = OutcomeMatrix.from_samples(run(tmp_path, [sample(0, "base base base", **copies)]))
    assert matrix.verdicts.tolist() == [[0]] and matrix.new_tokens.tolist() == [[7]]


def test_a_problem_that_the_data_set_holds_twice_counts_once(tmp_path, harness_log):
    again = sample(1)
    again["doc"]["question"] = "How many are 0?"
    assert len(OutcomeMatrix.from_samples(run(tmp_path, [sample(0), again])).questions) == 1
    assert "q-1 was there before, left out" in harness_log.text


def sampled() -> dict:
    copies = {"verdicts": ["correct"] * 2, "truncated_rows": [False] * 2, "new_tokens": [7] * 2}
    return sample(0, "base base", **copies, **{"unbiased_pass@1": 1.0})


def with_doc(**changed) -> list[dict]:
    return [{**sample(0), "doc": {**sample(0)["doc"], **changed}}]


WRONG = {
    "samples": ([sampled()], "samples or branches"),
    "one candidate, two texts": ([sample(0, "base base")], "samples or branches"),
    "the run twice": ([sample(0), sample(0)], "more than one run"),
    "another task": ([{"doc_id": 0, "doc": {"query": "x"}}], "line 1: no document with id and question"),
    "another model": ([sample(0), {**sample(1), "candidates": None}], "line 2: no lists of candidates"),
    "lists of two lengths": ([sample(0, verdicts=["correct"])], r"its lists have 1, 3 entries"),
    "no candidates": ([sample(0, "")], r"its lists have 0 entries"),
    "an unknown verdict": ([sample(0, verdicts=["perfect"] * 3)], "'perfect' stands among its verdicts"),
    "a verdict that is a number": ([sample(0, verdicts=[1, 0, 0])], "1 stands among its verdicts"),
    "a length below zero": ([sample(0, new_tokens=[-5, 1, 1])], "-5 stands among its new_tokens"),
    "truncated as a word": ([sample(0, truncated_rows=["no"] * 3)], "'no' stands among its truncated_rows"),
    "a candidate in another notation": ([sample(0, "base L0 L1H2")], "cannot read the candidate"),
    "an id out of Unicode": (with_doc(id="\ud800"), "line 1: question .* its id is not text"),
    "a question out of Unicode": (with_doc(question="\ud800 x"), "line 1: question .* its text is not text"),
    "a level too large": (with_doc(level=10**12), "line 1: question .* level 1000000000000"),
    "no object": ([[1, 2]], "no document"),
    "nothing": ([], "is empty"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_run_of_candidates_is_refused(name, tmp_path):
    samples, sentence = WRONG[name]
    path = run(tmp_path, samples)
    with pytest.raises(InputError, match=sentence) as caught:
        OutcomeMatrix.from_samples(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_damaged_or_missing_are_named(tmp_path):
    path = run(tmp_path / "a", [sample(0), sample(1)])
    path.write_text(path.read_text()[:-50])
    with pytest.raises(InputError, match="line 2: not JSON"):
        OutcomeMatrix.from_samples(path)
    run(tmp_path / "b", [sample(0)], results={"configs": {}})
    with pytest.raises(InputError, match="is not the results of a run of tiny_passn"):
        OutcomeMatrix.from_samples(tmp_path / "b")
    with pytest.raises(InputError, match="holds 2 samples files"):
        OutcomeMatrix.from_samples(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no samples_"):
        OutcomeMatrix.from_samples(tmp_path / "empty")
    with pytest.raises(InputError, match="does not exist"):
        OutcomeMatrix.from_samples(tmp_path / "nowhere")
    with pytest.raises(InputError, match="does not exist"):
        OutcomeMatrix.from_samples("x" * 5_000)
