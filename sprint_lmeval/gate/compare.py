"""Is a run worse than its baseline? Questions are paired by id and hash, and a drop is tested for each metric.

In: a baseline and a current run, each a results file or folder of the harness with its samples, or a baseline file
(baseline.py). Out: exit status 0 passed, 1 regressed, 2 not comparable; a table, JSON, annotations (gate_text.py).
A drop of pass@k is tested exactly (McNemar), that of a mean by a paired bootstrap; one-sided, since only a drop can
fail a build, and corrected by Holm's method for the number of tests.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.gate.baseline import is_baseline, read_baseline
from sprint_lmeval.gate.metric_tests import Comparison, Rules, decide, default_metrics, test_metric, why_blind
from sprint_lmeval.gate.publish import publish
from sprint_lmeval.runs.comparable import requirements
from sprint_lmeval.runs.run import Run, read_runs, require_samples
from sprint_lmeval.runs.safe_text import one_line

ALPHA = 0.05
PASSED, REGRESSED, NOT_COMPARABLE = 0, 1, 2
ALLOWABLE = {  # what --allow names -> beginnings of what comparable.py calls it
    "task_version": ("task version",),
    "generation": ("limit of new tokens", "stop strings"),
    "grader": ("grader",),
    "prompts": ("number of examples", "form of the prompts", "prompts"),
}


def gate_command(options) -> int:
    """Run `sprint-lmeval gate`; returns the exit status."""
    notes: list[str] = []
    comparisons: list[Comparison] = []
    rules = reason = None
    try:
        rules = make_rules(options)
        _check_paths(options)
        comparisons = gate(Path(options.baseline), Path(options.current), rules, notes)
        failed = any(test.outcome == "regressed" for c in comparisons for test in c.tests)
        status = REGRESSED if failed else PASSED
    except InputError as error:
        status, reason = NOT_COMPARABLE, str(error)
    except Exception as error:  # Python's own exit status of a crash is 1, which here means "regressed"
        traceback.print_exc()
        status, reason = NOT_COMPARABLE, f"the comparison itself failed ({error!r:.200}): this is a defect of the gate"
    try:
        publish(options, status, reason, comparisons, rules, notes)
    except (InputError, OSError) as error:  # such as a full disk under the standard output
        print(f"error: {one_line(error)}", file=sys.stderr)
        return NOT_COMPARABLE
    return status


def make_rules(options) -> Rules:
    """Check the options of a gate. Without a level and a tolerance the level is 0.05."""
    tolerances: dict[str, float] = {}
    for text in options.tolerance or []:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1 or text.startswith("="):
            raise InputError(f"--tolerance {text!a} given, needed is a share from 0 to 1 (0.01 is a point), NAME=SHARE")
        if name in tolerances:
            raise InputError(f"--tolerance {text!a} given, there is one for {name or 'all metrics'} already: give one")
        tolerances[name] = value
    alpha = options.alpha if options.alpha is not None or tolerances else ALPHA
    if alpha is not None and not 0 < alpha < 1:
        raise InputError(f"--alpha {alpha} given, a significance level lies between 0 and 1")
    metrics = tuple(dict.fromkeys(name.strip() for name in (options.metrics or "").split(",") if name.strip()))
    if options.metrics is not None and not metrics:
        raise InputError(f"--metrics {options.metrics!a} given, it names no metric")
    allow = tuple(name.strip() for text in options.allow for name in text.split(","))
    strange = [name for name in allow if name not in ALLOWABLE]
    if strange:
        raise InputError(f"--allow {strange[0]!a} given, what may differ is {', '.join(ALLOWABLE)}")
    return Rules(alpha, tolerances, metrics, allow)


def _check_paths(options) -> None:
    for option in ("baseline", "current", "json"):
        if getattr(options, option) == "":  # a variable that is not set, say; as a path it is the working directory
            setattr(options, option, None)
            raise InputError(f"--{option} '' given, needed is the name of a file")
    target = Path(options.json).resolve() if options.json else None
    if target in (Path(options.baseline).resolve(), Path(options.current).resolve()):
        name, options.json = options.json, None
        raise InputError(f"--json {name} is the file that is compared: give another name")


def gate(baseline: Path, current: Path, rules: Rules, notes: list[str] | None = None) -> list[Comparison]:
    """Compare every run of the baseline with its counterpart.

    Raises:
        InputError: what is compared differs in what must be equal, or no drop could ever fail.
    """
    notes = notes if notes is not None else []
    pairs = paired_runs(_read(baseline, notes), _read(current, notes), notes)
    comparisons = [compare(before, now, rules) for before, now in pairs]
    tests = [test for comparison in comparisons for test in comparison.tests]
    unknown = sorted(name for name in rules.tolerances if name and name not in {test.metric for test in tests})
    if unknown:
        raise InputError(
            f"--tolerance names {unknown[0]}, which is not compared ({', '.join({t.metric for t in tests})})"
        )
    decide(tests, rules)
    _refuse_blind(comparisons, rules, len(tests))
    return comparisons


def _read(path: Path, notes: list[str]) -> list[Run]:
    try:
        found = path.exists()
    except OSError:  # such as a name that is too long
        found = False
    if not found:
        raise InputError(
            f"{path!s:.200} does not exist: give a baseline file, or results of lm_eval with --log_samples"
        )
    return read_baseline(path) if path.is_file() and is_baseline(path) else read_runs([path], notes)


def paired_runs(baseline: Sequence[Run], current: Sequence[Run], notes: list[str]) -> list[tuple[Run, Run]]:
    """One run each is a pair, whatever model and strategy; of several, those of one task and strategy are."""
    if len(baseline) == len(current) == 1:
        return [(baseline[0], current[0])]
    pairs = [(before, _counterpart(before, current)) for before in baseline]
    taken = [id(now) for _, now in pairs]
    if len(set(taken)) != len(taken):
        raise InputError(f"{baseline[0].path} has several runs for one of {current[0].path}: give one run each")
    notes.extend(f"{_said(now)} ({now.path}) is not in the baseline." for now in current if id(now) not in taken)
    return pairs


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
    place = {question.id: number for number, question in enumerate(now.questions)}
    order = np.array([place[question.id] for question in before.questions])
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
    return notes + same + _told_differences(before, now)


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


def _told_differences(before: Run, now: Run) -> list[str]:
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


def _refuse_blind(comparisons: Sequence[Comparison], rules: Rules, count: int) -> None:
    """A test that no drop could fail is told; a gate in which all are like this is refused."""
    seeing, told = 0, ""
    for comparison in comparisons:
        for test in comparison.tests:
            reason = why_blind(test, rules, count, len(comparison.baseline.questions))
            if reason:
                told = f"{test.metric} cannot fail: {reason}"
                comparison.notes.append(told)
            seeing += not reason and (rules.alpha is not None or test.tolerance is not None)
    if not seeing:
        raise InputError(
            f"{comparisons[0].baseline.path}: {told}, so this gate would pass whatever happens: compare more "
            "questions, or give a (smaller) --tolerance without --alpha"
        )
