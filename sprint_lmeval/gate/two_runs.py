"""`sprint-lmeval compare`: two runs of any task of the harness, paired by document.

In: the samples of two runs, A and B. Out: for every metric both means, the difference B - A with its interval, and a
p value: exact McNemar where all values are 0 or 1, a paired bootstrap otherwise; two-sided, and corrected by Holm's
method for the number of tests of one call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.files import write_whole
from sprint_lmeval.runs.safe_text import aligned, number_of, one_line, p_text
from sprint_lmeval.runs.statistics import holm, paired_test
from sprint_lmeval.runs.task_samples import TaskSamples, read_task_samples, samples_files

HEADINGS = ("metric", "A", "B", "B - A", "95 % interval", "A higher", "B higher", "p", "test")
MAX_TESTS = 1_000


@dataclass(frozen=True)
class PairedTest:
    """One metric of one task; means and differences are in the metric's own unit."""

    task: str
    filter: str
    metric: str
    documents: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    a_higher: int
    b_higher: int
    method: str
    p: float
    p_corrected: float = 1.0


def compare_command(first: str, second: str, metrics: str | None = None, json_file: str | None = None) -> str:
    """Run `sprint-lmeval compare`; returns what is shown.

    Args:
        first: samples of run A: a file, or a folder with one of each task.
        second: of run B.
        metrics: names with commas; None: all of the samples, of our own tasks pass@1, pass@N, mean@N and maj@N.
        json_file: where everything is written for machines.
    """
    sides = [[read_task_samples(path) for path in samples_files(given)] for given in (first, second)]
    _check_target(json_file, [samples.path for side in sides for samples in side])
    notes = [note for side in sides for samples in side for note in samples.notes]
    pairs, unpaired = paired_tasks(*sides)
    tests, of_pairs = [], [note for a, b in pairs for note in differences(a, b)]
    for a, b in pairs:
        tests += paired_tests(a, b, metrics)
    if len(tests) > MAX_TESTS:
        raise InputError(f"{len(tests):,} tests, at most {MAX_TESTS:,} are made: name some with --metrics")
    corrected = holm([test.p for test in tests])
    tests = [replace(test, p_corrected=p) for test, p in zip(tests, corrected, strict=True)]
    notes += unpaired + of_pairs
    if json_file is not None:
        files = {name: [str(samples.path) for samples in side] for name, side in zip("ab", sides, strict=True)}
        content = {"version": 1, **files, "correction": "holm", "notes": notes, "tests": [asdict(t) for t in tests]}
        write_whole(json_file, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return as_text(tests, pairs) + "".join(f"\nnote: {one_line(note)}" for note in notes)


def _check_target(json_file: str | None, read: Sequence[Path]) -> None:
    if json_file is not None and (not json_file or Path(json_file).resolve() in {path.resolve() for path in read}):
        raise InputError(f"--json {json_file!r} given, needed is the name of a file that is not compared")


def paired_tasks(
    a: Sequence[TaskSamples], b: Sequence[TaskSamples]
) -> tuple[list[tuple[TaskSamples, TaskSamples]], list[str]]:
    """Return the pairs of one task, and notes on tasks of one side only; one file each is a pair whatever their names.

    Raises:
        InputError: no task is on both sides.
    """
    if len(a) == len(b) == 1:
        return [(a[0], b[0])], []
    of_b = {samples.task: samples for samples in b}
    pairs = [(samples, of_b[samples.task]) for samples in a if samples.task in of_b]
    if not pairs:
        named = [", ".join(samples.task or "?" for samples in side[:3]) for side in (a, b)]
        raise InputError(f"the two runs have no task in common ({named[0]} and {named[1]}): give runs of one task")
    both = {samples.task for samples, _ in pairs}
    return pairs, [f"{one.path}: its task is in this run only; left out." for one in (*a, *b) if one.task not in both]


def differences(a: TaskSamples, b: TaskSamples) -> list[str]:
    """Return what a reader has to know of a pair, in sentences."""
    notes = [f"{a.path} and {b.path} are the same file, so nothing can differ."] if a.path.samefile(b.path) else []
    for one, other in ((a, b), (b, a)):
        missing = len(one.documents.keys() - other.documents.keys())
        if missing:
            notes.append(
                f"{one.path}: {number_of(missing, 'document is', 'documents are')} in this run only; left out."
            )
    common = a.documents.keys() & b.documents.keys()
    prompts = sum(a.prompts[i] != b.prompts[i] for i in common if a.prompts[i] and b.prompts[i])
    if prompts:
        notes.append(f"{a.task or a.path}: {prompts:,} of {len(common):,} prompts differ between the runs.")
    return notes


def paired_tests(a: TaskSamples, b: TaskSamples, metrics: str | None = None) -> list[PairedTest]:
    """Test every metric that both files have, over the documents that both have.

    Raises:
        InputError: they have no document or no such metric in common, or one document has two contents.
    """
    common = sorted(a.documents.keys() & b.documents.keys())
    if not common:
        raise InputError(f"{a.path} and {b.path} have no document in common: give runs of the same documents")
    other = next((i for i in common if a.documents[i] != b.documents[i]), None)
    if other is not None:
        raise InputError(
            f"{a.path} and {b.path} differ in the contents of document {other}: give runs of the same data"
        )
    keys = [key for key in a.values if key in b.values]
    return [_test(a, b, key, common) for key in _chosen(keys, metrics, f"{a.path} and {b.path}")]


def _chosen(keys: list[tuple[str, str]], metrics: str | None, of: str) -> list[tuple[str, str]]:
    names = list(dict.fromkeys(metric for _, metric in keys))
    if not names:
        raise InputError(f"{of} have no metric in common")
    if metrics is None:
        wanted = _of_ours(names) or names
    else:
        wanted = list(dict.fromkeys(name.strip() for name in metrics.split(",") if name.strip()))
        strange = [name for name in wanted if name not in names]
        if strange or not wanted:
            some = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise InputError(f"--metrics {(strange or [metrics])[0]!a:.60} given, {of} have {some:.400}")
    return [key for key in keys if key[1] in wanted]


def _of_ours(names: Iterable[str]) -> list[str]:
    """The metrics of a *_passn task that say different things; [] for another task."""
    means = [name for name in names if name.startswith("mean@") and f"pass@{name[5:]}" in names]
    if "pass@1" not in names or len(means) != 1:
        return []
    n = means[0][5:]
    return [name for name in dict.fromkeys(("pass@1", f"pass@{n}", f"mean@{n}", f"maj@{n}")) if name in names]


def _test(a: TaskSamples, b: TaskSamples, key: tuple[str, str], common: Sequence[int]) -> PairedTest:
    known = [i for i in common if i in a.values[key] and i in b.values[key]]
    if not known:
        raise InputError(f"{a.path} and {b.path} have no document in common with {key[1]!a:.60}")
    of_a, of_b = (np.array([samples.values[key][i] for i in known]) for samples in (a, b))
    found, exact = paired_test(of_b, of_a)
    return PairedTest(
        task=a.task if a.task == b.task else f"{a.task} / {b.task}",
        filter=key[0],
        metric=key[1],
        documents=len(known),
        a=float(of_a.mean()),
        b=float(of_b.mean()),
        difference=found.difference,
        low=found.low,
        high=found.high,
        a_higher=int((of_a > of_b).sum()),
        b_higher=int((of_b > of_a).sum()),
        method="exact McNemar" if exact else "paired bootstrap",
        p=found.p,
    )


def as_text(tests: Sequence[PairedTest], pairs: Sequence[tuple[TaskSamples, TaskSamples]]) -> str:
    """Return a table for each task and filter."""
    lines = [f"{name}  {one_line(', '.join(str(pair[i].path) for pair in pairs))}" for i, name in enumerate("AB")]
    lines.append(f"p is two-sided and corrected by Holm's method for {number_of(len(tests), 'test', 'tests')}")
    for task, chosen in dict.fromkeys((test.task, test.filter) for test in tests):
        here = [test for test in tests if (test.task, test.filter) == (task, chosen)]
        title = f"{task or 'samples'}, filter {chosen}: {number_of(here[0].documents, 'document', 'documents')}"
        lines += ["", one_line(title), *aligned([HEADINGS, *map(_cells, here)])]
    return "\n".join(lines)


def _cells(test: PairedTest) -> tuple[str, ...]:
    numbers = (f"{test.a:.4f}", f"{test.b:.4f}", f"{test.difference:+.4f}", f"{test.low:+.4f} to {test.high:+.4f}")
    return (
        one_line(test.metric),
        *numbers,
        str(test.a_higher),
        str(test.b_higher),
        p_text(test.p_corrected),
        test.method,
    )
