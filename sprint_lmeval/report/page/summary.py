"""Rows of the leaderboard -> the best strategy of each model and task, in words, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from sprint_lmeval.report.curves import curve_of
from sprint_lmeval.report.leaderboard import both_p, headline
from sprint_lmeval.runs.safe_text import percent, points
from sprint_lmeval.runs.statistics import SURE

MOST = 20  # sentences


def best_strategies(rows: Sequence[dict], task_label) -> list[str]:
    """Return a sentence for each group and model that has several runs, in the order of the leaderboard."""
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault((row["group"], row["model"]), []).append(row)
    several = [of_model for of_model in found.values() if len(of_model) > 1]
    sentences = [_sentence(of_model, task_label(of_model[0])) for of_model in several[:MOST]]
    return sentences + ([f"{len(several) - MOST} more are in the table."] if len(several) > MOST else [])


def _sentence(rows: Sequence[dict], task: str) -> str:
    """Rows are of one model, best first; what is only as good as the best baseline is not named before it."""
    n = rows[0]["common_n"]
    baseline = next((row for row in rows if n in row["best_at"]), None)
    better = next((row for row in rows if (headline(row) or {}).get("difference", 0) > 0), None)
    best = better or baseline or rows[0]
    if not best["pass"].get(n):
        return f"{best['model']} on {task}: no strategy solves a question at N = {n}."
    text = f"{best['model']} on {task}: {best['strategy']} is best, Pass@{n} {percent(best['pass'][n])} %"
    text += _interval(best, n)
    learned = better or next((row for row in rows if not row["baseline"] and headline(row)), None)
    if learned is None:
        return f"{text}."
    compared = headline(learned)
    to = f"that is {points(compared['difference'])} points to the best baseline, {compared['baseline']}"
    if learned is not best:
        below = f"{-100 * compared['difference']:.1f} points below it" if compared["difference"] else "as good"
        to = f"the best selector, {learned['strategy']}, is {below}"
    interval = f"(95 %: {points(compared['low'])} to {points(compared['high'])}; p {both_p(compared)})"
    return f"{text}; {to} {interval}{'' if compared['p_holm'] < SURE else ', which may be chance'}."


def _interval(row: dict, n: int) -> str:
    curve = curve_of(row["run"], n)
    if curve.low is None or len(curve.low) < n:
        return ""
    return f" (95 %: {percent(curve.low[n - 1])} to {percent(curve.high[n - 1])})"
