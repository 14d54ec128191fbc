"""Whether two responses will end in the same answer, judged by the first part of each (the judge of DeepPrune).

Two kinds: a logistic regression on three features of the pair, trained by `sprint-lmeval train --method pairs` on a run
of a training task and kept as FOLDER/config.json; or any sequence classifier of transformers, which reads the two texts
as a pair (one label, or the second of two: alike). Features:

    common      share of the shorter text with which both begin
    cosine      of the two texts' sentence embeddings
    agreement   share of the training questions on which the two candidates had the same outcome
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.files import read_json, write_whole
from sprint_lmeval.runs.run import Run
from sprint_lmeval.scoring.duplicates import Embeddings
from sprint_lmeval.scoring.rewards import RewardModel, logistic
from sprint_lmeval.scoring.stored import Prefix, StoredResponses

FORMAT, METHOD, CONFIG = 2, "pairs", "config.json"
FEATURES = ("common", "cosine", "agreement")
MAX_CONFIG = 16 << 20
PREFIX = 0.3  # ours; the paper's is a number of tokens of much longer texts


@dataclass(frozen=True)
class Agreement:
    """How often two candidates have the same outcome: names, and shares [m, m] of the questions that both have."""

    candidates: list[str]
    shares: list[list[float]]

    @classmethod
    def counted(cls, names: Sequence[Sequence[str]], correct: Sequence[np.ndarray]) -> Agreement:
        """Return it from the outcomes of training questions, both [questions][n]."""
        index = {name: i for i, name in enumerate(dict.fromkeys(name for row in names for name in row))}
        same, both = np.zeros((2, len(index), len(index)))
        for row, right in zip(names, correct, strict=True):
            at = np.array([index[name] for name in row])
            np.add.at(same, (at[:, None], at[None]), right[:, None] == right[None])
            np.add.at(both, (at[:, None], at[None]), 1)
        mean = same.sum() / both.sum()
        return cls(list(index), np.where(both > 0, same / np.maximum(both, 1), mean).round(4).tolist())

    def of(self, names: Sequence[str]) -> np.ndarray:
        """Return the agreement of the candidates of one question, [n, n]; of one that is not known the mean."""
        index = {name: i for i, name in enumerate(self.candidates)}
        shares = np.pad(np.array(self.shares), (0, 1), constant_values=float(np.mean(self.shares)))
        at = np.array([index.get(name, len(index)) for name in names])
        return shares[at[:, None], at[None]]


def texts_features(texts: Sequence[str], embeddings: Embeddings) -> np.ndarray:
    """Return `common` and `cosine` of all pairs, [n, n, 2]."""
    common = [[len(os.path.commonprefix([a, b])) / max(1, min(len(a), len(b))) for b in texts] for a in texts]  # noqa: RUF071
    vectors = embeddings.of(texts)
    return np.stack([np.array(common), vectors @ vectors.T], axis=-1)


@dataclass(frozen=True)
class PairsJudge:
    """The logistic regression.

    Attributes:
        weight, bias: of `FEATURES`.
        prefix: what of a response it has learned from, as of `Prefix`.
        agreement: of candidates in training.
        model, fingerprint: whose responses it has learned from.
        encoder_fingerprint: of the sentence encoder.
        training: facts and figures of the training, for the reader.
        questions: hashes of the training questions.
    """

    weight: list[float]
    bias: float
    prefix: float
    agreement: Agreement
    model: str
    fingerprint: str | None
    encoder_fingerprint: str
    training: dict
    questions: list[str]
    embeddings: Embeddings | None = None
    name: str = METHOD

    def check(self, run: Run) -> None:
        """Raise InputError where a run is known to be of another model, or asks what the judge has learned from."""
        given = run.facts.get("fingerprint")
        if self.fingerprint and given and given != self.fingerprint:
            raise InputError(
                f"--judge {self.name} was trained on responses of {self.model}, and {run.samples_path} is of "
                f"{run.model}, another model: train one on its own training run"
            )
        known = {question.hash for question in run.questions}.intersection(self.questions)
        if known:
            raise InputError(
                f"{len(known)} of {len(run.questions)} questions of {run.samples_path} are among those that --judge "
                f"{self.name} was trained on: judge a run of other questions"
            )

    def chances(self, texts: Sequence[str], candidates: Sequence[str] | None) -> np.ndarray:
        """Return the chance of each pair of prefixes to end alike, [n, n]."""
        agreement = self.agreement.of(candidates or ["base"] * len(texts))
        features = np.concatenate([texts_features(texts, self.embeddings), agreement[..., None]], axis=-1)
        return logistic(features @ np.array(self.weight) + self.bias)

    def save(self, folder: Path) -> None:
        """Write the folder's config.json."""
        kept = {name: value for name, value in vars(self).items() if name not in ("embeddings", "name")}
        content = {"format": FORMAT, "method": METHOD, **kept, "agreement": vars(self.agreement)}
        write_whole(folder / CONFIG, json.dumps(content, allow_nan=False) + "\n")


class ClassifierJudge:
    """A sequence classifier that reads two prefixes as a pair of texts."""

    def __init__(self, name: str, device: str | None, trust_remote_code: bool) -> None:
        self.name = name
        self.classifier = RewardModel(name, device, trust_remote_code, "--judge")

    def check(self, run: Run) -> None:
        """It may judge any model's responses."""

    def chances(self, texts: Sequence[str], candidates: Sequence[str] | None) -> np.ndarray:
        """Return the chance of each pair of prefixes to end alike, [n, n]: of the earlier and the later one."""
        pairs = [StoredResponses("", one, list(texts[i + 1 :])) for i, one in enumerate(texts)]
        found = np.ones((len(texts), len(texts)))
        for one, logits in enumerate(self.classifier.rewards(pairs)):
            found[one, one + 1 :] = found[one + 1 :, one] = logistic(logits)
        return found


def read_judge(path: str, embeddings: Embeddings, device: str | None, trust_remote_code: bool):
    """Return the judge of a folder or hub id, and the prefix that it was trained on (None: any).

    Raises:
        InputError: it is neither kind, or its encoder is another one than the one that is here.
    """
    file = Path(path) / CONFIG
    config = read_json(file, MAX_CONFIG, "configurations", standard=True) if file.is_file() else {}
    if not isinstance(config, dict) or config.get("method") != METHOD:
        return ClassifierJudge(path, device, trust_remote_code), None
    judge = _parsed(config, path)
    if embeddings.encoder.fingerprint != judge.encoder_fingerprint:
        said = f"another sentence encoder than {embeddings.encoder.name}"
        raise InputError(f"--judge {path} has learned from {said}: give --encoder")
    return PairsJudge(**{**vars(judge), "embeddings": embeddings, "name": path}), Prefix.parsed(
        judge.prefix, f"{file}: prefix"
    )


def _parsed(config: dict, path: str) -> PairsJudge:
    given = {name: value for name, value in config.items() if name not in ("format", "method")}
    try:
        given["agreement"] = Agreement(**given["agreement"])
        judge = PairsJudge(**given)
        size = len(judge.agreement.candidates)
        shares = np.array(judge.agreement.shares, float)
        numbers = [*judge.weight, judge.bias, judge.prefix]
        whole = config["format"] == FORMAT and len(judge.weight) == len(FEATURES) and shares.shape == (size, size)
        whole = whole and size > 0 and bool(((shares >= 0) & (shares <= 1)).all())
        whole = whole and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        texts = (judge.model, judge.encoder_fingerprint, *judge.agreement.candidates, *judge.questions)
        whole = whole and all(isinstance(text, str) for text in texts)
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise InputError(f"--judge {path} is damaged: train it anew with sprint-lmeval train --method {METHOD}")
    return judge
