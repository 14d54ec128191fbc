"""What the harness wrote -> runs: one for each model, strategy and task, with verdicts where samples were logged.

In: results files, folders that are searched for them, or samples files. Out: `Run`s in the order of their files. Reads
runs of `hf-pruned-bon` and of any other model of the harness (`hf`, `vllm`) on the `*_passn` tasks. Everything is
untrusted: a file that was named and cannot be used is an InputError; one that was found in a folder is left out and
told (`notes`), and so are twins.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.facts import facts_of_run, model_label, passn_tasks
from sprint_lmeval.runs.result_files import named_paths, read_results, results_files
from sprint_lmeval.runs.safe_text import number_of
from sprint_lmeval.runs.samples import CORRECT, Question, Samples, Shared, read_samples

__all__ = ["Question", "Run", "check_against_results", "read_runs"]
log = logging.getLogger(f"lm_eval.{__name__}")
DATED = re.compile(r".*_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.json")


@dataclass(frozen=True, eq=False)
class Run:
    """One model with one strategy on one task.

    Attributes:
        path: the results file; `samples_path` the samples beside it, None where there are none that can be used.
        model: what the harness was given (hub id or folder's name); `model_label` tells it from altered ones.
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
    def questions(self) -> tuple[Question, ...]:
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
        """Strategy with what tells it from its like: selector, temperature, seed."""
        name = self.selector or self.strategy
        details = [self.facts["method"]] if self.selector and self.facts["method"] not in (None, name) else []
        details += [f"{k} {v:g}" for k, v in (self.facts["sampling"] or {}).items()]
        details += [f"seed {self.seed}"] if self.seed else []
        details += [self.facts["apart"]] if self.facts.get("apart") else []
        return name + (f" ({', '.join(details)})" if details else "")


def read_runs(
    paths: Iterable[str | os.PathLike], notes: list[str] | None = None, may_be_none: bool = False
) -> list[Run]:
    """Return the runs of result files and folders.

    Args:
        paths: results_*.json, samples_*.jsonl with their results beside them, or folders, which are searched.
        notes: takes one sentence for everything that was found and left out; None: they are logged.
        may_be_none: an empty list is a result too.

    Raises:
        InputError: a path is empty or does not exist, a named file cannot be used, or nothing is left.
    """
    told: list[str] = []
    shared, runs, foreign = Shared(), [], []
    given = named_paths(paths)
    for file, named in results_files(given, told):
        found = _runs_of_file(file, named, told, shared)
        runs += found or []
        foreign += [str(file)] if found is None else []
    if foreign:
        some = ", ".join(foreign[:3]) + (f", ... ({len(foreign)} JSON files in all)" if len(foreign) > 3 else "")
        told.append(f"{some}: no results of lm_eval, left out.")
    runs = _without_twins(runs, told)
    if not runs and not may_be_none:
        where = ", ".join(map(str, given[:3])) + (", ..." if len(given) > 3 else "")
        reason = f" ({number_of(len(told), 'file', 'files')} left out; the first: {told[0]})" if told else ""
        raise InputError(
            f"{where or 'nothing'} given, no results of a *_passn task there{reason}: give what lm_eval wrote to its "
            "--output_path"
        )
    if notes is None:
        for sentence in told:
            log.warning("%s", sentence)
    else:
        notes.extend(told)
    return runs


def _runs_of_file(file: Path, named: bool, told: list[str], shared: Shared) -> list[Run] | None:
    """The runs of a file; None where it is another program's."""
    try:
        results = read_results(file, must_be=named or file.name.startswith("results"))
        if results is None:
            return None
        return [_run(file, results, task, named, told, shared) for task in passn_tasks(results, file, told)]
    except InputError as error:
        if named:
            raise
        told.append(f"{error}; left out.")
        return []


def _run(file: Path, results: dict, task: str, named: bool, told: list[str], shared: Shared) -> Run:
    facts = facts_of_run(results, task, file)
    samples = None
    try:
        samples = _samples(file, task, facts, shared)
    except InputError as error:
        if named:
            raise
        told.append(f"{error}; its run is shown by its results only.")
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
    return run


def _samples(file: Path, task: str, facts: dict, shared: Shared) -> Samples | None:
    dated = DATED.fullmatch(file.name)
    alone = file.with_name("samples.jsonl") if file.name == "results.json" else None
    path = file.with_name(f"samples_{task}_{dated['date']}.jsonl") if dated else alone
    if path is None or not path.is_file():
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


def _without_twins(runs: list[Run], told: list[str]) -> list[Run]:
    """Of runs that are the same in everything one; of reruns with other results the newest."""
    kept: dict[str, list[Run]] = {}
    for run in runs:
        like = kept.setdefault(_identity(run), [])
        place = next((i for i, other in enumerate(like) if _same_documents(run, other)), None)
        if place is None:
            like.append(run)
            continue
        twin = like[place]
        same = twin.metrics == run.metrics
        newer = (run.facts["date"] or 0) > (twin.facts["date"] or 0)
        better = run.samples and not twin.samples if same else newer
        like[place], other = (run, twin) if better else (twin, run)
        how = "the same run as" if same else "an older run, with other results, of the model, task and strategy of"
        told.append(f"{other.path} ({other.task}) is {how} {like[place].path}; left out.")
    order = {id(run): place for place, run in enumerate(runs)}
    return sorted((run for like in kept.values() for run in like), key=lambda run: order[id(run)])


def _same_documents(run: Run, other: Run) -> bool:
    """Whether the documents are the same, as far as the files tell."""
    known = run.samples and other.samples
    return not known or [q.hash for q in run.questions] == [q.hash for q in other.questions]


def _identity(run: Run) -> str:
    """What makes two runs the same experiment."""
    names = ("task_version", "settings", "sampling", "grader", "num_fewshot", "prompt_form", "chat_template", "system")
    names += ("dtype", "fingerprint", "selector_sha256", "listed", "questions", "limit", "asked", "method")
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
