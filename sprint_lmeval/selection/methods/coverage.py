"""The method `coverage`: choose the set, not the points. Ours; the paper has nothing like it.

Pass@N asks whether any of N candidates is right, so candidates are chosen one after the other, each by how much it adds
to the chance that at least one is. The training matrix shows which candidates fail together: a new question counts as a
weighted mixture of training questions, and their rows of outcomes are its possible outcomes. Three options keep the
weights from following noise:

- `local`: the share of the weight that goes by likeness (a forest over wording and numbers); the rest is even;
- `doubt`: a candidate that solved a like question fails on this one with this chance, so that what is covered once is
  not covered for good;
- `smooth`: the share of the weight that goes by classes of outcome rows (a mixture of Bernoulli rows), not single rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sprint_lmeval.selection.methods import forest
from sprint_lmeval.selection.methods.method import Examples, Method, Option, Tensors
from sprint_lmeval.selection.methods.question_features import FIGURES, features, frequent_words
from sprint_lmeval.selection.methods.set_cover import LONGEST, soft_cover

EM_STEPS = 60


class Coverage(Method):
    name = "coverage"
    summary = "the set with the best chance that one is right, over like training questions' rows of outcomes"
    encodes = False
    options = {  # noqa: RUF012
        "local": Option(
            (0.0, 0.25, 0.5), "chosen on the validation part: 0 knows no question, 1 would know no others", 0, 1
        ),
        "doubt": Option(0.1, "0 to 0.2 are alike at small N; above, first choices repeat each other", 0, 0.9),
        "smooth": Option(0.3, "0.3 was best at nearly every N; 1 loses the rare outcomes", 0, 1),
        "trees": Option(200, "more change nothing but time", 1, 10_000),
        "leaf": Option(15, "least questions in a leaf; 5 chases noise, 40 sees families only", 1, 100_000),
        "tried": Option(0.2, "share of the features tried at a split; 0.03 and 0.5 were worse", 0.001, 1),
        "classes": Option(20, "of outcome rows, in each of four mixtures from random starts", 1, 1000),
    }

    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        words = frequent_words(examples.questions)
        seen = features(examples.questions, words)
        grown = forest.grow(seen, examples.correct, setting["trees"], setting["leaf"], setting["tried"], seed)
        rates, members = mixtures(examples.correct, setting["classes"], seed)
        outcomes = examples.correct.astype(np.uint8)
        return {**grown, "words": words, "outcomes": outcomes, "class_rates": rates, "class_members": members}

    def order(self, tensors: Tensors, setting: dict, asked: Examples, n: int) -> tuple[np.ndarray, np.ndarray]:
        likeness = forest.likeness(tensors, features(asked.questions, tensors["words"]))
        return self._chosen(tensors, setting, likeness, n)

    def trials(
        self, learning: Examples, held_out: Examples, options: dict, seed: int
    ) -> Iterator[tuple[dict, np.ndarray]]:
        settings = self.settings(options)
        tensors = self.fit(learning, settings[0], seed)  # the options with several values play no part in it
        likeness = forest.likeness(tensors, features(held_out.questions, tensors["words"]))
        n = min(LONGEST, held_out.correct.shape[1])
        for setting in settings:
            yield setting, self._chosen(tensors, setting, likeness, n)[0]

    @staticmethod
    def _chosen(tensors: Tensors, setting: dict, likeness: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        local, smooth = np.float32(setting["local"]), np.float32(setting["smooth"])
        weights = local * likeness + (1 - local) / likeness.shape[1]  # [asked, examples]
        of_classes = weights @ tensors["class_members"].astype(np.float32)  # [asked, classes]
        rows = np.concatenate([(1 - setting["doubt"]) * tensors["outcomes"], tensors["class_rates"]]).astype(np.float32)
        return soft_cover(rows, np.concatenate([(1 - smooth) * weights, smooth * of_classes], axis=1), n)

    def shapes(self, m: int, dim: int) -> dict:
        return {
            **forest.shapes(),
            "words": ("int64", ("words",)),
            "outcomes": ("uint8", ("n", m)),
            "class_rates": ("float32", ("classes", m)),
            "class_members": ("float16", ("n", "classes")),
        }

    def check(self, tensors: Tensors) -> None:
        forest.check(tensors, len(tensors["words"]) + FIGURES)


def mixtures(correct: np.ndarray, classes: int, seed: int, starts: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Fit mixtures of Bernoulli rows by expectation maximisation, from several random starts, side by side.

    Args:
        correct: [n, m].
        classes: of each mixture.
        seed: of the starts.
        starts: how many mixtures; together they depend less on chance.

    Returns:
        rates float32 [starts * classes, m]: chance of each candidate in each class; members float16
        [n, starts * classes]: each question's share in each class, all together 1.
    """
    generator = np.random.default_rng(seed)
    fitted = [_mixture(correct.astype(np.float64), classes, generator) for _ in range(starts)]
    rates = np.concatenate([rate for rate, _ in fitted]).astype(np.float32)
    return rates, (np.concatenate([member for _, member in fitted], axis=1) / starts).astype(np.float16)


def _mixture(outcomes: np.ndarray, classes: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    members = generator.dirichlet(np.full(classes, 0.1), len(outcomes))
    prior = outcomes.mean(axis=0)  # one question's worth of the overall rates in every class
    for _ in range(EM_STEPS):
        sizes = members.sum(axis=0)
        rates = np.clip((members.T @ outcomes + prior) / (sizes[:, None] + 1), 1e-3, 1 - 1e-3)
        chances = np.log((sizes + 1) / (len(outcomes) + classes))
        logits = outcomes @ np.log(rates).T + (1 - outcomes) @ np.log1p(-rates).T + chances
        members = np.exp(logits - logits.max(axis=1, keepdims=True))
        members /= members.sum(axis=1, keepdims=True)
    return rates, members
