"""Responses that need not be written to the end, since they are like others: DeepPrune and Slim-SC, replayed.

DeepPrune (arXiv 2510.08483): a judge reads the first part of two responses and says whether they will end alike. Greedy
clusters in the stored order: a response joins the cluster with the highest mean chance over its first ten members if
that reaches the threshold, else it opens one. The first of each cluster is written to the end. `by size`: its answer
counts as often as the cluster has members; `by cluster`: once.

Slim-SC (arXiv 2509.13990): all chains are written thought by thought. A thought whose cosine to a thought of another
chain exceeds the threshold stops one of the two: a random one, or (`diversity`) the one whose own thoughts are more
alike (our reading, not checked against the paper's); the other stays if it has ended. The chains that are left vote. A
thought is a line here; the paper's are longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.scores import MethodChoice
from sprint_lmeval.scoring.stored import (
    Prefix,
    prefixes_of,
    require_lengths,
    spent_tokens,
    step_ends,
    steps_of,
    stopped,
    stored_responses,
)
from sprint_lmeval.scoring.votes import AnswerClasses, vote
from sprint_lmeval.selection.encoder import Encoder

if TYPE_CHECKING:
    from sprint_lmeval.scoring.judges import ClassifierJudge, PairsJudge

MEMBERS = 10  # of a cluster, which a response is compared with
THRESHOLDS = {"deepprune": 0.5, "slimsc": 0.95}
RULES = ("random", "diversity")
MAX_KNOWN = 1 << 16  # embeddings that are kept, 1.5 KB each
SEED = 0  # of the random rule


def threshold_of(way: str, kind: str) -> float:
    """Return the threshold of `slimsc` or `slimsc0.9`. InputError for one that is not between 0 and 1."""
    try:
        value = float(way.removeprefix(kind) or THRESHOLDS[kind])
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise InputError(
            f"--with {way!a:.40} given, a threshold lies between 0 and 1, such as {kind}{THRESHOLDS[kind]}"
        )
    return value


def false_merges(classes: Sequence[AnswerClasses], merged: Sequence[Sequence[tuple[int, int]]]) -> str:
    """Return in words how many of the (stopped, kept) responses have other answers than the one they are like."""
    pairs = [(row[one], row[other]) for row, of in zip(classes, merged, strict=True) for one, other in of]
    false = sum(one != other for one, other in pairs)
    return f"{false} of {len(pairs)} responses that were stopped end in another answer than the one they are like"


# ---- DeepPrune ----


@dataclass(frozen=True)
class DeepPrune:
    """A judge of pairs, the chance from which on two are taken as alike, and what of a response the judge reads."""

    name: str
    judge: PairsJudge | ClassifierJudge
    threshold: float
    prefix: Prefix


def greedy_clusters(chances: np.ndarray, threshold: float) -> list[list[int]]:
    """Return clusters of n responses in the order of their first members, from chances [n, n]."""
    clusters: list[list[int]] = []
    for new in range(len(chances)):
        means = [chances[new, members[:MEMBERS]].mean() for members in clusters]
        if means and max(means) >= threshold:
            clusters[int(np.argmax(means))].append(new)
        else:
            clusters.append([new])
    return clusters


def choose_by_clusters(run: Run, classes: Sequence[AnswerClasses], method: DeepPrune) -> list[MethodChoice]:
    """The vote among the first responses of all clusters, each with the weight of its cluster, and each with one."""
    method.judge.check(run)
    begun, tokens = prefixes_of(run, stored_responses(run), method.prefix)
    names = run.candidates or [None] * len(begun)
    clusters = [
        greedy_clusters(method.judge.chances(row.responses, of), method.threshold)
        for row, of in zip(begun, names, strict=True)
    ]
    kept = [[members[0] for members in of] for of in clusters]
    sizes = [{members[0]: len(members) for members in of} for of in clusters]
    merged = [[(one, members[0]) for members in of for one in members[1:]] for of in clusters]
    settings = {"judge": method.judge.name, "prefix": str(method.prefix), "threshold": f"{method.threshold:g}"}
    settings["merged"] = false_merges(classes, merged)
    votes = {
        "by size": [
            vote(stopped(row, of), [size.get(index, 0) for index in range(run.n)])
            for row, of, size in zip(classes, kept, sizes, strict=True)
        ],
        "by cluster": [vote(stopped(row, of)) for row, of in zip(classes, kept, strict=True)],
    }
    cost = ([len(of) for of in kept], spent_tokens(run, kept, tokens))
    return [MethodChoice(f"{method.name} {how}", chosen, settings, *cost) for how, chosen in votes.items()]


# ---- Slim-SC ----


class Embeddings:
    """Unit vectors of texts by a sentence encoder, each text encoded once; an empty text as a full stop.

    Args:
        name: of the encoder, as of `Encoder.find`, which looks for it when it is first needed.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name
        self._known: dict[str, np.ndarray] = {}

    @cached_property
    def encoder(self) -> Encoder:
        """The sentence encoder."""
        return Encoder.find(self.name)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 [texts, dim]."""
        given = [text if text.strip() else "." for text in texts]
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        new = list(dict.fromkeys(text for text in given if text not in self._known))
        vectors = self.encoder.encode(new)
        for text, vector in zip(new, vectors, strict=True):
            self._known[text] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return np.array([self._known[text] for text in given]) if given else np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class SlimSC:
    """A sentence encoder, and the cosine above which two thoughts are alike."""

    name: str
    embeddings: Embeddings
    threshold: float


def stopped_chains(
    thoughts: Sequence[np.ndarray], threshold: float, rule: str, draw: np.random.Generator
) -> dict[int, tuple[int, int]]:
    """Return of each chain that is stopped: the number of its last thought, and the chain that it is like.

    Args:
        thoughts: of each chain, unit vectors [thoughts, dim].
        threshold: cosines above it are alike.
        rule: one of `RULES`.
        draw: for the random rule.
    """
    out: dict[int, tuple[int, int]] = {}
    for step in range(max(map(len, thoughts), default=0)):
        for chain in range(len(thoughts)):
            if chain in out or step >= len(thoughts[chain]):
                continue
            others = [o for o in range(len(thoughts)) if o != chain and o not in out and len(thoughts[o])]
            alike = [float((thoughts[o][: step + 1] @ thoughts[chain][step]).max()) for o in others]
            if not alike or max(alike) <= threshold:
                continue
            other = others[int(np.argmax(alike))]
            loser = _loser(thoughts, chain, other, step, rule, draw)
            out[loser] = (step, other if loser == chain else chain)
    return out


def _loser(thoughts, chain: int, other: int, step: int, rule: str, draw: np.random.Generator) -> int:
    """Which of two chains is stopped: `chain`, which writes, where the other has ended."""
    if len(thoughts[other]) <= step + 1:
        return chain
    if rule == "random":
        return (chain, other)[draw.integers(2)]
    return other if sameness(thoughts[other][: step + 1]) > sameness(thoughts[chain][: step + 1]) else chain


def sameness(vectors: np.ndarray) -> float:
    """Return the mean cosine of the pairs of one chain's thoughts; 0 without a pair."""
    cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return float(cosines.mean()) if len(cosines) else 0.0


def choose_by_thoughts(run: Run, classes: Sequence[AnswerClasses], method: SlimSC) -> list[MethodChoice]:
    """The vote among the chains that are left, by each of the two rules."""
    require_lengths(run)
    rows = stored_responses(run)
    found: dict[str, list[dict[int, tuple[int, int]]]] = {rule: [] for rule in RULES}
    for number, row in enumerate(rows):
        steps = [steps_of(text) for text in row.responses]
        vectors = method.embeddings.of([step for of in steps for step in of])
        thoughts = np.split(vectors, np.cumsum([len(of) for of in steps])[:-1])
        for rule, of in found.items():
            of.append(stopped_chains(thoughts, method.threshold, rule, np.random.default_rng((SEED, number))))
    choices = []
    for rule, outs in found.items():
        kept = [[index for index in range(run.n) if index not in out] for out in outs]
        tokens = [_written(row.responses, of, out) for row, of, out in zip(rows, run.new_tokens, outs, strict=True)]
        settings = {"encoder": method.embeddings.encoder.name, "threshold": f"{method.threshold:g}"}
        settings["merged"] = false_merges(classes, [[(one, other) for one, (_, other) in o.items()] for o in outs])
        chosen = [vote(stopped(row, of)) for row, of in zip(classes, kept, strict=True)]
        cost = ([len(of) for of in kept], spent_tokens(run, kept, tokens))
        choices.append(MethodChoice(f"{method.name} {rule}", chosen, settings, *cost))
    return choices


def _written(texts: Sequence[str], lengths: np.ndarray, out: dict[int, tuple[int, int]]) -> np.ndarray:
    """Tokens of each response up to the thought after which it was stopped."""
    tokens = lengths.copy()
    for index, (step, _) in out.items():
        share = step_ends(texts[index])[step] / len(texts[index])
        tokens[index] = np.ceil(share * lengths[index])
    return tokens
