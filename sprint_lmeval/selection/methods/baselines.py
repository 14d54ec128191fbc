"""Baselines of the paper's method: one order for all questions (`top`, `cover`), and nearest neighbours (`nearest`)."""

from __future__ import annotations

import numpy as np

from sprint_lmeval.selection.methods.method import Examples, Method, Option, Tensors
from sprint_lmeval.selection.methods.set_cover import greedy_cover


class Fixed(Method):
    """One order for every question; the question is not read."""

    reads = encodes = False

    def order(self, tensors: Tensors, setting: dict, asked: Examples, n: int) -> tuple[np.ndarray, np.ndarray]:
        alike = (len(asked.questions), 1)
        return np.tile(tensors["order"][:n], alike), np.tile(tensors["scores"][:n], alike)

    def shapes(self, m: int, dim: int) -> dict:
        return {"order": ("int64", (m,)), "scores": ("float32", (m,))}


class Top(Fixed):
    name = "top"
    summary = "the candidates that solve the most training questions, whatever the question"

    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        rates = examples.correct.mean(axis=0).astype(np.float32)
        order = np.argsort(-rates, kind="stable")
        return {"order": order, "scores": rates[order]}


class Cover(Fixed):
    name = "cover"
    summary = "greedy set cover of the training questions, whatever the question"

    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        order, gains = greedy_cover(examples.correct, examples.correct.shape[1])
        return {"order": order[0], "scores": gains[0]}


class Nearest(Method):
    name = "nearest"
    summary = "greedy cover of the k training questions whose embeddings are nearest"
    options = {  # noqa: RUF012
        "k": Option((25, 50, 100, 150, 250, 400, 800), "chosen on the validation part", 1, 1e6),
    }

    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        return {"examples": examples.embeddings.astype(np.float16), "outcomes": examples.correct.astype(np.uint8)}

    def order(self, tensors: Tensors, setting: dict, asked: Examples, n: int) -> tuple[np.ndarray, np.ndarray]:
        similar = asked.embeddings @ tensors["examples"].astype(np.float32).T  # [asked, examples]
        k = min(int(setting["k"]), similar.shape[1])
        last = np.partition(similar, -k, axis=1)[:, -k][:, None]
        return greedy_cover(tensors["outcomes"], n, (similar >= last).astype(np.float32))

    def shapes(self, m: int, dim: int) -> dict:
        return {"examples": ("float16", ("n", dim)), "outcomes": ("uint8", ("n", m))}
