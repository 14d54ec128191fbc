"""What every trained method is: options, a fit on a training matrix, an order of candidates for a question.

All methods of `sprint-lmeval train` have the same candidates, training questions and encoder. Each option says why its
default is what it is; docs/methods.md shows what was measured.

A method's settings are chosen by cross-validation: the training questions are split into folds by a seed, each fold is
ordered by a fit on the others, and the setting with the best mean of Pass@1..`objective` over all questions is fitted
again on all of them. So every question is in the validation part once, and none is lost for training.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.selection.methods.set_cover import LONGEST, hits

log = logging.getLogger(f"lm_eval.{__name__}")
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Option:
    """One choice of a method: its default, why, and what is allowed.

    Attributes:
        default: a value, or a tuple of values among which the validation part chooses.
        reason: why this default.
        low, high: limits of numbers.
        allowed: the words that a text may be.
    """

    default: object
    reason: str
    low: float = 0
    high: float = 1e9
    allowed: tuple[str, ...] = ()

    @property
    def kind(self) -> type:
        first = self.default[0] if isinstance(self.default, tuple) else self.default
        return type(first)

    def parse(self, name: str, text: str) -> object:
        """Return the value (or, of an option with several, values separated by colons) written as `text`."""
        parts = text.split(":") if isinstance(self.default, tuple) else [text]
        values = tuple(self._value(name, part.strip()) for part in parts)
        return values if isinstance(self.default, tuple) else values[0]

    def _value(self, name: str, text: str) -> object:
        if self.kind is bool:
            if text.lower() not in ("true", "false"):
                raise InputError(f"{name}={text} given, allowed are true and false")
            return text.lower() == "true"
        if self.kind is str:
            if text not in self.allowed:
                raise InputError(f"{name}={text} given, allowed are {', '.join(self.allowed)}")
            return text
        try:
            value = self.kind(text)
        except ValueError:
            value = float("nan")
        self.check(name, value, text)
        return value

    def check(self, name: str, value: object, text: object = None) -> None:
        """Raise InputError unless `value` is one that the option may have."""
        shown = value if text is None else text
        if self.kind is str or self.kind is bool:
            if type(value) is not self.kind or (self.allowed and value not in self.allowed):
                raise InputError(f"{name}={shown} given, allowed are {', '.join(self.allowed) or 'true and false'}")
        elif type(value) not in (int, self.kind) or not self.low <= value <= self.high:
            kind = "a whole number" if self.kind is int else "a number"
            raise InputError(f"{name}={shown} given, it must be {kind} from {self.low:g} to {self.high:g}")


@dataclass(frozen=True)
class Examples:
    """Training questions.

    Attributes:
        questions: n texts.
        embeddings: [n, dim]; dim 0 for a method that reads no question.
        correct: [n, m].
        tokens: [n, m], of each answer, -1 unknown; None where nobody asks.
    """

    questions: tuple[str, ...]
    embeddings: np.ndarray
    correct: np.ndarray
    tokens: np.ndarray | None = None

    def part(self, index: np.ndarray) -> Examples:
        texts = tuple(self.questions[i] for i in index)
        tokens = None if self.tokens is None else self.tokens[index]
        return Examples(texts, self.embeddings[index], self.correct[index], tokens)


class Method(ABC):
    """One way to order candidates, fitted on examples.

    Attributes:
        name: what `--method` and config.json call it.
        summary: one line for cards and help.
        reads: whether it reads the question at all.
        encodes: whether it reads the question's embedding.
        ranks: whether it orders candidates by an outcome matrix; else it chooses how one candidate's answers branch.
        options: what a user may set; values that are tuples are chosen on the validation part.
    """

    name: str
    summary: str
    reads = True
    encodes = True
    ranks = True
    options: dict[str, Option] = {}  # noqa: RUF012

    @abstractmethod
    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        """Return what the method has learned, as named arrays."""

    @abstractmethod
    def order(self, tensors: Tensors, setting: dict, asked: Examples, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return int64 [questions, n] candidates, best first, and float32 [questions, n] scores.

        `asked.correct` and `asked.tokens` are not read.
        """

    @abstractmethod
    def shapes(self, m: int, dim: int) -> dict[str, tuple[str, tuple]]:
        """Return name -> (dtype, shape) of the tensors; a letter in a shape stands for any size, alike everywhere."""

    def check(self, tensors: Tensors) -> None:  # noqa: B027  (most have nothing to add)
        """Raise InputError where values that came from a file could lead astray; shapes are right already."""

    def settings(self, options: dict) -> list[dict]:
        """Return the settings to try: every combination of the options that have several values."""
        tried: list[dict] = [{}]
        for name, value in options.items():
            values = value if isinstance(value, tuple) else (value,)
            tried = [{**setting, name: each} for setting in tried for each in values]
        return tried

    def trials(
        self, learning: Examples, held_out: Examples, options: dict, seed: int
    ) -> Iterator[tuple[dict, np.ndarray]]:
        """Yield each setting with its order [held-out questions, N] of the held-out questions."""
        n = min(LONGEST, held_out.correct.shape[1])
        for setting in self.settings(options):
            yield setting, self.order(self.fit(learning, setting, seed), setting, held_out, n)[0]


def best_first(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the n columns with the highest scores of every row, and those scores; of equals the first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    return order.astype(np.int64), np.take_along_axis(scores, order, axis=1).astype(np.float32)


@dataclass
class Trained:
    """A fitted method: tensors, the setting that was chosen, and what the validation part showed."""

    tensors: Tensors
    setting: dict
    passed: np.ndarray  # bool [questions, N]: out-of-fold hits of the chosen setting
    tried: list[tuple[dict, float]] = field(default_factory=list)

    @property
    def validation(self) -> dict[str, float]:
        return {f"pass@{k}": round(float(rate), 4) for k, rate in enumerate(self.passed.mean(axis=0), 1)}


def train(method: Method, examples: Examples, options: dict, seed: int, folds: int, objective: int) -> Trained:
    """Choose the method's setting by cross-validation and fit it on all examples."""
    found: dict[str, np.ndarray] = {}
    for held_out in fold_indices(len(examples.correct), folds, seed):
        learning = np.setdiff1d(np.arange(len(examples.correct)), held_out)
        trials = method.trials(examples.part(learning), examples.part(held_out), options, seed)
        for setting, order in trials:
            passed = found.setdefault(json.dumps(setting), np.zeros((len(examples.correct), order.shape[1]), bool))
            passed[held_out] = hits(order, examples.correct[held_out])
    scores = {key: float(passed[:, :objective].mean()) for key, passed in found.items()}
    best = max(scores, key=scores.__getitem__)  # the first of equals: settings go from plain to elaborate
    setting = json.loads(best)
    log.info("%s: %s, validation %.4f (%d settings)", method.name, setting, scores[best], len(scores))
    tried = [(json.loads(key), score) for key, score in scores.items()]
    return Trained(method.fit(examples, setting, seed), setting, found[best], tried)


def fold_indices(questions: int, folds: int, seed: int) -> list[np.ndarray]:
    """Return `folds` disjoint, sorted index arrays that together are all questions."""
    shuffled = np.random.default_rng(seed).permutation(questions)
    return [np.sort(part) for part in np.array_split(shuffled, min(folds, questions))]


def read_options(method: Method, given: dict[str, str]) -> dict:
    """Return the method's options with the given texts in place of the defaults. InputError for an unknown one."""
    for name in given:
        if name not in method.options:
            known = ", ".join(method.options) or "none"
            raise InputError(f"{name}={given[name]} given: {method.name} has the options {known}")
    return {
        name: option.parse(name, given[name]) if name in given else option.default
        for name, option in method.options.items()
    }
