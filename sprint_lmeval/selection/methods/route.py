"""The method `route`: each candidate by its chance to solve the question, minus the price of its tokens.

After Route-To-Reason (RTR, arXiv 2505.19435), which predicts for every model and strategy both whether it is right and
how many tokens it writes, and ranks them by a weighted difference. Here both are linear in the question's embedding.
"""

from __future__ import annotations

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.selection.methods.logistic import Logistic, chances, fit_logistic
from sprint_lmeval.selection.methods.method import Examples, Method, Option, Tensors, best_first


class Route(Method):
    name = "route"
    summary = "Route-To-Reason: the chance to solve the question minus the price of the tokens, both predicted"
    options = {  # noqa: RUF012
        "penalty": Logistic.options["penalty"],
        "price": Option(0.1, "of an answer of average length, in chance; 0 is `logistic`", 0, 100),
        "budget": Option(0.0, "tokens of a question; what still fits into it comes first; 0: no limit", 0, 1e9),
    }

    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        tokens = examples.tokens
        if tokens is None or (tokens < 0).any():
            raise InputError("the matrix does not have the tokens of every answer, which route predicts: sweep anew")
        penalty = float(setting["penalty"])
        weight, bias = fit_logistic(examples.embeddings, examples.correct, penalty)
        length_weight, length_bias = fit_ridge(examples.embeddings, tokens, penalty)
        average = np.array([max(tokens.mean(), 1)], np.float32)
        return {
            "weight": weight,
            "bias": bias,
            "length_weight": length_weight,
            "length_bias": length_bias,
            "average_length": average,
        }

    def order(self, tensors: Tensors, setting: dict, asked: Examples, n: int) -> tuple[np.ndarray, np.ndarray]:
        lengths = np.maximum(asked.embeddings @ tensors["length_weight"].T + tensors["length_bias"], 1)  # [asked, m]
        average = max(float(tensors["average_length"][0]), 1)
        scores = chances(tensors, asked) - np.float32(setting["price"]) * lengths / average
        order, ranked = best_first(scores, scores.shape[1])
        if setting["budget"]:
            fits = affordable(np.take_along_axis(lengths, order, axis=1), setting["budget"])
            place = np.argsort(~fits, axis=1, kind="stable")
            order, ranked = np.take_along_axis(order, place, axis=1), np.take_along_axis(ranked, place, axis=1)
        return order[:, :n], ranked[:, :n]

    def shapes(self, m: int, dim: int) -> dict:
        of_each = {"weight": ("float32", (m, dim)), "bias": ("float32", (m,))}
        return {
            **of_each,
            **{f"length_{name}": shape for name, shape in of_each.items()},
            "average_length": ("float32", (1,)),
        }


def affordable(lengths: np.ndarray, budget: float) -> np.ndarray:
    """Return bool [questions, m]: which candidates are bought when each, in order, is taken if it still fits."""
    left = np.full(len(lengths), budget, float)
    fits = np.zeros(lengths.shape, bool)
    for rank, cost in enumerate(lengths.T):
        fits[:, rank] = cost <= left
        left -= np.where(fits[:, rank], cost, 0)
    return fits


def fit_ridge(features: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Minimise mean squared error + penalty * |w|^2 for each column of `targets`.

    Args:
        features: float32 [n, dim].
        targets: [n, m].
        penalty: of squared weights, per question.

    Returns:
        weight float32 [m, dim], bias float32 [m].
    """
    x, y = features.astype(float), targets.astype(float)
    middle, mean = x.mean(0), y.mean(0)
    centred = x - middle
    gram = centred.T @ centred / len(x) + penalty * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, centred.T @ (y - mean) / len(x)).T
    return weight.astype(np.float32), (mean - weight @ middle).astype(np.float32)
