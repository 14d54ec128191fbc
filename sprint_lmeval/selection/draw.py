"""Which questions a sweep asks and a selector learns from: N of them, drawn uniformly or for their diversity.

`diverse` is how the paper's repository drew its 1,500: k-means on the sentence embeddings, then a determinantal point
process in each cluster, here by greedy MAP inference (Chen, Zhang and Zhou 2018, arXiv 1709.05135): it takes next the
question that enlarges the determinant of the kernel most. Clusters are drawn from in proportion to their sizes. For
both ways a larger draw holds every smaller one of the same seed.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sprint_lmeval.errors import InputError, needs
from sprint_lmeval.outcomes.question import question_hash
from sprint_lmeval.selection.encoder import Encoder

if TYPE_CHECKING:
    import numpy as np

DRAWS = ("uniform", "diverse")
CLUSTER = 100  # questions of a cluster, about
RIDGE = 1e-3  # added to the kernel's diagonal: dot products of vectors have no more rank than the vectors have numbers


def drawn_questions(
    texts: list[str], count: int | None, seed: int, how: str = "uniform", encoder: Encoder | None = None
) -> list[int]:
    """Return the numbers of `count` texts, sorted, drawn without replacement; of equal texts the first one only.

    Args:
        texts: the questions.
        count: how many, None: all.
        seed: of the draw.
        how: one of `DRAWS`.
        encoder: of `diverse`, None for the default one.

    Raises:
        InputError: there are fewer texts, or there is no encoder.
    """
    first = {question_hash(text): number for number, text in reversed(list(enumerate(texts)))}
    distinct = sorted(first.values())
    if count is None:
        return distinct
    if count > len(distinct):
        raise InputError(f"--questions {count} given, there are {len(distinct)} different ones: ask for fewer")
    if how == "uniform":
        return sorted(random.Random(f"sprint-lmeval sweep {seed}").sample(distinct, len(distinct))[:count])
    vectors = (encoder or Encoder.find()).encode([texts[number] for number in distinct])
    return sorted(distinct[index] for index in diverse_order(vectors, seed)[:count])


def diverse_order(vectors: np.ndarray, seed: int) -> list[int]:
    """Return all indices of unit vectors [questions, dim], in the order in which `diverse` draws them."""
    needs("train", "sklearn")
    import numpy as np
    from sklearn.cluster import KMeans

    clusters = KMeans(max(1, round(len(vectors) / CLUSTER)), random_state=seed % 2**32, n_init=1).fit_predict(vectors)
    due = np.empty(len(vectors))  # when a question is drawn: its rank in its cluster, as a share of the cluster
    for cluster in np.unique(clusters):
        members = np.flatnonzero(clusters == cluster)
        due[members[greedy_map(vectors[members])]] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(due, kind="stable").tolist()


def greedy_map(vectors: np.ndarray) -> list[int]:
    """Return the order in which greedy MAP inference takes vectors [questions, dim] by the kernel of dot products."""
    import numpy as np

    vectors = vectors.astype(np.float64)
    kernel = vectors @ vectors.T + RIDGE * np.eye(len(vectors))
    gains = kernel.diagonal().copy()  # by which factor each question would enlarge the determinant
    rows = np.zeros_like(kernel)  # [taken, questions]: those of the kernel's Cholesky decomposition
    order: list[int] = []
    for step in range(len(vectors)):
        best = int(np.argmax(gains))
        rows[step] = (kernel[best] - rows[:step, best] @ rows[:step]) / np.sqrt(gains[best])
        gains -= rows[step] ** 2
        order.append(best)
        gains[order] = -np.inf
    return order
