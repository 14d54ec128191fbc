"""A compact baseline: verdicts per question of some runs in one JSON file that a repository can hold.

In: runs with samples. Out: a file without problems, prompts and responses, one line a question, so that a change of it
can be read in a review; and back. A gate compares a run of the same questions with it.

    {"sprint_lmeval_baseline": 1, "runs": [{"model": ..., "task": ..., "n": 4, "facts": {...}, "prompts": digest,
     "questions": [{"id": ..., "hash": ..., "verdicts": "ciin", "truncated": "...T", "majority": 1.0}, ...]}, ...]}

Letters of verdicts: c correct, i incorrect, n no answer, t timeout, e error. The file is untrusted when read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sprint_lmeval.answers.verdicts import UNKNOWN, VERDICTS
from sprint_lmeval.candidates import MAX_CANDIDATES
from sprint_lmeval.errors import InputError
from sprint_lmeval.files import open_regular, read_json, write_whole
from sprint_lmeval.runs.comparable import requirements
from sprint_lmeval.runs.run import Run, read_runs, require_samples
from sprint_lmeval.runs.safe_text import number_of, one_line
from sprint_lmeval.runs.samples import CORRECT, Document, Samples

KEY = "sprint_lmeval_baseline"
FORMAT = 1
MAX_BYTES = 64 << 20
MAX_RUNS = 1_000
MAX_QUESTIONS = 1_000_000
MAX_NAME = 1_000
LETTERS = "".join(verdict.value[0] for verdict in VERDICTS)  # cinte
NAMES = ("model", "model_label", "task", "strategy", "selector")
FACTS = ("plain", "method", "learned", "task_version", "settings", "sampling", "grader", "num_fewshot", "prompt_form")
FACTS += ("chat_template", "system", "dtype", "fingerprint", "selector_sha256", "listed", "limit", "asked", "versions")


def baseline_command(results: Sequence[str], output: Path, overwrite: bool = False) -> str:
    """Run `sprint-lmeval baseline`: write the runs of results to a baseline file; returns what was written."""
    runs, notes = read_runs(results)
    for run in runs:
        require_samples(run, notes)
    count = write_baseline(runs, output, overwrite)
    lines = [f"{output}: {number_of(len(runs), 'run', 'runs')}, {count:,} bytes"]
    for run in runs:
        said = f"{run.model_label}, {run.strategy_label}, {run.task}"
        lines.append(f"  {one_line(said)}: {number_of(len(run.questions), 'question', 'questions')}")
    return "\n".join([*lines, *(f"note: {one_line(note)}" for note in notes)])


def write_baseline(runs: Sequence[Run], path: Path, overwrite: bool = False) -> int:
    """Write the file, whole or not at all; returns its size in bytes.

    Raises:
        InputError: a run has no samples, two runs cannot be distinguished, or the file is there or cannot be written.
    """
    labels: dict[tuple, Path] = {}
    for run in runs:
        require_samples(run)
        label = (run.task, run.model_label, run.strategy_label, run.facts.get("listed"))
        if label in labels:
            raise InputError(
                f"{labels[label]} and {run.path} are both runs of {run.model_label} with {run.strategy_label} on "
                f"{run.task}: give one of them"
            )
        labels[label] = run.path
    if path.exists() and not (overwrite and is_baseline(path)):
        raise InputError(f"{path} is there already: give another name, or --overwrite, which replaces baselines only")
    body = ",\n".join(_run_text(run) for run in runs)
    return write_whole(path, f'{{"{KEY}": {FORMAT}, "runs": [\n{body}\n]}}\n')


def _run_text(run: Run) -> str:
    head = {name: getattr(run, name) for name in (*NAMES, "seed", "n")}
    head["exchangeable"] = run.samples.exchangeable
    head["prompts"] = run.facts.get("prompts") or requirements(run)[f"prompts of {run.model_label}"]
    head["facts"] = {name: run.facts.get(name) for name in FACTS}
    head["rates"] = {f"pass@{k}": round(v, 6) for k, v in enumerate(_passed(run.verdicts), 1)}
    lines = ",\n".join(_question_text(run.samples, number) for number in range(len(run.questions)))
    return json.dumps(head, ensure_ascii=False)[:-1] + f', "questions": [\n{lines}\n]}}'


def _question_text(samples: Samples, number: int) -> str:
    question = samples.questions[number]
    line = {"id": question.id, "hash": question.hash}
    line["verdicts"] = "".join(LETTERS[code] for code in samples.verdicts[number])
    if (samples.truncated[number] != UNKNOWN).all():
        line["truncated"] = "".join(".T"[cut] for cut in samples.truncated[number])
    if math.isfinite(samples.majority[number]):
        line["majority"] = round(float(samples.majority[number]), 6)
    return json.dumps(line, ensure_ascii=False)


def _passed(verdicts: np.ndarray) -> list[float]:
    return np.logical_or.accumulate(verdicts == CORRECT, axis=1).mean(0).tolist()


# ---- reading ----


def is_baseline(path: Path) -> bool:
    """Whether a file begins as a baseline does."""
    try:
        with open_regular(path) as stream:
            return f'"{KEY}"'.encode() in stream.read(200)
    except InputError:
        return False


def read_baseline(path: Path) -> list[Run]:
    """Return the runs of a baseline file.

    Raises:
        InputError: it is not what `write_baseline` wrote; the sentence names the file, and the run or question in it.
    """
    content = read_json(path, MAX_BYTES, "baselines", standard=True)
    if not isinstance(content, dict) or content.get(KEY) != FORMAT:
        given = content.get(KEY) if isinstance(content, dict) else None
        raise InputError(f"{path} is a baseline of format {given!a:.40}, this version reads format {FORMAT}")
    runs = content.get("runs")
    if not isinstance(runs, list) or not 0 < len(runs) <= MAX_RUNS or not all(isinstance(r, dict) for r in runs):
        raise InputError(f"{path} holds no list of 1 to {MAX_RUNS:,} runs: make it anew (sprint-lmeval baseline)")
    return [_run(path, run, f"{path}, run {number}") for number, run in enumerate(runs, 1)]


def _run(path: Path, given: dict, where: str) -> Run:
    names = {name: given.get(name) for name in NAMES}
    for name, value in names.items():
        if not (_name(value) or (name == "selector" and value is None)):
            raise InputError(f"{where}: {name} is {value!a:.80}, needed is a text of at most {MAX_NAME} characters")
    n, facts, seed = given.get("n"), given.get("facts"), given.get("seed")
    if type(n) is not int or not 1 <= n <= MAX_CANDIDATES:
        raise InputError(f"{where}: n is {n!a:.40}, allowed is 1 to {MAX_CANDIDATES:,}")
    prompts = given.get("prompts")
    if not _facts_fit(facts) or not (seed is None or type(seed) is int) or not (prompts is None or _name(prompts)):
        raise InputError(f"{where}: its facts or its seed are not as sprint-lmeval baseline writes them")
    samples = _samples(path, given, n, where)
    rates = given.get("rates")
    passed = {f"pass@{k}": v for k, v in enumerate(_passed(samples.verdicts), 1)}
    if not isinstance(rates, dict) or set(rates) != set(passed) or any(not _near(rates[k], passed[k]) for k in rates):
        raise InputError(f"{where}: its verdicts do not give the rates that it states: the file was changed")
    facts = {**dict.fromkeys(FACTS), **{k: v for k, v in facts.items() if k in FACTS}}
    facts |= {"n": n, "seed": seed, "strategy": names["strategy"], "selector": names["selector"]}
    facts |= {"prompts": prompts, "questions": len(samples.questions), "seconds": None, "date": None}
    return Run(path=path, **names, seed=seed, n=n, metrics=passed, facts=facts, samples=samples)


def _facts_fit(facts: object) -> bool:
    """Whether what others read of the facts has its type."""
    if not isinstance(facts, dict) or not isinstance(facts.get("settings"), dict):
        return False
    sampling, texts = facts.get("sampling"), [facts.get(name) for name in ("method", "dtype", "fingerprint")]
    drawn = isinstance(sampling, dict) and all(map(_number, sampling.values()))
    known = {"max_new_tokens", "until"} <= set(facts["settings"])
    return known and (sampling is None or drawn) and all(text is None or _name(text) for text in texts)


def _samples(path: Path, given: dict, n: int, where: str) -> Samples:
    lines = given.get("questions")
    if not isinstance(lines, list) or not 0 < len(lines) <= MAX_QUESTIONS:
        raise InputError(f"{where}: no list of 1 to {MAX_QUESTIONS:,} questions")
    for number, line in enumerate(lines, 1):
        _check_line(line, n, f"{where}, question {number}")
    if len({line["id"] for line in lines}) != len(lines):
        raise InputError(f"{where}: a question is in it twice")
    cut = [["." if c == "." else "T" for c in line.get("truncated", "")] for line in lines]
    return Samples(
        path=path,
        questions=tuple(Document(line["id"], line["hash"]) for line in lines),
        prompt_hashes=("",) * len(lines),
        verdicts=np.array([[LETTERS.index(c) for c in line["verdicts"]] for line in lines], np.int8),
        truncated=np.array([[c == "T" for c in row] or [UNKNOWN] * n for row in cut], np.int8),
        new_tokens=np.full((len(lines), n), UNKNOWN, np.int32),
        candidates=None,
        answers=[[None] * n] * len(lines),
        scores=None,
        majority=np.array([line.get("majority", np.nan) for line in lines], float),
        distinct=np.full(len(lines), np.nan),
        exchangeable=given.get("exchangeable") is True,
        offsets=(),
    )


def _check_line(line: object, n: int, where: str) -> None:
    if not isinstance(line, dict) or not _name(line.get("id")) or not _name(line.get("hash")):
        raise InputError(f"{where}: no id and hash")
    verdicts, cut, majority = line.get("verdicts"), line.get("truncated", "." * n), line.get("majority", 0)
    if not isinstance(verdicts, str) or len(verdicts) != n or not set(verdicts) <= set(LETTERS):
        raise InputError(f"{where}: verdicts are {verdicts!a:.40}, needed are {n} letters of {LETTERS}")
    if not isinstance(cut, str) or len(cut) != n or not set(cut) <= set(".T"):
        raise InputError(f"{where}: truncated is {cut!a:.40}, needed are {n} letters of .T")
    if type(majority) not in (int, float) or not 0 <= majority <= 1:
        raise InputError(f"{where}: majority is {majority!a:.40}, allowed is 0 to 1")


def _name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9


def _near(given: object, computed: float) -> bool:
    return type(given) in (int, float) and math.isclose(given, computed, abs_tol=2e-6)
