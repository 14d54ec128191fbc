"""What the harness prints of our tasks: a few of the metrics, pass@4 before pass@16; the results keep all of them.

In: the harness's results. Out: a copy for its `make_table`, which sorts names as text and shows whatever it is given.
"""

from __future__ import annotations

OURS = "pass@1,first_n"  # a metric and filter that only tasks of ours have
PROBLEMS = ("no_answer", "truncated", "grader_failed")  # shown where there are some
REST = "pass@k of every k and the other metrics are in the results (--output_path)"


class MetricName(str):
    """A metric's name that sorts by its rank in the table."""

    rank: int

    def __lt__(self, other: MetricName) -> bool:
        return self.rank < other.rank


def shown(results: dict, column: str) -> tuple[dict, str]:
    """Return results with a few metrics of our tasks, and a sentence on the rest where there are tasks of ours."""
    ours = {name: _few(metrics) for name, metrics in results[column].items() if OURS in metrics}
    return {**results, column: {**results[column], **ours}}, REST if ours else ""


def _few(metrics: dict) -> dict:
    """Keep pass@ (of samples the unbiased one) at 1, 4, 16 and N, vote, mean, cost, and what went wrong."""
    names = [key.partition(",")[0].removesuffix("_stderr") for key in metrics]
    n = max(int(name[5:]) for name in names if name.startswith("pass@"))
    kinds = ("unbiased_pass" if "unbiased_pass@1" in names else "pass", "paper_pass")
    kept = [f"{kind}@{k}" for kind in kinds for k in sorted({1, 4, 16, n}) if k <= n]
    kept += [f"maj@{n}", f"mean@{n}", "tokens_per_answer"]
    kept += [name for name in PROBLEMS if metrics.get(f"{name},first_n")]
    few = {}
    for key, name in zip(metrics, names, strict=True):
        if name in kept or "," not in key:
            row = MetricName(key)
            row.rank = kept.index(name) if name in kept else -1
            few[row] = metrics[key]
    return few
