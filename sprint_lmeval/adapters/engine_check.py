"""Show on a running engine that adapters do something, before any number is made with them.

An engine drops an adapter whose names fit no module of its own model, without a word. In: log-probabilities of a short
text under a candidate. Out: `AdapterTest`, or an InputError. That an adapter equals the pruned head is tested on
weights (tests/adapters/test_maker.py); this shows that the engine applies it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError

TOKENS = 12
TESTED = 3


@dataclass(frozen=True)
class AdapterTest:
    """Largest absolute differences between log-probabilities of the tokens of a text.

    `effect`: of the tested candidate that changes least, against the unpruned model. `afterwards`: of the unpruned
    model after the test against before.
    """

    candidates: tuple[str, ...]
    effect: float
    afterwards: float

    def __str__(self) -> str:
        tested = ", ".join(self.candidates)
        return f"adapters of {tested}: smallest effect {self.effect:.3g}, afterwards {self.afterwards:.3g}"


def adapter_test(
    scores: Callable[[list[int], Candidate], list[float]], candidates: Sequence[Candidate], vocabulary: int
) -> AdapterTest:
    """Score a text with a few of the candidates, one after the other.

    Args:
        scores: token ids, candidate -> log-probability of each token but the first.
        candidates, vocabulary: as for `probes`.

    Raises:
        InputError: as `judged`.
    """
    asked = probes(candidates, vocabulary)
    return judged(asked, [scores(*probe) for probe in asked])


def probes(candidates: Sequence[Candidate], vocabulary: int) -> list[tuple[list[int], Candidate]]:
    """Return what to score, in this order: the same text for the unpruned model, the candidates, the unpruned model.

    Args:
        candidates: of which the first, the middle and the last by layer are tested.
        vocabulary: number of tokens of the model.
    """
    text = [(number * 37 + 11) % min(vocabulary, 5_000) for number in range(TOKENS)]
    pruned = sorted(set(candidates) - {BASE})
    tested = [pruned[i] for i in sorted({0, len(pruned) // 2, len(pruned) - 1})][:TESTED]
    return [(text, candidate) for candidate in (BASE, *tested, BASE)]


def judged(asked: Sequence[tuple[list[int], Candidate]], scores: Sequence[list[float]]) -> AdapterTest:
    """Return what the scores of `probes` show.

    Raises:
        InputError: an adapter changes nothing, two of them do the same, or the unpruned model is another one
            afterwards.
    """
    (_, *tested, _), (plain, *others, again) = (candidate for _, candidate in asked), scores
    effects = {candidate: _distance(one, plain) for candidate, one in zip(tested, others, strict=True)}
    result = AdapterTest(tuple(map(str, tested)), min(effects.values()), _distance(again, plain))
    if result.effect == 0:
        silent = min(effects, key=effects.get)
        raise InputError(
            f"the adapter of {silent} changes nothing in this engine, so it is not applied there (or the head does "
            f"nothing): evaluate this model with hf-pruned-bon ({result})"
        )
    for one, other in combinations(range(len(tested)), 2):
        if others[one] == others[other]:
            raise InputError(
                f"the adapters of {tested[one]} and {tested[other]} do the same in this engine, so it has one under "
                f"both names: start it anew with the adapters of these candidates ({result})"
            )
    if not result.afterwards < max(effects.values()) / 2:
        raise InputError(
            f"the unpruned model is another one after an adapter was used ({result}): do not use this engine"
        )
    return result


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
