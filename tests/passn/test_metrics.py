"""Metrics of one question from verdicts, checked by hand and against counting all subsets."""

from itertools import combinations, pairwise

import pytest

from sprint_lmeval.answers.verdicts import Judgement, Verdict
from sprint_lmeval.models.requests import ResponseText
from sprint_lmeval.passn.metrics import (
    QuestionRow,
    aggregations,
    all_at_k,
    kept_lists,
    majority_vote,
    mean_metrics,
    pass_at_k,
    question_metrics,
    unbiased_pass_at_k,
)
from sprint_lmeval.passn.table import shown

LETTERS = {"c": "correct", "i": "incorrect", "n": "no_answer", "t": "timeout", "e": "error"}


def judged(letters: str, groups: list) -> Judgement:
    verdicts = [Verdict[LETTERS[letter]] for letter in letters]
    return Judgement([None if g is None else f"answer {g}" for g in groups], verdicts, groups)


@pytest.mark.parametrize(
    ("correct", "k", "expected"),
    [([1, 0, 0], 1, 1), ([0, 1, 0], 1, 0), ([0, 1, 0], 2, 1), ([0, 0, 0], 3, 0), ([0, 0, 1], 2, 0)],
)
def test_pass_at_k_counts_the_first_k_in_order(correct, k, expected):
    assert pass_at_k(list(map(bool, correct)), k) == expected


@pytest.mark.parametrize(
    ("correct", "k", "expected"),
    [([1, 0, 0], 1, 1), ([1, 1, 0], 2, 1), ([1, 1, 0], 3, 0), ([0, 1, 1], 1, 0), ([1, 1, 1], 3, 1)],
)
def test_all_at_k_wants_each_of_the_first_k(correct, k, expected):
    assert all_at_k(list(map(bool, correct)), k) == expected


@pytest.mark.parametrize("k", [0, 4, -1])
def test_at_k_refuses_other_k(k):
    for metric in (pass_at_k, all_at_k):
        with pytest.raises(ValueError, match="3 responses"):
            metric([True] * 3, k)


def test_unbiased_is_the_mean_over_all_subsets():
    for n in range(1, 7):
        for c in range(n + 1):
            verdicts = [True] * c + [False] * (n - c)
            for k in range(1, n + 1):
                subsets = [any(s) for s in combinations(verdicts, k)]
                assert unbiased_pass_at_k(n, c, k) == pytest.approx(sum(subsets) / len(subsets))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, 1, 5), (4, 1, 0), (4, -1, 1)])
def test_unbiased_refuses_the_impossible(n, c, k):
    with pytest.raises(ValueError, match="needed"):
        unbiased_pass_at_k(n, c, k)


@pytest.mark.parametrize(
    ("letters", "groups", "expected"),
    [
        ("cci", [0, 0, 1], 1),
        ("cii", [0, 1, 1], 0),
        ("ci", [0, 1], 0.5),  # a tie is split
        ("cii", [0, 1, 2], pytest.approx(1 / 3)),
        ("nnn", [None, None, None], 0),  # nobody votes
        ("cnn", [0, None, None], 1),  # a response without an answer does not vote
        ("ttc", [0, 1, 2], pytest.approx(1 / 3)),
    ],
)
def test_majority(letters, groups, expected):
    assert majority_vote(judged(letters, groups)) == expected


def test_all_metrics_of_one_question():
    judgement = judged("inctci", [0, None, 1, 2, 1, 0])
    metrics = question_metrics(judgement, ["one text", *["another"] * 5], exchangeable=False)
    assert [metrics[f"pass@{k}"] for k in range(1, 7)] == [0, 0, 1, 1, 1, 1]
    assert metrics["mean@6"] == pytest.approx(2 / 6)
    assert metrics["maj@6"] == 0.5
    assert metrics["no_answer"] == pytest.approx(1 / 6)
    assert metrics["grader_failed"] == pytest.approx(1 / 6)
    assert (metrics["distinct_answers"], metrics["distinct_texts"]) == (3, 2)
    assert metrics["all@6"] == 0
    assert not any(name.startswith("unbiased") for name in metrics)
    assert "truncated" not in metrics  # plain text does not tell


def test_pass_at_k_never_falls_with_k():
    metrics = question_metrics(judged("iiciicci", [0, 1, 2, 3, 4, 2, 2, 5]), ["t"] * 8, exchangeable=True)
    for name in ("pass", "unbiased_pass"):
        values = [metrics[f"{name}@{k}"] for k in range(1, 9)]
        assert all(a <= b for a, b in pairwise(values))
    assert metrics["all@8"] == 0


def test_what_the_model_tells_is_kept_and_what_it_does_not_is_absent():
    judgement = judged("ci", [0, 1])
    given = [
        ResponseText("x", candidate="base", truncated=False, new_tokens=3),
        ResponseText("y", candidate="L0H1", truncated=True, new_tokens=9),
    ]
    assert question_metrics(judgement, given, False)["truncated"] == 0.5
    given[1].distinct = True
    assert "maj@2" not in question_metrics(judgement, given, False), "each text comes once: no vote"
    lists = kept_lists(judgement, given)
    assert lists["candidates"] == ["base", "L0H1"]
    assert lists["truncated_rows"] == [False, True]
    assert lists["new_tokens"] == [3, 9]
    assert lists["verdicts"] == ["correct", "incorrect"]
    assert "scores" not in lists
    assert set(kept_lists(judgement, ["x", "y"])) == {"verdicts", "answers"}


def test_a_question_row_shows_numbers_to_the_table_and_lists_to_the_sample():
    row = QuestionRow({"pass@1": 1.0}, {"verdicts": ["correct"]})
    sample = {"doc_id": 3}
    sample.update(row)
    assert sample == {"doc_id": 3, "pass@1": 1.0, "verdicts": ["correct"]}
    assert list(row.items()) == [("pass@1", 1.0)]
    assert list(row.keys()) == ["pass@1"]


def test_every_metric_has_the_harness_mean():
    from lm_eval.api.metrics import mean

    judgement = judged("ci", [0, 1])
    given = [ResponseText("x", candidate="base", truncated=False, new_tokens=3)] * 2
    names = set(question_metrics(judgement, given, exchangeable=True))
    assert names == set(mean_metrics(2)) == set(aggregations(2))
    assert set(aggregations(2).values()) == {mean}


def test_response_text_survives_pickling():
    import pickle

    given = ResponseText("x", candidate="L0H1", truncated=True, new_tokens=9, exchangeable=True, score=0.5)
    copy = pickle.loads(pickle.dumps(given))
    assert (copy, vars(copy)) == ("x", vars(given))


def test_the_table_shows_few_rows_in_the_order_of_k():
    metrics = {f"{name},first_n": 0.0 for name in mean_metrics(20) if "unbiased" not in name} | {"alias": "tiny_passn"}
    metrics |= {"grader_failed,first_n": 0.1, "pass@4_stderr,first_n": 0.2}
    few, sentence = shown({"results": {"tiny_passn": metrics, "arc": {"acc,none": 1.0}}}, "results")
    rows = [name.partition(",")[0] for name in sorted(few["results"]["tiny_passn"]) if "stderr" not in name]
    expected = "alias pass@1 pass@4 pass@16 pass@20 maj@20 mean@20 tokens_per_answer grader_failed"
    assert rows == expected.split() and "--output_path" in sentence
    assert few["results"]["tiny_passn"]["pass@4_stderr,first_n"] == 0.2 and few["results"]["arc"] == {"acc,none": 1.0}
    assert shown({"results": {"arc": {"acc,none": 1.0}}}, "results")[1] == ""
