"""Strategies: which candidates, in which order, and what is refused before a model loads."""

import pytest

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError
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
    seeds = {strategy.row_seed(p, i) for p in ("a", "b") for i in range(16)}
    assert len(seeds) == 32
    assert strategy.row_seed("a", 0) == build("sample", strategy_seed=1).row_seed("a", 0)
    assert strategy.row_seed("a", 0) != build("sample", strategy_seed=2).row_seed("a", 0)


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
