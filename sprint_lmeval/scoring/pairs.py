"""`sprint-lmeval train --method pairs`: the judge of DeepPrune, from the responses of runs of a training task.

In: runs with responses and lengths. Out: a folder that `score --with deepprune --judge` reads. An example is a pair of
prefixes of one question's responses; it is positive if the two end in equal answers, or both in none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run, read_runs, require_samples
from sprint_lmeval.scoring.duplicates import Embeddings
from sprint_lmeval.scoring.judges import CONFIG, METHOD, PREFIX, Agreement, PairsJudge, texts_features
from sprint_lmeval.scoring.stored import Prefix, answer_classes, prefixes_of, stored_responses
from sprint_lmeval.selection.methods.logistic import fit_logistic
from sprint_lmeval.selection.methods.method import Option, fold_indices

OPTIONS = {
    "prefix": Option(PREFIX, "of a response: a share, or a number of tokens", 0, 1e6),
    "penalty": Option(1e-4, "of squared weights, as of logistic", 1e-9, 1e3),
}


class QuestionPairs(NamedTuple):
    """A question of a run: hash, candidates and correct [n], common and cosine [pairs, 2], alike bool [pairs]."""

    question: str
    candidates: list[str]
    correct: np.ndarray
    features: np.ndarray
    alike: np.ndarray

    def with_agreement(self, agreement: Agreement) -> np.ndarray:
        """Return all `FEATURES`, [pairs, 3]."""
        upper = np.triu_indices(len(self.candidates), 1)
        return np.column_stack([self.features, agreement.of(self.candidates)[upper]])


def train_pairs(
    results: Sequence[str],
    output: Path,
    given: dict[str, str],
    folds: tuple[int, int],
    encoder: str | None = None,
    overwrite: bool = False,
) -> str:
    """Train a judge, write its folder, and return what the user reads.

    Args:
        results: files and folders of the harness, of one model on a training task.
        output: the folder.
        given: values of `OPTIONS`, as text.
        folds: parts of the cross-validation over questions, and its seed.
        encoder: folder of another sentence encoder.
        overwrite: replace a judge that is there.

    Raises:
        InputError: on runs, options or an output that do not fit; nothing is written then.
    """
    strange = set(given) - set(OPTIONS)
    if strange:
        raise InputError(f"{min(strange)}={given[min(strange)]} given: {METHOD} has the options {', '.join(OPTIONS)}")
    settings = {name: o.parse(name, given[name]) if name in given else o.default for name, o in OPTIONS.items()}
    prefix = Prefix.parsed(settings["prefix"], "prefix")
    if os.path.lexists(output) and not (
        overwrite and output.is_dir() and {p.name for p in output.iterdir()} == {CONFIG}
    ):
        raise InputError(f"{output} is there already: give another place, or --overwrite for a judge")
    runs, notes = read_runs(results)
    _check(runs, notes)
    embeddings = Embeddings(encoder)
    examples = _examples(runs, prefix, embeddings)
    parts = _folds(examples, *folds)
    scores = np.concatenate([_held_out(held, examples, settings["penalty"]) for held in parts])
    alike = np.concatenate([examples[index].alike for held in parts for index in held])
    agreement, weight, bias = _fitted(examples, settings["penalty"])
    area, share = area_under_curve(scores, alike), float(alike.mean())
    questions = sorted({one.question for one in examples})
    training = {"task": runs[0].task, "questions": len(questions), "pairs": len(alike), "alike": share, "auroc": area}
    known = (runs[0].model, runs[0].facts.get("fingerprint"), embeddings.encoder.fingerprint, training)
    PairsJudge(weight.tolist(), bias, prefix.size, agreement, *known, questions).save(output)
    return (
        f"{output}: {METHOD}, {len(questions)} questions, {len(alike)} pairs, {100 * share:.1f} % of them alike, "
        f"validation AUROC {area:.3f}"
    )


def _check(runs: Sequence[Run], notes: list[str]) -> None:
    for run in runs:
        require_samples(run, notes)
        if "_train_" not in run.task:
            raise InputError(
                f"{run.path} is of {run.task}: a judge learns from a training task, such as tiny_train_passn"
            )
    for what, values in (("N", {run.n for run in runs}), ("models", {run.facts.get("fingerprint") for run in runs})):
        if len(values) > 1:
            raise InputError(
                f"the runs are of different {what} ({', '.join(map(str, sorted(values, key=str)))}): give like ones"
            )


def _examples(runs: Sequence[Run], prefix: Prefix, embeddings: Embeddings) -> list[QuestionPairs]:
    found = []
    for run in runs:
        begun, _ = prefixes_of(run, stored_responses(run), prefix)
        upper = np.triu_indices(run.n, 1)
        for number, (row, classes) in enumerate(zip(begun, answer_classes(run), strict=True)):
            names = run.candidates[number] if run.candidates else ["base"] * run.n
            features = texts_features(row.responses, embeddings)[upper]
            alike = np.array([a == b for a, b in combinations(classes, 2)])
            found.append(QuestionPairs(run.questions[number].hash, names, run.correct[number], features, alike))
    if len({one.question for one in found}) < 2 or np.concatenate([one.alike for one in found]).mean() in (0.0, 1.0):
        raise InputError("there are no two questions, or all pairs end alike, or none: give a larger training run")
    return found


def _folds(examples: Sequence[QuestionPairs], folds: int, seed: int) -> list[np.ndarray]:
    """Return indices of the examples of each fold; a question that several runs have is in one fold."""
    number = {question: i for i, question in enumerate(dict.fromkeys(one.question for one in examples))}
    of_example = [number[one.question] for one in examples]
    return [np.flatnonzero(np.isin(of_example, part)) for part in fold_indices(len(number), folds, seed)]


def _fitted(examples: Sequence[QuestionPairs], penalty: float) -> tuple[Agreement, np.ndarray, float]:
    """Agreement of candidates, weights of the features, and bias."""
    agreement = Agreement.counted([one.candidates for one in examples], [one.correct for one in examples])
    features = np.concatenate([one.with_agreement(agreement) for one in examples])
    alike = np.concatenate([one.alike for one in examples])
    weight, bias = fit_logistic(features.astype(np.float32), alike[:, None], penalty)
    return agreement, weight[0].astype(float), float(bias[0])


def _held_out(held: np.ndarray, examples: Sequence[QuestionPairs], penalty: float) -> np.ndarray:
    """Log odds of the pairs of some questions by a fit on the others."""
    agreement, weight, bias = _fitted([one for i, one in enumerate(examples) if i not in held], penalty)
    return np.concatenate([examples[i].with_agreement(agreement) @ weight + bias for i in held])


def area_under_curve(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the chance that a positive has a higher score than a negative, ties half."""
    from scipy.stats import rankdata

    positive = int(truth.sum())
    ranks = rankdata(scores)[truth].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * (len(truth) - positive)))
