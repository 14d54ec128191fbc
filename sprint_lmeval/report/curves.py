"""The paper's Figure 4: Pass@N over N, and over the tokens that were generated for it, with bands.

In: rows of the leaderboard. Out: one figure for each group, a line of two panels for each model. Bands are 95 %
bootstrap intervals over questions. One answer that stands for all N (`base`) is a level line, over tokens a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sprint_lmeval.report.figure_style import line_style, new_figure, shortened
from sprint_lmeval.runs.rates import curve, pass_rate, tokens_spent
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.statistics import paired_bootstrap

MAX_CURVES = 9
MAX_MODELS = 6
RESAMPLES = 2_000


@dataclass(frozen=True, eq=False)
class Curve:
    """Pass@1 ... Pass@N of a run as shares; `low`, `high` and `tokens` are None where its samples do not hold them."""

    label: str
    passed: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    tokens: np.ndarray | None
    flat: bool


def curve_of(run: Run, n: int) -> Curve:
    """Return the curve of a run up to N, as far as it has responses."""
    label = shortened(run.strategy_label)
    if run.samples is None:
        rates = takewhile(lambda rate: rate is not None, (pass_rate(run, k) for k in range(1, n + 1)))
        return Curve(label, np.array(list(rates)), None, None, None, run.flat)
    values = curve(run, n)
    zero = np.zeros(len(values))
    bands = np.array([paired_bootstrap(column, zero, RESAMPLES)[1:3] for column in values.T])
    return Curve(label, values.mean(0), bands[:, 0], bands[:, 1], tokens_spent(run, n), run.flat)


def drawn_rows(rows: Sequence[dict]) -> list[dict]:
    """Of one group and model those that are drawn: the best, and always the unpruned model and the best baselines."""
    if len(rows) <= MAX_CURVES:
        return list(rows)
    needed = [row for row in rows if row["best_at"] or row["run"].flat][:MAX_CURVES]
    chosen = {id(row) for row in needed}
    others = [row for row in rows if id(row) not in chosen][: MAX_CURVES - len(needed)]
    chosen |= {id(row) for row in others}
    return [row for row in rows if id(row) in chosen]


def curves_figure(rows: Sequence[dict]) -> tuple[Figure, list[str]]:
    """Return the figure of one group, and one sentence for what did not find room in it."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    shown, left_out = models[:MAX_MODELS], []
    if len(models) > len(shown):
        left_out.append(f"{len(models) - len(shown)} of {len(models)} models are not drawn, only the best")
    figure, axes = new_figure(10.5, 3.9 * len(shown), len(shown), 2)
    for model, panels in zip(shown, axes, strict=True):
        of_model = [row for row in rows if row["model"] == model]
        drawn = drawn_rows(of_model)
        if len(drawn) < len(of_model):
            left_out.append(f"{len(of_model) - len(drawn)} of {len(of_model)} runs of {model} are not drawn")
        n = max(row["n"] for row in of_model)
        draw_panels(
            panels, [(curve_of(row["run"], n), line_style(row["look"], not row["baseline"])) for row in drawn], n
        )
        panels[0].set_title(f"{shortened(model)}, {shortened(rows[0]['task'])}", loc="left")
    return figure, left_out


def draw_panels(panels: Sequence[Axes], curves: Sequence[tuple[Curve, dict]], n: int) -> None:
    """Draw the curves of one model, each with its style."""
    over_n, over_tokens = panels
    for one, style in curves:
        positions = np.arange(1, len(one.passed) + 1)
        _draw(over_n, positions, one, style)
        if one.tokens is not None and one.flat:
            over_tokens.axhline(100 * one.passed[0], color=style["color"], linestyle=":", linewidth=0.8)
            over_tokens.plot(one.tokens[:1], 100 * one.passed[:1], label=one.label, **style)
        elif one.tokens is not None:
            _draw(over_tokens, one.tokens, one, style)
    over_n.set(xlabel="N", ylabel="Pass@N, %")
    over_n.set_xticks(range(1, n + 1) if n <= 20 else np.unique(np.linspace(1, n, 9).astype(int)))
    over_tokens.set(xlabel="tokens generated per question", ylabel="Pass@N, %")
    if not over_tokens.lines:
        over_tokens.text(0.5, 0.5, "lengths of answers are not known", ha="center", transform=over_tokens.transAxes)
    for axes in panels:
        axes.grid(alpha=0.3)
    over_n.legend(fontsize=7.5, loc="best", framealpha=0.6)


def _draw(axes: Axes, positions: np.ndarray, one: Curve, style: dict) -> None:
    axes.plot(positions, 100 * one.passed, label=one.label, **style)
    if one.low is not None:
        axes.fill_between(positions, 100 * one.low, 100 * one.high, color=style["color"], alpha=0.12, linewidth=0)
