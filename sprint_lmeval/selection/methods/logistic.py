"""The method `logistic`: each candidate by its own chance to solve the question, from the question's embedding."""

from __future__ import annotations

import numpy as np

from sprint_lmeval.selection.methods.method import Examples, Method, Option, Tensors, best_first


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
        return best_first(chances(tensors, asked), n)

    def shapes(self, m: int, dim: int) -> dict:
        return {"weight": ("float32", (m, dim)), "bias": ("float32", (m,))}


def chances(tensors: Tensors, asked: Examples) -> np.ndarray:
    """Return float32 [asked, m]: of each candidate to solve each question, by `weight` and `bias`."""
    return 1 / (1 + np.exp(-(asked.embeddings @ tensors["weight"].T + tensors["bias"])))


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
