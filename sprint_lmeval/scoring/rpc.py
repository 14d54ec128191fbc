"""Perplexity consistency and reasoning pruning (RPC, arXiv 2502.00511), on the N responses of one question.

In: the mean log-probability of each response's tokens. Its exponential, the inverse of the perplexity, is what stands
for the probability of a path: the product over all tokens would leave the shortest path alone. Perplexity consistency:
an answer's weight is the sum over its *different* texts. Reasoning pruning: the probabilities of a question are a
mixture of two Weibull distributions; a path that rather belongs to the lower one, and is below the mean, is left out.
Start and bounds of the fit are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.scores import MethodChoice
from sprint_lmeval.scoring.likelihoods import LOG_PROBABILITY, BaseModel
from sprint_lmeval.scoring.stored import stored_responses
from sprint_lmeval.scoring.votes import AnswerClasses, best, vote

INVERSE = "inverse perplexity"
START = (0.5, 1.0, 1.0, 1.5, 2.0)  # share and (shape, scale) of the first distribution, (shape, scale) of the second
BOUNDS = ((0.2, 0.8), (0.01, None), (0.01, None), (0.01, None), (0.01, None))
MAX_STEPS = 200
LEAST_DENSITY = 1e-300


def path_probabilities(log_probabilities: Sequence[float]) -> np.ndarray:
    """Return the exponentials, 0 where a log-probability is not finite."""
    values = np.asarray(log_probabilities, float)
    return np.exp(np.minimum(np.where(np.isfinite(values), values, -np.inf), 0.0))


def shares(log_probabilities: Sequence[float]) -> np.ndarray:
    """Return probabilities of whole paths relative to the most probable one, since each is too small a number."""
    values = np.asarray(log_probabilities, float)
    known = values[np.isfinite(values)]
    return path_probabilities(values - known.max()) if len(known) else np.zeros(len(values))


def different(weights: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Return the weights with 0 for every text that was there before."""
    first = {text: index for index, text in reversed(list(enumerate(texts)))}
    return np.array(
        [w if first[text] == index else 0.0 for index, (w, text) in enumerate(zip(weights, texts, strict=True))]
    )


def without_improbable(probabilities: np.ndarray) -> np.ndarray:
    """Return the probabilities with 0 for the pruned ones."""
    return np.where(pruned(probabilities, probabilities > 0), 0.0, probabilities)


def pruned(probabilities: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which paths are improbable, bool [n]: rather of the lower distribution, and below the mean."""
    out = np.zeros(len(probabilities), bool)
    values = probabilities[known]
    if len(values) < 2 or np.ptp(values) < 1e-12:
        return out
    chance = high_chance(values)
    out[known] = (chance < 0.5) & (values < values.mean())
    return out


def high_chance(values: np.ndarray) -> np.ndarray:
    """Return the chance of each value to be of the distribution with the higher mean; 1 where no fit was found."""
    from scipy.optimize import minimize
    from scipy.special import gamma

    found = minimize(_minus_log_likelihood, START, (values,), bounds=BOUNDS, options={"maxiter": MAX_STEPS})
    share, shape1, scale1, shape2, scale2 = found.x
    first, second = share * _density(values, shape1, scale1), (1 - share) * _density(values, shape2, scale2)
    with np.errstate(all="ignore"):
        if scale1 * gamma(1 + 1 / shape1) < scale2 * gamma(1 + 1 / shape2):
            first, second = second, first
        chance = first / (first + second)
    return np.where(np.isfinite(chance), chance, 1.0)


def _minus_log_likelihood(parameters: np.ndarray, values: np.ndarray) -> float:
    share, shape1, scale1, shape2, scale2 = parameters
    density = share * _density(values, shape1, scale1) + (1 - share) * _density(values, shape2, scale2)
    return -float(np.log(np.maximum(density, LEAST_DENSITY)).sum())


def _density(values: np.ndarray, shape: float, scale: float) -> np.ndarray:
    """Of the Weibull distribution; 0 where it is too small or too large to be a number."""
    with np.errstate(all="ignore"):
        relative = values / scale
        density = shape / scale * relative ** (shape - 1) * np.exp(-(relative**shape))
    return np.where(np.isfinite(density), density, 0.0)


def choose_by_probability(run: Run, classes: Sequence[AnswerClasses], model: BaseModel) -> list[MethodChoice]:
    """What the unpruned model finds probable: the best of N, votes by whole paths, perplexity consistency, and RPC."""
    rows = stored_responses(run)
    found = [[facts[LOG_PROBABILITY] for facts in row] for row in model.of_run(run)]
    means = [np.array([of.mean() if len(of) else np.nan for of in row]) for row in found]  # of a token
    paths = [shares([of.sum() if len(of) else np.nan for of in row]) for row in found]
    inverse = [path_probabilities(row) for row in means]  # of the perplexity
    texts = [row.responses for row in rows]
    by_name = {
        "log-probability vote": ("of the whole path", [different(*one) for one in zip(paths, texts, strict=True)]),
        "perplexity vote": (f"{INVERSE}, equal texts too", inverse),
        "perplexity consistency": (INVERSE, [different(*one) for one in zip(inverse, texts, strict=True)]),
        "rpc": (
            f"{INVERSE}, improbable paths pruned",
            [different(without_improbable(w), t) for w, t in zip(inverse, texts, strict=True)],
        ),
    }
    settings = {"scored_under": model.name, "pruned_heads": "none: this one unpruned model scores all candidates"}
    most = [best(row, values) for row, values in zip(classes, means, strict=True)]
    choices = [MethodChoice("least perplexity", most, settings)]
    for name, (what, weights) in by_name.items():
        chosen = [vote(row, w) for row, w in zip(classes, weights, strict=True)]
        choices.append(MethodChoice(name, chosen, {**settings, "weight": what}))
    return choices
