"""Small examples, matrices and selectors for the tests of what is trained: in: sizes, out: things that can be learned.

Two thirds of the questions are of one kind, a third of another. Candidates 1 and 2 solve the first kind, candidate 3
the second, candidate 0 (base) every other question, the rest nothing. `KindEncoder` tells the kinds apart. An answer of
candidate j has 10 * (j + 1) tokens, and 5 more for the second kind.
"""

import numpy as np

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.outcomes.matrix import OutcomeMatrix, Question, question_hash
from sprint_lmeval.selection.encoder import DEFAULT_ENCODER
from sprint_lmeval.selection.methods.method import Examples, read_options, train
from sprint_lmeval.selection.methods.registry import METHODS

KINDS = ("Tom has {} pens and buys more. How many has he?", "A train goes {} km per hour. How far does it go?")
FACTS = {
    "model": "tiny",
    "architecture": "Qwen2ForCausalLM",
    "heads_per_layer": [8, 8, 8, 8],
    "task": "tiny_train_passn",
    "settings": {"greedy": True, "max_new_tokens": 50},
    "chat_template": False,
}
QUICK = {"sprint": {"epochs": "60", "p": "8"}, "nearest": {"k": "3:8"}}
RANKING = [name for name, method in METHODS.items() if method.ranks]  # learn from an outcome matrix
QUICK |= {"balanced": QUICK["sprint"], "route": {"penalty": "1e-4"}}
QUICK["coverage"] = {"trees": "20", "leaf": "3", "classes": "3"}


class KindEncoder:
    """Stands in for the sentence encoder: two directions for the two kinds, and a little of the number."""

    name, fingerprint, dim = DEFAULT_ENCODER, "0" * 64, 4

    def encode(self, questions) -> np.ndarray:
        kinds = np.array([["train" not in q, "train" in q, len(q) % 3 / 10, 0.1] for q in questions], np.float32)
        return kinds / np.linalg.norm(kinds, axis=1, keepdims=True)


def questions(count: int, first: int = 0) -> list[str]:
    return [KINDS[i % 3 // 2].format(i + 2) for i in range(first, first + count)]


def outcomes(count: int, candidates: int = 6) -> np.ndarray:
    number = np.arange(count)
    columns = [number % 2 == 0, number % 3 < 2, number % 3 < 2, number % 3 == 2]
    return np.stack([*columns, *[np.zeros(count, bool)] * (candidates - 4)], axis=1)


def tokens(count: int, candidates: int = 6) -> np.ndarray:
    return (10 * np.arange(1, candidates + 1) + 5 * (np.arange(count)[:, None] % 3 == 2)).astype(np.int32)


def examples(count: int = 60) -> Examples:
    texts = questions(count)
    return Examples(tuple(texts), KindEncoder().encode(texts), outcomes(count), tokens(count))


def matrix(count: int = 60, first: int = 0, split: str = "train", **facts) -> OutcomeMatrix:
    correct = outcomes(count)
    candidates = (BASE, *[Candidate(((0, h),)) for h in range(correct.shape[1] - 1)])
    unknown = np.full(correct.shape, -1, np.int8)
    asked = tuple(
        Question(f"{split}-{first + i}", question_hash(text), text, "", 0, split)
        for i, text in enumerate(questions(count, first))
    )
    verdicts = np.where(correct, 0, 1).astype(np.int8)
    return OutcomeMatrix(asked, candidates, verdicts, unknown, tokens(count), {**FACTS, **facts})


def options(name: str, **given: str) -> dict:
    return read_options(METHODS[name], {**QUICK.get(name, {}), **given})


def trained(name: str, count: int = 60):
    return train(METHODS[name], examples(count), options(name), seed=0, folds=3, objective=4)


def make_selector(name: str, **facts):
    """Return a selector trained by `name` on `matrix()`."""
    from sprint_lmeval.selection.training import Choices, selector_of

    given = {**QUICK.get(name, {})}
    return selector_of(METHODS[name], matrix(**facts), KindEncoder(), Choices(folds=3, options=given))
