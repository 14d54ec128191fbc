"""Random models, prompts and settings: rows decoded together have the texts that they have alone."""

import pytest

from benchmarks import same_texts
from benchmarks.same_texts import round_of

ROUNDS = range(1000, 1036)


@pytest.fixture(scope="module")
def outcomes():
    return [round_of(seed) for seed in ROUNDS]


def test_every_row_has_its_own_text(outcomes):
    for seed, outcome in zip(ROUNDS, outcomes, strict=True):
        assert not outcome.differing, f"round {seed}, {outcome.name}: {outcome.differing}"


def test_the_rounds_cover_much(outcomes):
    fast = [outcome for outcome in outcomes if outcome.fast]
    assert len({outcome.name for outcome in fast}) > 6, "few families went the fast way"
    assert sum(outcome.rows for outcome in fast) > 200


def test_a_wrong_text_would_be_found(monkeypatch):
    seed = next(seed for seed in ROUNDS if (found := round_of(seed)).fast and found.rows > 10)
    ours = same_texts.generate
    monkeypatch.setattr(same_texts, "generate", lambda *args: changed(ours(*args)))
    assert round_of(seed).wrong


def changed(found):
    """Swap the responses of the first two rows that are given together and differ."""
    found = list(found)
    other = next((i for i, (_, response) in enumerate(found) if response != found[0][1]), None)
    if other is not None:
        (a, first), (b, second) = found[0], found[other]
        found[0], found[other] = (a, second), (b, first)
    return found
