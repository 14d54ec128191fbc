"""Which branches of a greedy answer come first."""

import math
from collections.abc import Collection
from typing import NamedTuple

import pytest

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.strategies.branch import PRIORITIES, Branched, branches_of, ranked
from sprint_lmeval.strategies.build import StrategyArguments, build_strategy


class Step(NamedTuple):
    token: int
    log_probability: float
    others: tuple[tuple[int, float], ...]


def step(token: int, probability: float, **others: float) -> Step:
    return Step(token, math.log(probability), tuple((int(name[1:]), math.log(p)) for name, p in others.items()))


def order(steps: list[Step], priority: str, ends: Collection[int] = ()) -> list[tuple[int, int]]:
    """Return position and token of each branch of one answer."""
    return [(branch.position, branch.token) for branch in ranked(branches_of(steps, ends), priority)]


ANSWER = [
    step(1, 0.5, t2=0.3, t3=0.2),  # prefix .3 .2   ratio .6 .4    token .3 .2
    step(4, 0.9, t5=0.06, t6=0.04),  # prefix .03 .02 ratio .067 .044 token .06 .04
    step(7, 0.45, t8=0.44, t9=0.11),  # prefix .198 .0495  ratio .978 .244  token .44 .11
]


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        ("prefix", [(0, 2), (0, 3), (2, 8), (2, 9), (1, 5), (1, 6)]),
        ("ratio", [(2, 8), (0, 2), (0, 3), (2, 9), (1, 5), (1, 6)]),
        ("token", [(2, 8), (0, 2), (0, 3), (2, 9), (1, 5), (1, 6)]),
        ("mixed", [(0, 2), (2, 8), (0, 3), (2, 9), (1, 5), (1, 6)]),
    ],
)
def test_orders_by_hand(priority, expected):
    assert order(ANSWER, priority) == expected


def test_branches_of_a_branch_stand_among_those_of_the_answer():
    """The branch takes 2 for 1 at position 0; behind it the values of both branches count."""
    greedy = [step(1, 0.5, t2=0.4), step(4, 0.8, t5=0.2)]
    of_greedy = branches_of(greedy)
    origin = of_greedy[0]
    of_branch = branches_of([step(7, 0.6, t8=0.3)], (), 1, origin)
    (deeper,) = of_branch
    assert (deeper.answer, deeper.position, deeper.token) == (1, 1, 8)
    assert [math.exp(v) for v in deeper[3:]] == pytest.approx([0.4 * 0.3, 0.4 / 0.5 * 0.3 / 0.6, 0.4 * 0.3])
    assert ranked([*of_greedy, *of_branch], "prefix") == [origin, deeper, of_greedy[1]]  # 0.4, 0.12, 0.1
    assert ranked([*of_greedy, *of_branch], "ratio") == [origin, deeper, of_greedy[1]]  # 0.8, 0.4, 0.25
    assert ranked([*of_greedy, *of_branch], "token") == [origin, of_greedy[1], deeper]  # 0.4, 0.2, 0.12


def test_ratio_and_token_differ():
    steps = [step(1, 0.9, t2=0.09), step(3, 0.05, t4=0.04)]
    assert order(steps, "ratio") == [(1, 4), (0, 2)] and order(steps, "token") == [(0, 2), (1, 4)]


@pytest.mark.parametrize("priority", PRIORITIES)
def test_ends_of_an_answer_are_one_choice(priority):
    """Two tokens that both end an answer make one text."""
    going_on, ending = step(1, 0.6, t90=0.2, t91=0.1, t5=0.1), step(90, 0.7, t91=0.2, t6=0.1)
    assert set(order([going_on, ending], priority, {90, 91})) == {(0, 90), (0, 5), (1, 6)}
    assert len(order([going_on, ending], priority)) == 5


@pytest.mark.parametrize("priority", PRIORITIES)
def test_equal_ones_come_in_the_order_of_positions_and_tokens(priority):
    steps = [step(1, 0.5, t9=0.25, t2=0.25), step(3, 1.0, t5=0.25)]
    first = order(steps, priority)
    assert first == order([s._replace(others=s.others[::-1]) for s in steps], priority)
    assert first.index((0, 2)) < first.index((0, 9))
    assert order([], priority) == []


def build(**arguments):
    return build_strategy(StrategyArguments(**arguments))([8, 8, 8, 8])


def test_what_is_recorded():
    assert build(strategy="branch").described() == {
        "strategy": "branch",
        "learned": False,
        "candidates": ["base"],
        "priority": "prefix",
        "levels": 1,
        "fill": "stop",
        "no_maj@N": "the texts differ by construction, so equal votes mean nothing",
    }
    filled = build(strategy="branch", head_masks="L1H2", priority="mixed", levels=1, fill="samples", strategy_seed=3)
    assert filled.described()["candidates"] == ["L1H2"] and filled.described()["strategy_seed"] == 3
    assert filled.possible() == [Candidate.parse("L1H2")] and filled.draws and not build(strategy="branch").draws
    attempts = build(strategy="branch").attempts(["a", "b"], 3)
    assert [[attempt.candidate for attempt in row] for row in attempts] == [[BASE] * 3] * 2
    assert not filled.exchangeable


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"strategy": "branch", "priority": "best"}, "priority=best given, allowed are prefix, ratio, token, mixed"),
        ({"strategy": "branch", "levels": 2}, "levels=2 given, allowed are 1, all"),
        ({"strategy": "branch", "levels": True}, "levels=True given"),
        ({"strategy": "branch", "fill": "greedy"}, "fill=greedy given, allowed are stop, samples"),
        ({"strategy": "branch", "head_masks": "L0H0:L0H1"}, "2 head_masks given with strategy=branch"),
        ({"strategy": "branch", "pool": "L0H0"}, "pool given with strategy=branch"),
        ({"strategy": "sample", "priority": "ratio"}, "priority given with strategy=sample: only strategy=branch"),
        ({"fill": "samples"}, "fill given with strategy=spread"),
        ({"head_masks": "L0H0", "levels": 1}, "levels given with strategy=fixed"),
        ({"selector": "x", "priority": "ratio"}, "selector and priority given"),
    ],
)
def test_misuse_is_one_sentence(arguments, said):
    with pytest.raises(InputError, match=said) as caught:
        build(**arguments)
    assert "\n" not in str(caught.value)


def test_log_says_that_the_priority_is_a_default(caplog):
    caplog.set_level("INFO")
    build(strategy="branch", priority="ratio").attempts(["a"], 2)
    assert not caplog.records
    Branched().attempts(["a"], 2)
    assert "priority=prefix" in caplog.text
