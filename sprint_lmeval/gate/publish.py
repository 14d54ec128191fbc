"""What a gate says: a table for people, JSON for machines, annotations and a summary for GitHub Actions.

Names in it come from files that others wrote, and pass through `one_line`, so that none begins a workflow command.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sprint_lmeval.files import write_whole
from sprint_lmeval.gate.metric_tests import Comparison, Test
from sprint_lmeval.gate.rules import Rules
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.safe_text import aligned, one_line, p_text

PASSED, REGRESSED, NOT_COMPARABLE = 0, 1, 2
OUTCOMES = ("passed", "regressed", "not comparable")
HEADINGS = ("metric", "baseline", "current", "change", "95 % interval", "worse", "better", "p", "outcome")
MAX_NAMED = 10  # questions that a text names; JSON holds all
MAX_SUMMARY = 1 << 20  # bytes that GitHub takes of a step's summary


@dataclass(frozen=True)
class Outcome:
    """What a gate came to: its exit status, why nothing could be compared, or else the comparisons under the rules."""

    status: int
    reason: str | None = None
    comparisons: Sequence[Comparison] = ()
    rules: Rules | None = None
    notes: Sequence[str] = ()


def publish(
    outcome: Outcome, json_file: Path | None, github: bool, environment: Mapping[str, str] = os.environ
) -> None:
    """Write everything that was asked for.

    Raises:
        InputError: the JSON file cannot be written.
    """
    print(as_text(outcome), end="")
    if outcome.reason is not None:
        print(f"error: {one_line(outcome.reason)}", file=sys.stderr)
    if github or environment.get("GITHUB_ACTIONS") == "true":
        print("".join(f"{line}\n" for line in annotations(outcome)), end="")
        _append_summary(environment.get("GITHUB_STEP_SUMMARY"), outcome)
    if json_file is not None:
        write_whole(json_file, json.dumps(as_json(outcome), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


# ---- for people ----


def as_text(outcome: Outcome) -> str:
    """Return the tables of all pairs, one after the other."""
    rules = outcome.rules
    lines = [f"gate: {OUTCOMES[outcome.status]}" + (f" ({_ruled(rules)})" if rules else "")]
    for comparison in outcome.comparisons:
        lines += ["", *_heading(comparison), *aligned([HEADINGS, *map(_cells, comparison.tests)])]
        lines += [f"note: {one_line(note)}" for note in comparison.notes]
        lines += [_named(test) for test in comparison.tests if test.outcome == "regressed"]
    return "\n".join([*lines, *(f"note: {one_line(note)}" for note in outcome.notes)]) + "\n"


def _ruled(rules: Rules) -> str:
    limits = [f"{name or 'any metric'} may drop by {100 * v:g} points" for name, v in rules.tolerances.items()]
    level = [f"one-sided p < {rules.alpha:g} after Holm's correction is a regression"] if rules.alpha else []
    return "; ".join(level + limits)


def _heading(comparison: Comparison) -> list[str]:
    now = comparison.current
    lines = [f"{one_line(now.task)}: {len(now.questions)} questions, N = {now.n}; in percent"]
    for name, run in (("baseline", comparison.baseline), ("current", now)):
        lines.append(one_line(f"{name:8}  {run.model_label}, {run.strategy_label}: {run.path}"))
    return lines


def _cells(test: Test) -> tuple[str, ...]:
    interval = f"{100 * test.low:+.1f} to {100 * test.high:+.1f}"
    rates = (f"{100 * test.baseline:.1f}", f"{100 * test.current:.1f}", f"{100 * test.change:+.1f}")
    counts = (str(len(test.worse)), str(len(test.better)))
    return (one_line(test.metric), *rates, interval, *counts, p_text(test.p_corrected), test.outcome)


def _named(test: Test) -> str:
    more = f", ... ({len(test.worse)} in all)" if len(test.worse) > MAX_NAMED else ""
    return f"{one_line(test.metric)} got worse on {one_line(', '.join(test.worse[:MAX_NAMED]))}{more}"


# ---- for machines ----


def as_json(outcome: Outcome) -> dict:
    """Return everything as JSON: rates and differences are shares from 0 to 1."""
    return {
        "version": 1,
        "outcome": OUTCOMES[outcome.status].replace(" ", "_"),
        "exit_status": outcome.status,
        "reason": outcome.reason,
        "alpha": outcome.rules and outcome.rules.alpha,
        "correction": "holm",
        "notes": list(outcome.notes),
        "comparisons": [
            {
                "task": c.current.task,
                "questions": len(c.current.questions),
                "n": c.current.n,
                "baseline": _described(c.baseline),
                "current": _described(c.current),
                "notes": c.notes,
                "metrics": [_test_json(test) for test in c.tests],
            }
            for c in outcome.comparisons
        ],
    }


def _described(run: Run) -> dict:
    return {"path": str(run.path), "model": run.model_label, "strategy": run.strategy_label}


def _test_json(test: Test) -> dict:
    names = ("metric", "baseline", "current", "change", "low", "high", "method", "p", "p_corrected", "tolerance")
    return {name: getattr(test, name) for name in (*names, "outcome", "worse", "better")}


# ---- for GitHub Actions ----


def annotations(outcome: Outcome) -> list[str]:
    """Return workflow commands: an error for what fails the gate, a warning for what got worse and does not."""
    if outcome.reason is not None:
        return [_command("error", "gate: not comparable", outcome.reason)]
    lines = []
    for comparison in outcome.comparisons:
        for test in comparison.tests:
            if test.drop > 0 and test.outcome != "passed":
                level = "error" if test.outcome == "regressed" else "warning"
                metric, old, new, change, *_, p, _ = _cells(test)
                said = f"{comparison.current.task}: {metric} {old} -> {new} ({change} points, p = {p})"
                lines.append(_command(level, f"gate: {test.outcome}", said))
        lines += [_command("warning", "gate", note) for note in comparison.notes if "cannot fail" in note]
    return lines


def _command(level: str, title: str, message: str) -> str:
    """A workflow command with what would end it or a property of it escaped, as GitHub's own toolkit does."""
    data = str(message).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    title = title.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{one_line(data)}"


def _append_summary(path: str | None, outcome: Outcome) -> None:
    """The table on the page of the workflow's run; it is no reason to fail."""
    if not path:
        return
    text = as_text(outcome) + (f"error: {one_line(outcome.reason)}\n" if outcome.reason else "")
    fenced = "```text\n" + text.replace("`", "'") + "```\n"
    try:
        with open(path, "a", encoding="utf-8", errors="replace") as stream:
            stream.write(fenced if len(fenced.encode()) < MAX_SUMMARY else f"gate: {OUTCOMES[outcome.status]}\n")
    except OSError as error:
        print(f"note: no summary was written ({error.strerror})", file=sys.stderr)
