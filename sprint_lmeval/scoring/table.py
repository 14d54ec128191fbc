"""What `sprint-lmeval score` shows of one run: accuracy by method, what each costs, how alike the answers are."""

from __future__ import annotations

from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.safe_text import aligned, one_line, p_text

HEADINGS = ("method", "accuracy", "of Pass@N", "over first", "95 % interval", "p")
OF_COST = ("method", "answers", "tokens", "saved", "accuracy", "over vote", "95 % interval", "p")


def score_table(run: Run, content: dict) -> str:
    """Return the tables of one run, from the content of its file of scores."""
    solvable = 100 * float(run.correct.any(1).mean())
    title = f"{run.model_label}, {run.strategy_label}, {run.task}: {len(run.questions)} questions, N = {run.n}, "
    lines = [one_line(title) + f"Pass@N {solvable:.1f} %"]
    lines += aligned([HEADINGS, *(_cells(name, entry) for name, entry in content["methods"].items())])
    costs = [_cost_cells(name, entry) for name, entry in content["methods"].items() if "over_vote" in entry]
    if costs:
        lines += [
            "what it costs, stopping early in the stored order; compared with the vote of all N:",
            *aligned([OF_COST, *costs]),
        ]
    settings = {name: entry["settings"] for name, entry in content["methods"].items()}
    lines += [
        f"rpc, confidence and all of perplexity and log-probability: every candidate scored under the unpruned {under}"
        for under in sorted({one_line(of["scored_under"]) for of in settings.values() if "scored_under" in of})
    ]
    for told in ("merged", "arithmetic"):
        lines += [f"{one_line(name)}: {one_line(of[told])}" for name, of in settings.items() if told in of]
    if run.strategy == "branch":
        lines.append("votes: the texts of branches differ by construction, so equal answers mean little")
    shown = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in content["redundancy"].items()]
    return "\n".join([*lines, "redundancy: " + ", ".join(shown)])


def _cells(name: str, entry: dict) -> tuple[str, ...]:
    recovered = entry["recovered_of_pass_n"]
    share = "-" if recovered is None else f"{100 * recovered:.1f} %"
    return (one_line(name), f"{100 * entry['accuracy']:.1f} %", share, *_gain_cells("over_first", entry))


def _cost_cells(name: str, entry: dict) -> tuple[str, ...]:
    tokens, of_all = entry.get("tokens_used"), entry.get("tokens_of_all")
    saved = f"{100 * (1 - tokens / of_all):.1f} %" if of_all else "-"
    spent = "-" if tokens is None else f"{tokens:.0f}"
    rates = (f"{entry['answers_used']:.1f}", spent, saved, f"{100 * entry['accuracy']:.1f} %")
    return (one_line(name), *rates, *_gain_cells("over_vote", entry))


def _gain_cells(name: str, entry: dict) -> tuple[str, str, str]:
    interval = f"{100 * entry[f'{name}_low']:+.1f} to {100 * entry[f'{name}_high']:+.1f}"
    return f"{100 * entry[name]:+.1f}", interval, p_text(entry[f"{name}_p"])
