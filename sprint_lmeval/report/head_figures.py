"""Figures of single heads: the paper's Figure 5 (bars against the unpruned line), Figure 2 (violins of the best head's
gain) and its Tables 1-4 as maps (layer by head, for each subject)."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sprint_lmeval.report.figure_style import COLOURS, GAINS, RATES, new_figure, shortened, title_of
from sprint_lmeval.report.heads import HeadTable, best_head_gains

BETTER, WORSE, LINE = "#56B4E9", "#E69F00", "#000000"
MAX_BARS = 120  # in one line of bars; more layers go into further lines
MAX_PANELS = 31
MAX_NUMBERS = 4_000  # of all panels of a map; with more cells only what is above the unpruned model is marked
CLIPPED = 80  # percentile of sizes of gains, at which the scale ends: a few ruinous heads would take all of it
ROOM = 0.07  # of the height, below the bars, for the names of the layers
WIDE = 21  # characters of a name under a violin
FEWEST = 12  # values that a violin is drawn of; fewer are shown as points


def bars_figure(table: HeadTable) -> Figure:
    """Return Figure 5: each head's Pass@1 as a bar from the line of the unpruned model, with its paired interval."""
    lines = _lines_of_layers(table)
    figure, axes = new_figure(10.5, 0.9 + 2.6 * len(lines), len(lines), 1)
    base = 100 * table.base[0]
    for layers, (panel,) in zip(lines, axes, strict=True):
        _bars(panel, table, layers, base)
    low, high = (pick([a[0].get_ylim()[i] for a in axes]) for i, pick in ((0, min), (1, max)))
    for (panel,) in axes:
        panel.set_ylim(low - ROOM * (high - low), high)
    figure.suptitle(title_of(figure, table.name, "Pass@1 of single pruned heads"), fontsize=10)
    if not np.isnan(base):
        axes[0][0].legend(fontsize=7.5, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _lines_of_layers(table: HeadTable) -> list[list[int]]:
    """Indices of layers, as many to a line as have room."""
    size = max(1, MAX_BARS // max(1, len(table.heads)))
    indices = list(range(len(table.layers)))
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _bars(panel: Axes, table: HeadTable, layers: Sequence[int], base: float) -> None:
    cells = [(layer, head) for layer in layers for head in range(len(table.heads))]
    cells = [cell for cell in cells if not np.isnan(table.rates[0][cell])]
    positions = np.arange(len(cells))
    known = not np.isnan(base)
    heights = np.array([100 * (table.gains if known else table.rates)[0][cell] for cell in cells])
    above = heights > 0
    kinds = (("above", above, BETTER, ""), ("not above", ~above, WORSE, "////"))
    for name, chosen, colour, hatch in (kind for kind in kinds if kind[1].any()):
        style = {"color": colour, "hatch": hatch, "edgecolor": LINE, "linewidth": 0.4, "label": name if known else None}
        panel.bar(positions[chosen], heights[chosen], bottom=base if known else 0, **style)
    if known:
        errors = np.array([base + 100 * table.intervals[cell] for cell in cells]).reshape(-1, 2)
        panel.vlines(positions, *errors.T, color=LINE, linewidth=0.7, label="95 % interval")
        panel.axhline(base, color=LINE, linestyle="--", linewidth=1.2, label=f"unpruned: {base:.1f} %")
    panel.set_xticks(positions, [f"H{table.heads[head]}" for _, head in cells], rotation=90, fontsize=6.5)
    panel.set(ylabel="Pass@1, %", xlim=(-0.8, len(cells) - 0.2))
    for position in range(1, len(cells)):
        if cells[position][0] != cells[position - 1][0]:
            panel.axvline(position - 0.5, color="0.7", linewidth=0.8)
    _name_layers(panel, table, cells)


def _name_layers(panel: Axes, table: HeadTable, cells: Sequence[tuple[int, int]]) -> None:
    for layer in dict.fromkeys(layer for layer, _ in cells):
        middle = np.mean([position for position, (of, _) in enumerate(cells) if of == layer])
        across = panel.get_xaxis_transform()
        panel.text(middle, 0.02, f"layer {table.layers[layer]}", ha="center", fontsize=7.5, transform=across)


def violins_figure(
    name: str, what: str, gains: dict[str, list[float]], by_chance: dict[str, float] | None = None
) -> Figure:
    """Return Figure 2: a violin, its points and its median for each entry, in points; dotted: the mean by chance."""
    figure, ((panel,),) = new_figure(max(5.0, 1.8 + 1.2 * len(gains)), 4.2)
    for position, (entry, values) in enumerate(gains.items()):
        values = 100 * np.array(values)
        if entry in (by_chance or {}):
            panel.hlines(
                100 * by_chance[entry], position - 0.4, position + 0.4, color=LINE, linestyle=":", linewidth=1.5
            )
        if len(values) >= FEWEST and np.ptp(values) > 0:
            for body in panel.violinplot(values, [position], widths=0.8, showextrema=False)["bodies"]:
                body.set(facecolor=BETTER, edgecolor=LINE, alpha=0.5, linewidth=0.8)
        beside = position + 0.16 * (np.arange(len(values)) % 3 - 1) * (len(values) > 1)
        panel.plot(beside, values, linestyle="", marker="o", markersize=3, color=COLOURS[1])
        panel.hlines(np.median(values), position - 0.25, position + 0.25, color=LINE, linewidth=1.8)
    panel.axhline(0, color=LINE, linestyle="--", linewidth=1)
    names = ["\n".join([*wrap(shortened(of), WIDE), f"({len(values)})"]) for of, values in gains.items()]
    panel.set_xticks(range(len(gains)), names, fontsize=7.5)
    panel.set(ylabel="best head of a layer − unpruned, points")
    panel.set_title(title_of(figure, name, what), loc="left", fontsize=10)
    panel.grid(axis="y", alpha=0.3)
    return figure


def maps_figure(table: HeadTable) -> Figure:
    """Return Tables 1-4 as maps: gain over the unpruned model, or Pass@1 where it was not run, as colour and number."""
    shown = range(min(len(table.subjects), MAX_PANELS))
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    tall = 0.8 + 0.21 * len(table.layers)
    figure, axes = new_figure(max(4.5, 3.6 * columns), max(2.6, tall * rows + 0.5), rows, columns)
    panels = [panel for line in axes for panel in line]
    known = not np.isnan(table.base).all()
    values = 100 * (table.gains if known else table.rates)
    most = max(np.nanpercentile(np.abs(values), CLIPPED), 0.1)
    low, high = (-most, most) if known else (np.nanmin(values), np.nanmax(values))
    style = {"cmap": GAINS if known else RATES, "vmin": low, "vmax": high}
    numbered = values[0].size * len(shown) <= MAX_NUMBERS
    for number, panel in enumerate(panels):
        if number not in shown:
            panel.set_axis_off()
            continue
        drawn = panel.imshow(values[number], aspect="auto", interpolation="nearest", **style)
        _write_cells(panel, table, number, style, numbered)
        _name_axes(panel, table, number)
    beyond = (np.nanmin(values) < low, np.nanmax(values) > high)
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")
    figure.colorbar(drawn, ax=panels, label="gain, points" if known else "Pass@1, %", shrink=0.8, extend=extend)
    what = "layer by head" if numbered or not known else "layer by head, + above the unpruned model"
    figure.suptitle(title_of(figure, table.name, what), fontsize=10)
    return figure


def _write_cells(panel: Axes, table: HeadTable, subject: int, style: dict, numbered: bool) -> None:
    """Numbers in the cells, or a + where a head is above the unpruned model; a dot where it was not run."""
    known = style["cmap"] is GAINS
    values = 100 * (table.gains if known else table.rates)[subject]
    size = min(6.5, 90 / len(table.heads))
    middle = (style["vmin"] + style["vmax"]) / 2
    for (layer, head), value in np.ndenumerate(values):
        dark = abs(value) > 0.6 * style["vmax"] if known else value < middle
        text, colour = _cell(value, known, numbered), "white" if dark else "black"
        if np.isnan(value):
            text, colour = "·", "0.5"
        panel.text(head, layer, text, ha="center", va="center", fontsize=size, color=colour)


def _cell(value: float, gain: bool, numbered: bool) -> str:
    if not numbered or np.isnan(value):
        return "+" if gain and value > 0 else ""
    return f"{round(float(value)):{'+' if gain else ''}d}"


def _name_axes(panel: Axes, table: HeadTable, subject: int) -> None:
    step = max(1, len(table.heads) // 12)
    panel.set_xticks(range(0, len(table.heads), step), table.heads[::step], fontsize=7)
    step = max(1, len(table.layers) // 12)
    panel.set_yticks(range(0, len(table.layers), step), table.layers[::step], fontsize=7)
    base = table.base[subject]
    unpruned = "" if np.isnan(base) else f", {100 * base:.0f} %"
    panel.set_title(f"{shortened(table.subjects[subject])} ({table.counts[subject]}{unpruned})", fontsize=8)
    panel.set(xlabel="head", ylabel="layer")
    for spine in panel.spines.values():
        spine.set_visible(False)


def layer_gains(tables: Sequence[HeadTable]) -> dict[str, list[float]]:
    """Return, for each matrix, the gains of all its subject-layer pairs, as the paper's Figure 2 has them by model."""
    found = {}
    for table in tables:
        gains = best_head_gains(table)
        named = {subject: values for subject, values in gains.items() if subject != "all"} or gains
        found[table.name] = [value for values in named.values() for value in values]
    return {name: values for name, values in found.items() if values}


def layer_gains_by_chance(tables: Sequence[HeadTable]) -> dict[str, float]:
    """Return, for each matrix, the mean of `layer_gains` that chance gives."""
    found = {}
    for table in tables:
        named = [one for one in table.best if one.subject != "all"] or table.best
        if named:
            found[table.name] = float(np.mean([one.layer_expected for one in named]))
    return found
