"""`strategy=sample` through the harness model: greedy first, arithmetic codes, and what results say of them."""

import pytest
from lm_eval.api.instance import Instance

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines.base import EngineModel
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.strategies.build import StrategyArguments
from sprint_lmeval.strategies.sampled import van_der_corput
from sprint_lmeval.tiny.problems import problems

QUESTIONS = [problem.question for problem in problems("test")[:6]]
SAMPLED = {"until": ["\nQuestion:"], "max_gen_toks": 40, "do_sample": True, "temperature": 0.9}
GREEDY = {**SAMPLED, "do_sample": False, "temperature": 0.0}


def requests(n: int, settings: dict = SAMPLED) -> list[Instance]:
    made = [
        Instance("generate_until", {"question": q}, (f"Question: {q}\nAnswer:", settings), 0, ("tiny_passn", i, n))
        for i, q in enumerate(QUESTIONS)
    ]
    return [instance for instance in made for _ in range(n)]


@pytest.fixture(scope="module")
def answers():
    """Return what makes the answers of a strategy, [questions][n]."""

    def of(n: int, settings: dict = SAMPLED, **arguments) -> list[list]:
        lm = HFPrunedBestOfN(pretrained="tiny", batch_size=32, device="cpu", **arguments)
        texts = lm.generate_until(requests(n, settings))
        return [texts[start : start + n] for start in range(0, len(texts), n)]

    return of


def test_greedy_first_is_the_greedy_answer_then_ordinary_samples(answers):
    greedy, ordinary = answers(1, GREEDY, strategy="base"), answers(4, strategy="sample")
    mixed = answers(4, strategy="sample", first="greedy")
    assert [row[0] for row in mixed] == [row[0] for row in greedy]
    assert [row[1:] for row in mixed] == [row[1:] for row in ordinary]
    assert {text.exchangeable for row in mixed for text in row} == {False}
    assert {text.exchangeable for row in ordinary for text in row} == {True}


def test_codes_give_the_same_texts_alone_and_among_others(answers, tmp_path):
    four = answers(4, strategy="sample", codes="arithmetic", store=tmp_path / "store.sqlite")
    eight = answers(8, strategy="sample", codes="arithmetic", store=tmp_path / "store.sqlite")
    assert [row[:4] for row in eight] == four
    assert four != answers(4, strategy="sample")
    assert answers(4, strategy="sample", codes="arithmetic") == four
    assert {text.exchangeable for row in four for text in row} == {False}


def test_the_results_say_why_there_is_no_unbiased_estimate():
    lm = HFPrunedBestOfN(pretrained="tiny", strategy="sample", first="greedy", codes="arithmetic", device="cpu")
    sprint = lm.get_model_info()["sprint"]
    assert (sprint["first"], sprint["codes"]) == ("greedy", "arithmetic")
    assert "greedy one; the codes" in sprint["no_unbiased_pass@k"]
    with pytest.raises(InputError, match=r"strategy=sample .*temperature 0 .*above 0"):
        lm.generate_until(requests(2, GREEDY))


def test_engines_refuse_codes_before_they_start():
    with pytest.raises(InputError, match="codes=arithmetic given, which needs each token's whole distribution"):
        EngineModel()._prepare("tiny", StrategyArguments(strategy="sample", codes="arithmetic"), {})


def test_van_der_corput():
    assert [van_der_corput(i) for i in range(8)] == [0, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]
