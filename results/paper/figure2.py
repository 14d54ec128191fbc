"""How much of the paper's Figure 2 is what chance gives? From the Pass@1 figures that its Tables 1 and 4 print.

    python results/paper/figure2.py            # prints what README.md in this folder shows
    python results/paper/figure2.py --check    # exit status 1 where README.md does not show it

In: printed.csv, typed from the tables: Pass@1 of the model with one head pruned, by subject of MATH500 and layer, two
digits; head `none` is the unpruned model. No verdicts are printed, so questions cannot be shuffled. Two estimates of
the best head's gain by chance take their place, both for a pair of subject and layer with H heads:

    exchange   any of the H + 1 columns stands for the unpruned model: the median over them of the best other minus it
    noise      H + 1 draws of a normal distribution as wide as the heads' figures: the mean of the best of H minus the
               last one; heads 3 standard errors or more below the unpruned model are ruined, not noisy: left out

Heads that do nothing give both.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from sprint_lmeval.runs.safe_text import points, table_text

PRINTED = Path(__file__).parent / "printed.csv"
BASE = "none"
RUINED = 3  # standard errors of a share of so many questions
Cell = tuple[str, int]  # subject, layer


def printed() -> tuple[dict[str, dict[Cell, dict[str, float]]], dict[str, int]]:
    """Return model -> (subject, layer) -> head -> Pass@1; subject -> questions."""
    tables: dict = defaultdict(lambda: defaultdict(dict))
    counts = {}
    with PRINTED.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            tables[row["model"]][row["subject"], int(row["layer"])][row["head"]] = float(row["pass@1"])
            counts[row["subject"]] = int(row["questions"])
    return tables, counts


def gains(cell: dict[str, float]) -> np.ndarray:
    return np.array([rate - cell[BASE] for head, rate in cell.items() if head != BASE])


def by_exchange(cell: dict[str, float]) -> np.ndarray:
    """Return the best gain for each column in the place of the unpruned model, [heads + 1]."""
    rates = np.array(list(cell.values()))
    return np.array([np.delete(rates, j).max() - rates[j] for j in range(len(rates))])


def by_noise(cell: dict[str, float], questions: int) -> float:
    error = np.sqrt(cell[BASE] * (1 - cell[BASE]) / questions)
    found = gains(cell)
    spread = found[found > -RUINED * error].std(ddof=1)
    draws = np.random.default_rng(0).normal(size=(20_000, len(cell)))
    return float(spread * (draws[:, 1:].max(1) - draws[:, 0]).mean())


def chosen_elsewhere(cells: dict[Cell, dict[str, float]]) -> float:
    """Return the mean gain in a subject of the head of any layer that gains most in the mean of the others."""
    subjects = list(dict.fromkeys(subject for subject, _ in cells))
    found = []
    for subject in subjects:
        others = [other for other in subjects if other != subject]
        known = {(layer, head) for (s, layer), cell in cells.items() if s == subject for head in cell if head != BASE}
        known = [(la, h) for la, h in sorted(known) if all(h in cells[other, la] for other in others)]
        elsewhere = [np.mean([cells[o, la][h] - cells[o, la][BASE] for o in others]) for la, h in known]
        layer, head = known[int(np.argmax(elsewhere))]
        found.append(cells[subject, layer][head] - cells[subject, layer][BASE])
    return float(np.mean(found))


def figures(pairs: dict[Cell, dict[str, float]], counts: dict[str, int]) -> list[str]:
    """Return, of some pairs of subject and layer: how many, mean gain, by exchange, by noise, share of heads above."""
    cells = list(pairs.values())
    observed = [gains(cell).max() for cell in cells]
    exchanged = [float(np.median(by_exchange(cell))) for cell in cells]
    as_far = [np.mean(by_exchange(cell) >= gain - 1e-9) for cell, gain in zip(cells, observed, strict=True)]
    above = np.mean(np.concatenate([gains(cell) for cell in cells]) > 1e-9)
    noise = [by_noise(cell, counts[subject]) for (subject, _), cell in pairs.items()]
    means = [float(np.mean(of)) for of in (observed, exchanged, noise)]
    return [str(len(cells)), *map(points, means), f"{100 * above:.0f} %", f"{100 * np.mean(as_far):.0f} %"]


def text() -> str:
    head = ["model", "subject", "pairs", "best head of a layer", "by exchange", "by noise", "heads above", "as far"]
    lines, sentences = [head], []
    tables, counts = printed()
    for model, cells in tables.items():
        for subject in dict.fromkeys(subject for subject, _ in cells):
            of_subject = {pair: cell for pair, cell in cells.items() if pair[0] == subject}
            lines.append([model, subject, *figures(of_subject, counts)])
        lines.append([model, "all", *figures(cells, counts)])
        sentences.append(
            f"{model}: a head chosen by the other subjects gains {points(chosen_elsewhere(cells))} points in a subject."
        )
    return "\n\n".join([table_text(lines, left=2), *sentences])


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        shown = text() in (PRINTED.parent / "README.md").read_text(encoding="utf-8")
        print(f"results/paper/README.md {'shows' if shown else 'does not show'} what results/paper/figure2.py prints")
        sys.exit(not shown)
    print(text())
