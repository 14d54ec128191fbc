"""`strategy=branch` on the embedded model, against a plain loop over the model's own logits."""

from functools import partial
from itertools import pairwise

import pytest
import torch

from sprint_lmeval.errors import InputError
from sprint_lmeval.models import branching
from sprint_lmeval.pruning.hooks import prune_heads
from tests.shared.harness_requests import count_rows, model, requests

N, LIMIT = 5, 40


def finished(lm, prompt: list[int], answer: list[int], candidate: str) -> tuple[list[int], list[torch.Tensor]]:
    """Write on greedily, without a cache; returns the answer, and the log-probabilities at each new token."""
    distributions, end = [], lm.tokenizer.eos_token_id
    while len(answer) < LIMIT and answer[-1:] != [end]:
        with torch.no_grad(), prune_heads(lm.model, [candidate]):
            logits = lm.model(torch.tensor([prompt + answer])).logits[0, -1]
        distributions.append(logits.log_softmax(-1))
        answer = [*answer, int(logits.argmax())]
        if "\nQuestion:" in lm.tokenizer.decode(answer):
            break
    return answer, distributions


def text_of(lm, answer: list[int]) -> str:
    return lm.tokenizer.decode(answer, skip_special_tokens=True).split("\nQuestion:")[0]


def by_hand(lm, prompt: str, priority: str, candidate: str) -> list[str]:
    """Every token of the vocabulary at every position, sorted, tried one after the other."""
    ids = lm.tokenizer(prompt)["input_ids"]
    greedy, distributions = finished(lm, ids, [], candidate)
    taken = [float(of[token]) for of, token in zip(distributions, greedy, strict=True)]
    branches = []
    for position, of in enumerate(distributions):
        before = {"prefix": sum(taken[:position]), "ratio": -taken[position], "token": 0.0}[priority]
        branches += [(before + float(of[t]), position, t) for t in range(len(of)) if t != greedy[position]]
    texts = [text_of(lm, greedy)]
    for _, position, token in sorted(branches, key=lambda branch: -branch[0]):
        answer, _ = finished(lm, ids, [*greedy[:position], token], candidate)
        if text_of(lm, answer) not in texts:
            texts.append(text_of(lm, answer))
        if len(texts) == N:
            return texts
    raise AssertionError("too few branches")


@pytest.mark.parametrize(
    ("priority", "candidate"), [("prefix", "base"), ("ratio", "base"), ("token", "base"), ("ratio", "L1H2")]
)
def test_branches_are_those_of_a_plain_loop(priority, candidate):
    lm = model(strategy="branch", priority=priority, **({"head_masks": candidate} if candidate != "base" else {}))
    asked = requests(N, questions=2, max_gen_toks=LIMIT)
    responses = [str(r) for r in lm.generate_until(asked)]
    for start in (0, N):
        assert responses[start : start + N] == by_hand(lm, asked[start].args[0], priority, candidate)
    assert responses == [str(r) for r in lm.generate_until(asked)], "the same again"


def test_the_first_answers_of_more_are_those_of_fewer_and_texts_are_distinct():
    lm = model(strategy="branch", priority="mixed")
    generated = count_rows(lm)
    eight = lm.generate_until(requests(8, questions=3, max_gen_toks=LIMIT))
    assert sum(not row.given for row in generated) == 3, "the answer itself is written once"
    four = lm.generate_until(requests(4, questions=3, max_gen_toks=LIMIT))
    base = model(strategy="base").generate_until(requests(1, questions=3, max_gen_toks=LIMIT))
    for i in range(3):
        of_eight = [str(r) for r in eight[8 * i : 8 * i + 8]]
        assert len(set(of_eight)) == 8 and of_eight[:4] == [str(r) for r in four[4 * i : 4 * i + 4]]
        assert of_eight[0] == str(base[i])
    assert all(r.candidate == "base" and not r.exchangeable for r in eight)
    assert lm.get_model_info()["sprint"]["priority"] == "mixed"


def by_rounds(lm, prompt: str) -> list[str]:
    """`levels=all`, `priority=prefix`: after rounds of 1, 1, 2, 4 the answer with the most probable prefix of all."""
    ids = lm.tokenizer(prompt)["input_ids"]
    greedy, distributions = finished(lm, ids, [], "base")
    answers, tried, open_ = [greedy], set(), []

    def opened(answer: list[int], known: int, before: float, distributions: list[torch.Tensor]) -> None:
        for position, of in enumerate(distributions, start=known):
            open_.extend(
                (before + float(of[t]), (*answer[:position], t)) for t in range(len(of)) if t != answer[position]
            )
            before += float(of[answer[position]])

    opened(greedy, 0, 0.0, distributions)
    while len(answers) < N:
        for before, given in sorted(open_, key=lambda branch: -branch[0])[: min(len(answers), N - len(answers))]:
            open_.remove((before, given))
            answer, distributions = finished(lm, ids, list(given), "base")
            assert text_of(lm, answer) not in map(partial(text_of, lm), answers), "no duplicates in this test"
            answers.append(answer)
            tried.add((before, given, tuple(distributions)))
        for before, given, of in tried:
            opened(answers[[tuple(a[: len(given)]) for a in answers].index(given)], len(given), before, list(of))
        tried.clear()
    return [text_of(lm, answer) for answer in answers]


def test_branches_of_branches_come_in_rounds():
    lm = model(strategy="branch", priority="prefix", levels="all")
    asked = requests(N, questions=2, max_gen_toks=LIMIT)
    responses = [str(r) for r in lm.generate_until(asked)]
    for start in (0, N):
        assert responses[start : start + N] == by_rounds(lm, asked[start].args[0])
    assert lm.get_model_info()["sprint"]["levels"] == "all"


@pytest.mark.parametrize("levels", [1, "all"])
def test_a_second_run_on_a_store_generates_nothing(tmp_path, monkeypatch, levels):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked, arguments = requests(4, questions=2, max_gen_toks=LIMIT), {"strategy": "branch", "levels": levels}
    first = model(**arguments, store=str(tmp_path / "a.sqlite"))
    texts = [str(r) for r in first.generate_until(asked)]
    again = model(**arguments, store=str(tmp_path / "a.sqlite"))
    generated = count_rows(again)
    assert [str(r) for r in again.generate_until(asked)] == texts
    assert generated == [] and not again.weights_loaded
    fewer = model(**arguments, store=str(tmp_path / "a.sqlite"))
    generated = count_rows(fewer)
    assert [str(r) for r in fewer.generate_until(requests(3, questions=2, max_gen_toks=LIMIT))] == texts[:3] + texts[
        4:7
    ]
    if levels == 1:
        assert [row.given for row in generated] == [(), ()], "to choose other branches, greedy answers are read again"


def test_decoding_that_raises_costs_no_other_question(monkeypatch):
    """The first row that follows another one raises once: rows are asked for again."""
    lm = model(strategy="branch")
    expected = [str(r) for r in lm.generate_until(requests(3, questions=3, max_gen_toks=LIMIT))]
    real, raised = type(lm)._generate, []

    def breaking(rows, settings, successors):
        for row, response in real(lm, rows, settings, successors):
            if row.given and not raised:
                raised.append(row)
                raise ZeroDivisionError
            yield row, response

    monkeypatch.setattr(lm, "_generate", breaking)
    assert [str(r) for r in lm.generate_until(requests(3, questions=3, max_gen_toks=LIMIT))] == expected and raised


def without_branches(monkeypatch):
    monkeypatch.setattr(branching, "branches_of", lambda *_: [])


def test_too_few_branches_stop_or_are_filled_with_samples(monkeypatch):
    lm = model(strategy="branch")
    without_branches(monkeypatch)
    with pytest.raises(InputError, match=r"a question has 1 distinct answers by branching, 4 are asked for: .* fill="):
        lm.generate_until(requests(4, questions=2, max_gen_toks=LIMIT))
    filled = model(strategy="branch", fill="samples", strategy_seed=5)
    drawn = {"temperature": 1.5, "do_sample": True, "max_gen_toks": LIMIT}
    responses = [str(r) for r in filled.generate_until(requests(4, questions=2, **drawn))]
    samples = [str(r) for r in model(strategy="sample", strategy_seed=5).generate_until(requests(4, 2, **drawn))]
    assert responses[1:4] + responses[5:] == samples[1:4] + samples[5:]
    assert filled.get_model_info()["sprint"]["filled_with_samples"] == 6
    assert responses[0] != samples[0] or responses[4] != samples[4], "the first one is greedy all the same"


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        ({}, {"temperature": 0.6, "do_sample": True}, "sampling was asked for"),
        ({"fill": "samples"}, {}, "strategy=branch draws samples, and temperature 0 is given"),
    ],
)
def test_settings_that_contradict_it(arguments, settings, said):
    lm = model(strategy="branch", **arguments)
    with pytest.raises(InputError, match=said):
        lm.generate_until(requests(2, questions=1, **settings))


def test_padding_of_a_rank_gets_the_same_branches():
    lm = model(strategy="branch", priority="ratio")
    asked = requests(3, questions=2, max_gen_toks=LIMIT)
    responses = [str(r) for r in lm.generate_until(asked + asked[-3:])]
    assert responses[6:] == responses[3:6] and all(a != b for a, b in pairwise(responses[3:6]))
