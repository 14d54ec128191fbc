"""The methods of `sprint-lmeval train`: the paper's, and what a sceptic compares it with.

All have the same candidates, the same training questions, the same encoder and the same way of choosing their settings
(method.py). Each option says why its default is what it is; docs/methods.md shows what was measured.
"""

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


class Logistic(Method):
    name = "logistic"
    summary = "one regularised logistic classifier per candidate on the question's embedding"
    options = {  # noqa: RUF012
        "penalty": Option(
            (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2), "of squared weights, per question; by validation", 1e-9, 1e3
        )
    }

    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        weight, bias = fit_logistic(examples.embeddings, examples.correct, float(setting["penalty"]))
        return {"weight": weight, "bias": bias}

    def order(self, tensors: Tensors, setting: dict, asked: Examples, n: int) -> tuple[np.ndarray, np.ndarray]:
        chance = 1 / (1 + np.exp(-(asked.embeddings @ tensors["weight"].T + tensors["bias"])))
        return best_first(chance, n)

    def shapes(self, m: int, dim: int) -> dict:
        return {"weight": ("float32", (m, dim)), "bias": ("float32", (m,))}


def best_first(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the n columns with the highest scores of every row, and those scores; of equals the first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    return order.astype(np.int64), np.take_along_axis(scores, order, axis=1).astype(np.float32)


def fit_logistic(features: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Minimise mean log loss + penalty * |w|^2 for each column of `targets` by L-BFGS, from zero.

    Args:
        features: float32 [n, dim].
        targets: [n, m], 0 or 1 (or a chance between).

    Returns:
        weight float32 [m, dim], bias float32 [m].
    """
    import torch

    x, y = torch.from_numpy(features), torch.from_numpy(targets.astype(np.float32))
    rate = y.mean(0).clamp(1e-3, 1 - 1e-3)
    weight = torch.zeros(y.shape[1], x.shape[1], requires_grad=True)
    bias = torch.logit(rate).requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        log_loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ weight.T + bias, y, reduction="none")
        value = log_loss.mean(0).sum() + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach().numpy(), bias.detach().numpy()
