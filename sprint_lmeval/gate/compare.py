"""Is a run worse than its baseline? Questions are paired by id and hash, and a drop is tested for each metric.

In: a baseline and a current run, each a results file or folder of the harness with its samples, or a baseline file
(baseline.py). Out: exit status 0 passed, 1 regressed, 2 not comparable; a table, JSON, annotations (publish.py).
A drop of pass@k is tested exactly (McNemar), that of a mean by a paired bootstrap; one-sided, since only a drop can
fail a build, and corrected by Holm's method for the number of tests.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.gate.baseline import is_baseline, read_baseline
from sprint_lmeval.gate.metric_tests import Comparison, decide, default_metrics, test_metric, why_blind
from sprint_lmeval.gate.publish import NOT_COMPARABLE, PASSED, REGRESSED, Outcome, publish
from sprint_lmeval.gate.rules import ALLOWABLE, Rules, make_rules
from sprint_lmeval.runs.comparable import requirements
from sprint_lmeval.runs.run import Run, Runs, read_runs, require_samples
from sprint_lmeval.runs.safe_text import one_line


def gate_command(
    baseline: str,
    current: str,
    *,
    metrics: str | None = None,
    alpha: float | None = None,
    tolerances: Sequence[str] = (),
    allow: Sequence[str] = (),
    json: str | None = None,
    github: bool = False,
) -> int:
    """Run `sprint-lmeval gate`: compare, and report it in every form that was asked for; returns the exit status.

    Args:
        baseline: a baseline file, or results of the harness: a file or a folder.
        current: likewise.
        metrics: names with commas; None: those of `default_metrics`.
        alpha: the level; None: 0.05, or none where there is a tolerance.
        tolerances: texts `X` or `METRIC=X`.
        allow: names of `ALLOWABLE`, several with commas.
        json: the file for machines.
        github: write annotations, also where GitHub does not run it.
    """
    target = None
    try:
        target = _json_target(json, (baseline, current))
        outcome = outcome_of(baseline, current, make_rules(metrics, alpha, tolerances, allow))
    except InputError as error:
        outcome = Outcome(NOT_COMPARABLE, str(error))
    try:
        publish(outcome, target, github)
    except (InputError, OSError) as error:  # such as a full disk under the standard output
        print(f"error: {one_line(error)}", file=sys.stderr)
        return NOT_COMPARABLE
    return outcome.status


def _json_target(json: str | None, sides: Sequence[str]) -> Path | None:
    """Where to write the JSON: not over a file that is compared."""
    if json == "":  # a variable that is not set, say; as a path it is the working directory
        raise InputError("--json '' given, needed is the name of a file")
    if json is None:
        return None
    target, compared = Path(json).resolve(), [Path(side).resolve() for side in sides if side]
    inside = target.name.startswith(("results", "samples", "scores")) and not set(compared).isdisjoint(target.parents)
    if target in compared or (inside and target.exists()):
        raise InputError(f"--json {json} is the file that is compared: give another name")
    return Path(json)


def outcome_of(baseline: str, current: str, rules: Rules) -> Outcome:
    """Return what a gate says of two files or folders; why they are not comparable is an outcome too."""
    notes: list[str] = []
    try:
        before = _read("baseline", baseline)
        notes += before.notes
        now = _read("current", current)
        notes += now.notes
        pairs, unpaired = paired_runs(before.runs, now.runs)
        notes += unpaired
        comparisons = compare_all(pairs, rules)
    except InputError as error:
        return Outcome(NOT_COMPARABLE, str(error), rules=rules, notes=notes)
    except Exception as error:  # Python's own exit status of a crash is 1, which here means "regressed"
        traceback.print_exc()
        reason = f"the comparison itself failed ({error!r:.200}): this is a defect of the gate"
        return Outcome(NOT_COMPARABLE, reason, rules=rules, notes=notes)
    failed = any(test.outcome == "regressed" for comparison in comparisons for test in comparison.tests)
    return Outcome(REGRESSED if failed else PASSED, None, comparisons, rules, notes)


def compare_all(pairs: Sequence[tuple[Run, Run]], rules: Rules) -> list[Comparison]:
    """Compare every run of a baseline with its counterpart, as one family of tests.

    Raises:
        InputError: what is compared differs in what must be equal, or no drop could ever fail.
    """
    comparisons = [compare(before, now, rules) for before, now in pairs]
    tests = [test for comparison in comparisons for test in comparison.tests]
    unknown = sorted(name for name in rules.tolerances if name and name not in {test.metric for test in tests})
    if unknown:
        raise InputError(
            f"--tolerance names {unknown[0]}, which is not compared ({', '.join({t.metric for t in tests})})"
        )
    decide(tests, rules)
    return _without_blind(comparisons, rules, len(tests))


def _read(option: str, name: str) -> Runs:
    if not name:
        raise InputError(f"--{option} '' given, needed is the name of a file")
    if not os.path.exists(name):  # which is false for a name that is too long; Path.exists raises
        raise InputError(f"{name:.200} does not exist: give a baseline file, or results of lm_eval with --log_samples")
    path = Path(name)
    return Runs(read_baseline(path), []) if path.is_file() and is_baseline(path) else read_runs([path])


def paired_runs(baseline: Sequence[Run], current: Sequence[Run]) -> tuple[list[tuple[Run, Run]], list[str]]:
    """Return pairs of runs, and a note on each current run that has no counterpart.

    One run each is a pair, whatever model and strategy; of several, those of one task and strategy are.
    """
    if len(baseline) == len(current) == 1:
        return [(baseline[0], current[0])], []
    pairs = [(before, _counterpart(before, current)) for before in baseline]
    taken = [id(now) for _, now in pairs]
    if len(set(taken)) != len(taken):
        raise InputError(f"{baseline[0].path} has several runs for one of {current[0].path}: give one run each")
    return pairs, [f"{_said(now)} ({now.path}) is not in the baseline." for now in current if id(now) not in taken]


def _counterpart(before: Run, current: Sequence[Run]) -> Run:
    like = [now for now in current if (now.task, now.strategy_label) == (before.task, before.strategy_label)]
    for name in ("model_label", "model"):
        same = [now for now in like if getattr(now, name) == getattr(before, name)]
        like = same if len(like) > 1 and same else like
    if len(like) > 1:
        same = [now for now in like if now.facts.get("listed") == before.facts.get("listed")]
        like = same or like
    if len(like) == 1:
        return like[0]
    found = f"{len(like)} such runs" if like else f"only {', '.join(_said(now) for now in current[:3])}"
    raise InputError(
        f"{before.path} has a run of {_said(before)}, and {current[0].path} holds {found}: give the runs that the "
        "baseline was made from"
    )


def _said(run: Run) -> str:
    return f"{run.model_label} with {run.strategy_label} on {run.task}"


# ---- one pair ----


def compare(before: Run, now: Run, rules: Rules) -> Comparison:
    """Test every metric of one pair of runs.

    Raises:
        InputError: they differ in task, N, documents or settings, or a metric is not known.
    """
    for run in (before, now):
        require_samples(run)
    notes = _check_comparable(before, now, rules.allow)
    index = {question.id: number for number, question in enumerate(now.questions)}
    order = np.array([index[question.id] for question in before.questions])
    names = rules.metrics or default_metrics(before, now)
    tests = [test_metric(name, before, now, order, rules) for name in names]
    return Comparison(before, now, tests, notes)


def _check_comparable(before: Run, now: Run, allow: Sequence[str]) -> list[str]:
    pair = f"{before.path} and {now.path} cannot be compared"
    if before.task != now.task:
        raise InputError(f"{pair}: their tasks are {before.task} and {now.task}")
    if before.n != now.n:
        raise InputError(f"{pair}: they have {before.n} and {now.n} responses per question, and N must be the same")
    _check_questions(pair, before, now)
    notes = []
    ours, theirs = _requirements(before), _requirements(now)
    for name, value in ours.items():
        other = theirs.get(name)
        if name in ("number of documents", "documents") or value is None or other is None or value == other:
            continue
        allowed = next(word for word, starts in ALLOWABLE.items() if name.startswith(starts))
        if allowed not in allow:
            raise InputError(
                f"{pair}: their {name} differ ({value!s:.80} and {other!s:.80}); make the baseline anew, or give "
                f"--allow {allowed} if that is what is tested"
            )
        notes.append(f"their {name} differ, as --allow {allowed} permits")
    same = ["both sides are the same file, so nothing can differ"] if before.path.samefile(now.path) else []
    return notes + same + _noted_differences(before, now)


def _requirements(run: Run) -> dict[str, object]:
    found = requirements(run)
    if run.facts.get("prompts"):  # a baseline file has one hash of all prompts
        found[f"prompts of {run.model_label}"] = run.facts["prompts"]
    return found


def _check_questions(pair: str, before: Run, now: Run) -> None:
    ours = {question.id: question.hash for question in before.questions}
    theirs = {question.id: question.hash for question in now.questions}
    remedy = "give the --limit or --samples that the baseline was made with"
    for known, others, where in ((ours, theirs, "current run"), (theirs, ours, "baseline")):
        missing = [name for name in known if name not in others]
        if missing:
            raise InputError(
                f"{pair}: {len(ours)} and {len(theirs)} questions; {len(missing)} are not in the {where} (the first: "
                f"{missing[0]!s:.80}): {remedy}"
            )
    changed = [name for name in ours if ours[name] != theirs[name]]
    if changed:
        raise InputError(
            f"{pair}: {len(changed)} questions have the same id and other contents (the first: {changed[0]!s:.80}): "
            "the data were changed, make the baseline anew"
        )


def _noted_differences(before: Run, now: Run) -> list[str]:
    """What may differ, and a reader wants to know."""
    named = {"model": "model_label", "strategy": "strategy_label"}
    notes = [
        f"{name}: {getattr(before, label)} -> {getattr(now, label)}"
        for name, label in named.items()
        if getattr(before, label) != getattr(now, label)
    ]
    for name in ("fingerprint", "selector_sha256", "listed", "dtype"):
        old, new = before.facts.get(name), now.facts.get(name)
        if old and new and old != new:
            notes.append(f"{name.replace('_', ' ')}: {str(old)[:16]} -> {str(new)[:16]}")
    return notes


def _without_blind(comparisons: Sequence[Comparison], rules: Rules, count: int) -> list[Comparison]:
    """The comparisons, with a note on each test that no drop could fail; a gate that has no other test is refused."""
    noted, can_fail, blind = [], 0, []
    for comparison in comparisons:
        reasons = [why_blind(test, rules, count, len(comparison.baseline.questions)) for test in comparison.tests]
        said = [f"{t.metric} cannot fail: {why}" for t, why in zip(comparison.tests, reasons, strict=True) if why]
        limited = [rules.alpha is not None or test.tolerance is not None for test in comparison.tests]
        can_fail += sum(has_limit and not why for has_limit, why in zip(limited, reasons, strict=True))
        noted.append(replace(comparison, notes=comparison.notes + said))
        blind += said
    if not can_fail:
        raise InputError(
            f"{comparisons[0].baseline.path}: {blind[-1]}, so this gate would pass whatever happens: compare more "
            "questions, or give a (smaller) --tolerance without --alpha"
        )
    return noted
