"""What must be equal before two runs may be compared, and by what they differ.

Between models: the task's version, the documents, the generation settings (new tokens, stop strings) and the grader;
within one model the prompts too. Temperature and the like belong to the strategy. Different N are compared at the
common N. Runs of one task that differ in one of these form groups of their own, or raise an error that names both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run

REMEDY = "report them apart, or without --strict, which gives them tables of their own"


@dataclass
class ComparableRuns:
    """Runs of one task that may be compared; `differs` says from which other group by what, "" of a task's first."""

    task: str
    runs: list[Run] = field(default_factory=list)
    differs: str = ""
    known: dict[str, tuple[object, Run]] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(run.model_label for run in self.runs))

    @property
    def common_n(self) -> int:
        """The smallest N; one response that stands for all N has any."""
        counted = [run.n for run in self.runs if not run.flat]
        return min(counted) if counted else max(run.n for run in self.runs)

    def add(self, run: Run) -> None:
        self.runs.append(run)
        for name, value in requirements(run).items():
            if value is not None:
                self.known.setdefault(name, (value, run))

    def difference(self, run: Run) -> str:
        """Return by what the run cannot be compared with the group's, in words; "" where it can."""
        for name, value in requirements(run).items():
            other, of = self.known.get(name, (None, None))
            if value is not None and other is not None and value != other:
                return _sentence(name, run, value, of, other)
        return ""


def comparable_groups(runs: Sequence[Run], separate: bool = False) -> list[ComparableRuns]:
    """Return the runs in groups, one for each task; with `separate` a task may have several.

    Raises:
        InputError: two runs of a task differ in what must be equal, and `separate` was not given.
    """
    groups: dict[str, list[ComparableRuns]] = {}
    for run in strategies_apart(models_apart(runs)):
        of_task = groups.setdefault(run.task, [])
        differences = [group.difference(run) for group in of_task]
        if "" in differences:
            of_task[differences.index("")].add(run)
            continue
        if of_task and not separate:
            raise InputError(f"{differences[0]}: {REMEDY}")
        group = ComparableRuns(run.task, differs=differences[0] if differences else "")
        group.add(run)
        of_task.append(group)
    return [group for task in sorted(groups) for group in groups[task]]


def group_label(groups: Sequence[ComparableRuns], number: int) -> str:
    """Return the task of a group, with the group's number (from 1) where a task has several."""
    task = groups[number - 1].task
    several = sum(group.task == task for group in groups) > 1
    return f"{task} (group {number})" if several else task


def requirements(run: Run) -> dict[str, object]:
    """What must be equal by name; None where the files do not say."""
    facts, settings = run.facts, run.facts["settings"]
    until = settings["until"]
    equal = {
        "task version": facts["task_version"],
        "limit of new tokens": settings["max_new_tokens"],
        "stop strings": sorted(map(str, until)) if isinstance(until, list) else None,
        "grader": facts["grader"],
        "number of documents": len(run.questions) or facts["questions"],
        "documents": digest((q.id, q.hash) for q in run.questions) if run.samples else None,
    }
    return equal | {f"{name} of {run.model_label}": value for name, value in _prompts(run).items()}


def _prompts(run: Run) -> dict[str, object]:
    """What stands before the model, which another model may need otherwise."""
    hashes = run.samples.prompt_hashes if run.samples else ("",)
    return {
        "number of examples in the prompts": run.facts["num_fewshot"],
        "form of the prompts": run.facts["prompt_form"],
        "prompts": digest(zip((q.id for q in run.questions), hashes, strict=True)) if all(hashes) else None,
    }


def digest(parts: Iterable[tuple[str, str]]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update("\0".join(part).encode("utf-8", "surrogatepass") + b"\n")
    return total.hexdigest()


def _sentence(name: str, run: Run, value: object, other: Run, other_value: object) -> str:
    said = "" if name.startswith(("documents", "prompts", "form ")) else f" ({_said(other_value)} and {_said(value)})"
    if name == "documents":
        said = _unequal_documents(other, run)
    return f"{other.path} and {run.path} cannot be compared on {run.task}: they differ in {name}{said}"


def _unequal_documents(first: Run, second: Run) -> str:
    known = {question.id: question.hash for question in first.questions}
    missing = next((q for q in second.questions if known.get(q.id) != q.hash), None)
    if missing is None:
        return ""
    how = "has other contents" if missing.id in known else "is in the second only"
    return f" (the first: {missing.id[:80]} {how})"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in sorted(value.items()))[:160]
    return str(value)[:160]


def models_apart(runs: Sequence[Run]) -> list[Run]:
    """Make models' labels unique: append the weights or the arithmetic in which equally named models differ."""
    seen: dict[str, dict[str, set]] = {}
    for run in runs:
        facts = seen.setdefault(run.model_label, {"fingerprint": set(), "dtype": set()})
        for name, values in facts.items():
            values.update({run.facts[name]} - {None})
    return [_labelled(run, seen[run.model_label]) for run in runs]


def _labelled(run: Run, seen: dict[str, set]) -> Run:
    weights, dtype = run.facts["fingerprint"], run.facts["dtype"]
    details = [f"weights {weights[:8]}"] if len(seen["fingerprint"]) > 1 and weights else []
    details += [dtype] if len(seen["dtype"]) > 1 and dtype else []
    return replace(run, model_label=f"{run.model_label} [{', '.join(details)}]") if details else run


def strategies_apart(runs: Sequence[Run]) -> list[Run]:
    """Make labels unique: append the settings in which equally named runs differ, else a number."""
    alike: dict[tuple, list[int]] = {}
    for index, run in enumerate(runs):
        alike.setdefault((run.task, run.model_label, run.strategy_label, run.n), []).append(index)
    apart = list(runs)
    for indices in (indices for indices in alike.values() if len(indices) > 1):
        named = [_differing(runs[index], [runs[other] for other in indices]) for index in indices]
        for number, (index, found) in enumerate(zip(indices, named, strict=True), 1):
            words = [*found, f"run {number}"] if named.count(found) > 1 else found
            apart[index] = replace(runs[index], facts={**runs[index].facts, "apart": ", ".join(words)})
    return apart


def _differing(run: Run, alike: Sequence[Run]) -> list[str]:
    words = []
    words_of = {"listed": "list", "selector_sha256": "file", "num_fewshot": "examples", "limit": "limit"}
    for name, word in words_of.items():
        value = run.facts[name]
        if value is not None and len({str(other.facts[name]) for other in alike}) > 1:
            words.append(f"{word} {str(value)[:6]}")
    return words
