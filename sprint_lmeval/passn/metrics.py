"""Verdicts of one question -> pass@1 ... pass@N, mean, majority, rates; and how questions are averaged.

In: a `Judgement` of N responses in the strategy's order. Out: one number per metric, and the lists that a sample row
keeps. Ordered pass@k follows the paper (section 5); the unbiased estimator is Chen et al. 2021 (arXiv 2107.03374).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import comb

from sprint_lmeval.answers.verdicts import Judgement, Verdict


def pass_at_k(correct: Sequence[bool], k: int) -> float:
    """Return 1.0 if any of the first `k` responses, in order, is correct, else 0.0."""
    if not 1 <= k <= len(correct):
        raise ValueError(f"k = {k} given, there are {len(correct)} responses")
    return float(any(correct[:k]))


def unbiased_pass_at_k(n: int, c: int, k: int) -> float:
    """Return the chance that k of n exchangeable samples, c of them correct, hold a correct one.

    Only for independent samples: the responses of a ranked list are not exchangeable.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"n = {n}, c = {c}, k = {k} given; needed are 0 <= c <= n and 1 <= k <= n")
    return 1.0 - comb(n - c, k) / comb(n, k)


def all_at_k(correct: Sequence[bool], k: int) -> float:
    """Return 1.0 if each of the first `k` responses, in order, is correct, else 0.0."""
    if not 1 <= k <= len(correct):
        raise ValueError(f"k = {k} given, there are {len(correct)} responses")
    return float(all(correct[:k]))


def majority_vote(judgement: Judgement) -> float:
    """Return the share of the vote's winners that is correct: 1 or 0 without a tie, 1/t where t classes tie.

    A response votes for the class of symbolically equal answers that its answer belongs to; one without an answer
    does not vote.
    """
    votes = Counter(group for group in judgement.groups if group is not None)
    if not votes:
        return 0.0
    right = {g for g, v in zip(judgement.groups, judgement.verdicts, strict=True) if v is Verdict.correct}
    winners = [group for group, count in votes.items() if count == max(votes.values())]
    return sum(group in right for group in winners) / len(winners)


def question_metrics(judgement: Judgement, responses: Sequence[str], exchangeable: bool) -> dict[str, float]:
    """Return every metric of one question. What the model does not report (truncation, tokens) is absent.

    Args:
        judgement: of the N responses, in order.
        responses: the N responses; `truncated` is read where they have it (`ResponseText` of models/requests.py).
        exchangeable: whether they are independent samples, for `unbiased_pass@k`.
    """
    n = len(responses)
    verdicts = judgement.verdicts
    correct = [v is Verdict.correct for v in verdicts]
    metrics = {f"pass@{k}": pass_at_k(correct, k) for k in range(1, n + 1)}
    metrics[f"mean@{n}"] = sum(correct) / n
    if not any(getattr(r, "distinct", False) for r in responses):  # by construction: a vote counts each text once
        metrics[f"maj@{n}"] = majority_vote(judgement)
    metrics["no_answer"] = sum(v is Verdict.no_answer for v in verdicts) / n
    metrics["grader_failed"] = sum(v in (Verdict.timeout, Verdict.error) for v in verdicts) / n
    metrics[f"all@{n}"] = all_at_k(correct, n)  # of fewer: sprint-lmeval gate, from the verdicts
    metrics["distinct_texts"] = float(len(set(responses)))
    metrics["distinct_answers"] = float(len({g for g in judgement.groups if g is not None}))
    truncated = [getattr(r, "truncated", None) for r in responses]
    if None not in truncated:
        metrics["truncated"] = sum(truncated) / n
    spent = [getattr(r, "new_tokens", None) for r in responses]
    if None not in spent:
        metrics["tokens_per_answer"] = sum(spent) / n
    if exchangeable:
        metrics |= {f"unbiased_pass@{k}": unbiased_pass_at_k(n, sum(correct), k) for k in range(1, n + 1)}
    return metrics


def paper_metrics(verdicts: Sequence[Verdict], paper: Sequence[Verdict]) -> dict[str, float]:
    """Return Pass@k by the paper's grader, and the share of responses of which it says another thing than ours.

    Args:
        verdicts: ours, of the N responses in order.
        paper: those of `paper_verdicts`.
    """
    ours, theirs = ([v is Verdict.correct for v in of] for of in (verdicts, paper))
    passed = {f"paper_pass@{k}": pass_at_k(theirs, k) for k in range(1, len(theirs) + 1)}
    return passed | {"grading_differs": sum(a != b for a, b in zip(ours, theirs, strict=True)) / len(theirs)}


def kept_lists(judgement: Judgement, responses: Sequence[str]) -> dict[str, list]:
    """Return the lists of N, in order, that a sample row keeps; what the model does not report is absent."""
    lists = {"verdicts": [v.value for v in judgement.verdicts], "answers": judgement.answers}
    reported = {"candidates": "candidate", "truncated_rows": "truncated", "new_tokens": "new_tokens", "scores": "score"}
    for name, attribute in reported.items():
        values = [getattr(r, attribute, None) for r in responses]
        if None not in values:
            lists[name] = values
    return lists


class QuestionRow(dict):
    """Metrics of one question that also carries its lists.

    The harness copies the whole mapping into the sample row (`dict.update`, which reads a dict subclass directly) and
    walks `items()` for what it averages: the lists are in the one and not in the other, so that the results table shows
    numbers only.
    """

    def __init__(self, metrics: dict[str, float], lists: dict[str, list]) -> None:
        super().__init__({**metrics, **lists})
        self._metrics = metrics

    def items(self):
        return self._metrics.items()

    def keys(self):
        return self._metrics.keys()


def mean_metrics(n: int, paper: bool = False) -> dict[str, bool]:
    """Return the names of all metrics of N responses, each with whether higher is better; `paper`: its grader's too."""
    better = {f"{name}@{k}": True for name in ("pass", "unbiased_pass") for k in range(1, n + 1)}
    better |= {f"mean@{n}": True, f"maj@{n}": True, f"all@{n}": True, "distinct_answers": True, "distinct_texts": True}
    of_paper = {**{f"paper_pass@{k}": True for k in range(1, n + 1)}, "grading_differs": False} if paper else {}
    return better | dict.fromkeys(("no_answer", "truncated", "grader_failed", "tokens_per_answer"), False) | of_paper


def aggregations(n: int, paper: bool = False) -> dict[str, Callable]:
    """Return the harness's own mean for every metric, so that it adds its standard error."""
    from lm_eval.api.metrics import mean

    return dict.fromkeys(mean_metrics(n, paper), mean)


def keep_all(responses: list, docs: list) -> list:
    """Filter of the tasks: hand all N responses on (without a filter the harness keeps the first only)."""
    return responses
