"""What the harness wrote -> runs: one for each model, strategy and task, with verdicts where samples were logged.

In: results files, folders that are searched for them, or samples files. Out: `Run`s in the order of their files. Reads
runs of `hf-pruned-bon` and of any other model of the harness (`hf`, `vllm`) on the `*_passn` tasks. Everything is
untrusted: a file that was named and cannot be used is an InputError; one that was found in a folder is left out, and so
are twins, each with a note.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.facts import facts_of_run, model_label, passn_tasks
from sprint_lmeval.runs.result_files import named_paths, read_results, results_files
from sprint_lmeval.runs.safe_text import number_of
from sprint_lmeval.runs.samples import CORRECT, Document, Samples, Shared, read_samples

DATED = re.compile(r".*_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.json")


@dataclass(frozen=True, eq=False)
class Run:
    """One model with one strategy on one task.

    Attributes:
        path: the results file; `samples_path` the samples beside it, None where there are none that can be used.
        model: what the harness was given (hub id or folder's name); `model_label` distinguishes it from altered ones.
        strategy: of `hf-pruned-bon`; for another model the harness's name of it, `hf` or `vllm`.
        selector: of strategy `selector`, with its `method` in `facts`; seed: of what is drawn, None where nothing is.
        n: responses per question.
        metrics: of the results file by name (`pass@1`), with `..._stderr`.
        facts: see `facts_of_run`.
        samples: None where they are absent; what follows is then empty.
    """

    path: Path
    model: str
    model_label: str
    task: str
    strategy: str
    selector: str | None
    seed: int | None
    n: int
    metrics: dict[str, float]
    facts: dict
    samples: Samples | None = None

    @property
    def samples_path(self) -> Path | None:
        return self.samples and self.samples.path

    @property
    def questions(self) -> tuple[Document, ...]:
        return self.samples.questions if self.samples else ()

    @property
    def verdicts(self) -> np.ndarray:
        return self.samples.verdicts if self.samples else np.empty((0, self.n), np.int8)

    @property
    def correct(self) -> np.ndarray:
        """bool [questions, n]."""
        return self.verdicts == CORRECT

    @property
    def truncated(self) -> np.ndarray:
        return self.samples.truncated if self.samples else np.empty((0, self.n), np.int8)

    @property
    def new_tokens(self) -> np.ndarray:
        return self.samples.new_tokens if self.samples else np.empty((0, self.n), np.int32)

    @property
    def candidates(self) -> list[list[str]] | None:
        return self.samples.candidates if self.samples else None

    @property
    def answers(self) -> list[list[str | None]]:
        return self.samples.answers if self.samples else []

    @property
    def scores(self) -> np.ndarray | None:
        return self.samples.scores if self.samples else None

    def responses(self, question: int) -> list[str] | None:
        """Read the n responses of a question; None where the file holds none."""
        return self.samples.responses(question) if self.samples else None

    def sent_and_received(self, question: int) -> tuple[str | None, list[str] | None]:
        """Read a question's prompt as the model got it, and its n responses; None for what the file does not hold."""
        return self.samples.sent_and_received(question) if self.samples else (None, None)

    @property
    def exchangeable(self) -> bool:
        """Whether the n are independent samples, so that Pass@k is estimated over all orders."""
        return "unbiased_pass@1" in self.metrics

    @property
    def flat(self) -> bool:
        """Whether one response stands for all N: Pass@k is then known for every k."""
        greedy = not self.exchangeable and self.facts["sampling"] is None
        return self.strategy == "base" or (greedy and self.facts["plain"])

    @property
    def strategy_label(self) -> str:
        """Strategy with what distinguishes it from its like: selector, temperature, kind of samples, seed."""
        name = self.selector or self.strategy
        details = [self.facts["method"]] if self.selector and self.facts["method"] not in (None, name) else []
        details += [f"{k} {v:g}" for k, v in (self.facts["sampling"] or {}).items()]
        details += self.facts.get("drawn") or []
        details += [f"seed {self.seed}"] if self.seed else []
        details += [self.facts["apart"]] if self.facts.get("apart") else []
        return name + (f" ({', '.join(details)})" if details else "")


class Runs(NamedTuple):
    """What was read: the runs, and one sentence for everything that was found and left out."""

    runs: list[Run]
    notes: list[str]


def read_runs(paths: Iterable[str | os.PathLike], may_be_none: bool = False) -> Runs:
    """Return the runs of result files and folders, with notes on what was left out.

    Args:
        paths: results_*.json, samples_*.jsonl with their results beside them, or folders, which are searched.
        may_be_none: no run at all is a result too.

    Raises:
        InputError: a path is empty or does not exist, a named file cannot be used, or nothing is left.
    """
    given = named_paths(paths)
    files, notes = results_files(given)
    shared, runs, others = Shared(), [], []
    for file, named in files:
        found = _runs_of_file(file, named, shared)
        if found is None:
            others.append(str(file))
        else:
            runs += found.runs
            notes += found.notes
    if others:
        some = ", ".join(others[:3]) + (f", ... ({len(others)} JSON files in all)" if len(others) > 3 else "")
        notes.append(f"{some}: no results of lm_eval, left out.")
    kept, of_twins = _without_twins(runs)
    notes += of_twins
    if not kept and not may_be_none:
        where = ", ".join(map(str, given[:3])) + (", ..." if len(given) > 3 else "")
        reason = f" ({number_of(len(notes), 'file', 'files')} left out; the first: {notes[0]})" if notes else ""
        raise InputError(
            f"{where or 'nothing'} given, no results of a *_passn task there{reason}: give what lm_eval wrote to its "
            "--output_path"
        )
    return Runs(kept, notes)


def _runs_of_file(file: Path, named: bool, shared: Shared) -> Runs | None:
    """The runs of a file; None where it is another program's."""
    try:
        results = read_results(file, must_be=named or file.name.startswith("results"))
        if results is None:
            return None
        tasks, notes = passn_tasks(results, file)
        found = [_run(file, results, task, named, shared) for task in tasks]
    except InputError as error:
        if named:
            raise
        return Runs([], [f"{error}; left out."])
    return Runs([run for run, _ in found], notes + [note for _, note in found if note])


def _run(file: Path, results: dict, task: str, named: bool, shared: Shared) -> tuple[Run, str]:
    """One task's run, and a note where its samples cannot be used, else ""."""
    facts = facts_of_run(results, task, file)
    samples, note = None, ""
    try:
        samples = _samples(file, task, facts, shared)
    except InputError as error:
        if named:
            raise
        note = f"{error}; its run is shown by its results only."
    model, label = model_label(results, facts)
    run = Run(
        path=file,
        model=model,
        model_label=label,
        task=task,
        strategy=facts["strategy"],
        selector=facts["selector"],
        seed=facts["seed"],
        n=facts["n"],
        metrics=facts.pop("metrics"),
        facts=facts,
        samples=samples,
    )
    if samples is not None:
        check_against_results(run)
    return run, note


def _samples(file: Path, task: str, facts: dict, shared: Shared) -> Samples | None:
    dated = DATED.fullmatch(file.name)
    alone = "samples.jsonl" if file.name == "results.json" else None
    name = f"samples_{task}_{dated['date']}.jsonl" if dated else alone
    if name is None or "/" in name or not os.path.exists(path := file.parent / name):
        return None
    samples = read_samples(path, shared)
    count, expected = len(samples.questions), facts["questions"]
    if expected is not None and count != expected:
        raise InputError(f"{path} has {count} questions, and its run had {expected}: it was not written to its end")
    return samples


def check_against_results(run: Run) -> None:
    """Stop where the harness wrote other rates than the verdicts say: one of the two files was changed."""
    n = run.samples.verdicts.shape[1]
    if n != run.n:
        raise InputError(f"{run.samples_path} has {n} responses per question, and {run.path} says {run.n}")
    for name, value in run.samples.rates().items():
        written = run.metrics.get(name)
        if written is not None and not math.isclose(written, value, abs_tol=1e-6):
            raise InputError(
                f"{run.samples_path} gives {name} {value:.4f}, and {run.path} says {written:.4f}: one of the two is "
                "not of this run, or was changed"
            )


def _without_twins(runs: list[Run]) -> Runs:
    """Of runs that are the same in everything one; of reruns with other results the newest."""
    kept: dict[str, list[Run]] = {}
    notes = []
    for run in runs:
        like = kept.setdefault(_identity(run), [])
        index = next((i for i, other in enumerate(like) if _same_documents(run, other)), None)
        if index is None:
            like.append(run)
            continue
        twin = like[index]
        same = twin.metrics == run.metrics
        newer = (run.facts["date"] or 0) > (twin.facts["date"] or 0)
        better = run.samples and not twin.samples if same else newer
        like[index], other = (run, twin) if better else (twin, run)
        how = "the same run as" if same else "an older run, with other results, of the model, task and strategy of"
        notes.append(f"{other.path} ({other.task}) is {how} {like[index].path}; left out.")
    left = {id(run) for like in kept.values() for run in like}
    return Runs([run for run in runs if id(run) in left], notes)


def _same_documents(run: Run, other: Run) -> bool:
    """Whether the documents are the same, as far as the files say."""
    known = run.samples and other.samples
    return not known or [q.hash for q in run.questions] == [q.hash for q in other.questions]


def _identity(run: Run) -> str:
    """What makes two runs the same experiment."""
    names = ("task_version", "settings", "sampling", "grader", "num_fewshot", "prompt_form", "chat_template", "system")
    names += ("dtype", "fingerprint", "selector_sha256", "listed", "questions", "limit", "asked", "method", "drawn")
    facts = [run.facts[name] for name in names]
    named = [run.model_label, run.task, run.strategy, run.selector, run.seed, run.n]
    return json.dumps([named, facts], sort_keys=True, default=str)


def require_samples(run: Run, notes: Sequence[str] = ()) -> None:
    """Raise InputError where a run has no verdicts per question; `notes`: of reading, which may say why."""
    if run.samples is None:
        date = run.path.stem.removeprefix("results")
        said = [note for note in notes if f"{date}.jsonl" in note]
        raise InputError(
            f"{run.path} has no samples beside it that can be read{f' ({said[0]})' if said else ''}: run lm_eval with "
            "--log_samples"
        )
