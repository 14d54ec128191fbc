"""Strategies: which candidates, in which order, and what is refused before a model loads."""

from dataclasses import fields

import pytest

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.names import MODEL_ARGUMENTS
from sprint_lmeval.strategies.build import StrategyArguments, build_strategy
from sprint_lmeval.strategies.head_lists import spread_candidates

HEADS = [12] * 28  # the paper's model


def build(strategy=None, heads=HEADS, **given):
    return build_strategy(StrategyArguments(strategy=strategy, **given))(heads)


def names(candidates):
    return [str(c) for c in candidates]


def chosen(strategy, questions, n):
    return [[attempt.candidate for attempt in row] for row in strategy.attempts(questions, n)]


def test_fixed_takes_the_first_n_in_order():
    strategy = build(head_masks="L3H1:base:L0H2+L5H0:L0H0")
    assert strategy.name == "fixed"
    assert [names(c) for c in chosen(strategy, ["a", "b"], 3)] == [["L3H1", "base", "L0H2+L5H0"]] * 2


def test_spread_is_the_papers_layers_round_robin_without_base():
    spread = spread_candidates(HEADS)
    assert names(spread[:6]) == ["L5H0", "L10H0", "L15H0", "L20H0", "L25H0", "L5H1"]
    assert len(spread) == len(set(spread)) == 60
    assert BASE not in spread


@pytest.mark.parametrize(
    ("layers", "expected"),
    [(4, {0, 1, 2, 3}), (24, {4, 8, 12, 17, 21}), (30, {5, 10, 16, 21, 26}), (1, {0}), (2, {0, 1})],
)
def test_spread_layers_of_other_depths(layers, expected):
    assert {layer for c in spread_candidates([3] * layers) for layer, _ in c.heads} == expected


def test_spread_with_unequal_heads_stays_inside_each_layer():
    spread = spread_candidates([2, 4, 1, 3])
    assert sorted(names(spread)) == sorted(
        ["L0H0", "L0H1", "L1H0", "L1H1", "L1H2", "L1H3", "L2H0", "L3H0", "L3H1", "L3H2"]
    )


def test_default_is_spread_and_unlearned():
    described = build().described()
    assert (described["strategy"], described["learned"]) == ("spread", False)
    assert described["candidates"] == ["base", *names(spread_candidates(HEADS))]


def test_random_is_drawn_per_question_from_the_pool_and_repeats():
    strategy = build("random", pool="L0H0:L0H1:L0H2:L0H3:L1H0", strategy_seed=3)
    first, second = chosen(strategy, ["a question", "another"], 4)
    assert len(set(first)) == 4 and set(first) <= set(strategy.pool)
    assert first != second
    assert chosen(build("random", pool="L0H0:L0H1:L0H2:L0H3:L1H0", strategy_seed=3), ["a question"], 4) == [first]
    assert chosen(build("random", pool="L0H0:L0H1:L0H2:L0H3:L1H0", strategy_seed=4), ["a question"], 4) != [first]


def test_random_draws_every_head_about_equally_often():
    strategy = build("random", pool="L0H0:L0H1:L0H2:L0H3")
    drawn = [c[0] for c in chosen(strategy, [f"question {i}" for i in range(2000)], 1)]
    counts = [drawn.count(c) for c in strategy.pool]
    assert min(counts) > 430 and max(counts) < 570  # 500 expected, 3.6 standard deviations


def test_random_without_pool_draws_from_spread():
    assert build("random").pool == spread_candidates(HEADS)


def test_base_stands_for_all():
    for strategy in (build("base"), build(head_masks="base")):
        assert chosen(strategy, ["q"], 16) == [[BASE] * 16]
        assert not strategy.exchangeable


def test_samples_have_seeds_of_their_own():
    strategy = build("sample", strategy_seed=1)
    assert strategy.exchangeable
    draws = {strategy.draw(p, i) for p in ("a", "b") for i in range(16)}
    assert len(draws) == 32 and {draw.code for draw in draws} == {None}
    assert strategy.draw("a", 0) == build("sample", strategy_seed=1).draw("a", 0)
    assert strategy.draw("a", 0) != build("sample", strategy_seed=2).draw("a", 0)
    assert strategy.described() == {"strategy": "sample", "learned": False, "candidates": ["base"], "strategy_seed": 1}


def test_greedy_first_then_the_very_samples_of_an_ordinary_run():
    strategy, ordinary = build("sample", first="greedy"), build("sample")
    assert strategy.draw("a", 0) == (None, None)
    assert [strategy.draw("a", i) for i in range(1, 16)] == [ordinary.draw("a", i) for i in range(1, 16)]
    assert not strategy.exchangeable and strategy.described()["first"] == "greedy"
    assert strategy.described()["no_unbiased_pass@k"] == "the first response is the greedy one"


@pytest.mark.parametrize("first", [None, "greedy"])
@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_every_prefix_of_the_codes_is_spread_evenly(first, n):
    strategy = build("sample", first=first, codes="arithmetic")
    start = bool(first)
    codes = sorted(strategy.draw("a", i).code for i in range(start, n + start))
    gaps = [after - before for before, after in zip(codes, [*codes[1:], codes[0] + 1], strict=True)]
    assert gaps == pytest.approx([1 / n] * n) and codes[0] >= 0 and codes[-1] < 1


def test_codes_are_shifted_by_question_and_seed():
    strategy = build("sample", codes="arithmetic")
    first = [strategy.draw(f"question {i}", 0) for i in range(2000)]
    assert first[:9] == [build("sample", codes="arithmetic").draw(f"question {i}", 0) for i in range(9)]
    assert strategy.draw("a", 0).code != build("sample", strategy_seed=1, codes="arithmetic").draw("a", 0).code
    below = [sum(draw.code < edge for draw in first) / 2000 for edge in (0.25, 0.5, 0.75)]
    assert below == pytest.approx([0.25, 0.5, 0.75], abs=0.04)  # 3.6 standard deviations
    assert not strategy.exchangeable and strategy.draw("a", 1).seed == build("sample").draw("a", 1).seed
    assert "not independent" in strategy.described()["no_unbiased_pass@k"]


def test_what_a_user_may_write_is_known_by_name():
    assert sorted({*(field.name for field in fields(StrategyArguments)), "store", "n"}) == sorted(MODEL_ARGUMENTS)


def test_lists_and_candidates_are_taken_too():
    assert build(head_masks=["L0H0", Candidate(((1, 2),))]).possible() == [
        Candidate(((0, 0),)),
        Candidate(((1, 2),)),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"strategy": "sprint"}, ["strategy=sprint", "fixed", "spread"]),
        ({"strategy": "fixed"}, ["head_masks="]),
        ({"strategy": "random", "head_masks": "L0H0"}, ["head_masks", "strategy=random"]),
        ({"strategy": "spread", "pool": "L0H0"}, ["pool", "strategy=random"]),
        ({"head_masks": "L0H0", "pool": "L0H1"}, ["pool"]),
        ({"head_masks": "L5"}, ["L5"]),
        ({"head_masks": ""}, []),
        ({"head_masks": "L0H0:L0H0"}, ["L0H0"]),
        ({"strategy": "sample", "strategy_seed": "x"}, ["strategy_seed=x"]),
        ({"strategy": "sample", "first": "best"}, ["first=best given, allowed is greedy"]),
        ({"strategy": "sample", "codes": "random"}, ["codes=random given, allowed is arithmetic"]),
        ({"strategy": "base", "first": "greedy"}, ["first given with strategy=base", "strategy=sample"]),
        ({"head_masks": "L0H0", "codes": "arithmetic"}, ["codes given with strategy=fixed", "strategy=sample"]),
        ({"selector": "x", "codes": "arithmetic"}, ["selector and codes given"]),
        ({"strategy": "random", "pool": "no/such/file.txt"}, ["no/such/file.txt"]),
    ],
)
def test_refused_in_one_sentence(arguments, words):
    with pytest.raises(InputError) as caught:
        build(**arguments)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("strategy", [{"head_masks": "L0H0:L0H1"}, {"strategy": "random", "pool": "L0H0:L0H1"}])
def test_fewer_candidates_than_n_names_both_and_the_ways_out(strategy):
    with pytest.raises(InputError, match=r"asks for 16 .* has 2 candidates.*-n 2.*repeats: 2.*strategy=base"):
        chosen(build(**strategy), ["q"], 16)
