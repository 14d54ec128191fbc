"""Training: outcome matrices in, a selector folder (or the file of a pool) out."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sprint_lmeval import __version__
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.selection.branch_runs import BranchRuns, branch_runs, compared
from sprint_lmeval.selection.draw import drawn_questions
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.selection.folder import FORMAT, HASHES, is_selector, read_config, refuse_taken
from sprint_lmeval.selection.methods.method import Examples, Method, Trained, read_options, train
from sprint_lmeval.selection.methods.registry import METHODS, method_named
from sprint_lmeval.selection.pool import train_pool
from sprint_lmeval.selection.selector import Selector, short_hashes
from sprint_lmeval.selection.training_matrix import matrix_digest, training_matrix, training_size

log = logging.getLogger(f"lm_eval.{__name__}")
POOL = "pool"
MAX_SEED = 2**32 - 1  # of scikit-learn's trees
VERSIONS_OF = ("numpy", "torch", "sentence-transformers", "safetensors")
CARRIED = tuple(
    "task task_version settings chat_template prompt_form num_fewshot system_instruction dtype grader".split()
)


@dataclass(frozen=True)
class Choices:
    """What a user may choose beside method and matrices; each default with its reason.

    Attributes:
        candidates: `all` of the matrix, so that every method has the same; `heads`: without base, as in the paper; or
            a list or file.
        seed: of the folds and of random starts.
        folds: of the validation; 5 leave 4/5 of the questions for learning.
        objective: settings are chosen by the mean of Pass@1..objective; 4, where the choice of heads matters most.
        encoder: folder of another sentence encoder.
        options: of the method, as text.
        questions: how many of the matrix's to learn from, None: all.
        draw: which ones: `uniform` or `diverse` (draw.py), by `seed`.
    """

    candidates: str = "all"
    seed: int = 0
    folds: int = 5
    objective: int = 4
    encoder: str | None = None
    options: dict[str, str] | None = None
    questions: int | None = None
    draw: str = "uniform"

    def drawn(self, matrix: OutcomeMatrix) -> OutcomeMatrix:
        """Return the matrix of the questions to learn from."""
        if self.questions is None:
            return matrix
        if self.draw == "uniform":
            return matrix.select(drawn_questions([q.hash for q in matrix.questions], self.questions, self.seed))
        texts = [question.text for question in matrix.with_texts().questions]
        return matrix.select(drawn_questions(texts, self.questions, self.seed, self.draw, Encoder.find(self.encoder)))


def train_selector(
    matrices: Sequence[Path],
    method_name: str,
    output: Path,
    choices: Choices,
    exclude: Sequence[Path] = (),
    overwrite: bool = False,
) -> str:
    """Train a method on the matrices, write its folder, and return what the user reads.

    Raises:
        InputError: on matrices, options or an output that do not fit; nothing is written then.
    """
    if not 0 <= choices.seed <= MAX_SEED:
        raise InputError(f"--seed {choices.seed} given, it must be a whole number from 0 to {MAX_SEED}")
    if method_name == POOL:
        return train_pool(
            matrices, output, choices.candidates, choices.options or {}, exclude, overwrite, choices.drawn
        )
    if method_name not in METHODS:
        raise InputError(f"--method {method_name} given, allowed are {', '.join(METHODS)}, {POOL} and pairs")
    method = method_named(method_name)
    read_options(method, choices.options or {})  # a mistake shows before anything is read
    earlier = is_selector(output)
    refuse_taken(output, overwrite or earlier)  # the same selector is no error: known when this one is trained
    if method.ranks:
        matrix = training_matrix(matrices, choices.candidates, exclude, choices.drawn)
    else:
        _refuse_choices_of_ranking(choices)
        matrix = branch_runs(matrices, exclude)
        choices = replace(choices, options=matrix.options)
    if earlier and not overwrite:
        _refuse_of_other(output, method, matrix, choices)
    selector = selector_of(method, matrix, Encoder.find(choices.encoder) if method.encodes else None, choices)
    selector.save_pretrained(output, overwrite=overwrite)
    if isinstance(matrix, BranchRuns):
        chosen = selector.config["setting"]["priority"]
        said = f"{output}: {method.name}, priority={chosen}, {len(matrix.questions)} questions\n"
        return said + compared(matrix, chosen, choices.folds, choices.seed, choices.objective)
    return f"{output}: {method.name}, {training_size(matrix)}, validation {_shown(selector.config['validation'])}"


def _refuse_choices_of_ranking(choices: Choices) -> None:
    given = {"--candidates": choices.candidates != "all", "--set": choices.options, "--questions": choices.questions}
    for name, there in given.items():
        if there:
            raise InputError(f"{name} given with --method branch, whose runs say what there is to choose: leave it out")


def _refuse_of_other(output: Path, method: Method, matrix: OutcomeMatrix | BranchRuns, choices: Choices) -> None:
    """Raise InputError, before the training, where the selector that is there is plainly another one."""
    ours = {"matrix_sha256": matrix_digest(matrix), "seed": choices.seed, "folds": choices.folds}
    try:
        there = read_config(output)
        same = there["method"] == method.name and ours.items() <= there["training"].items()
    except (InputError, TypeError):  # damaged
        same = False
    if not same:
        refuse_taken(output, overwrite=False)


def selector_of(
    method: Method, matrix: OutcomeMatrix | BranchRuns, encoder: Encoder | None, choices: Choices
) -> Selector:
    """Return the method's selector, trained on what `training_matrix` or `branch_runs` passed."""
    options = read_options(method, choices.options or {})
    examples = _examples(method, matrix, encoder)
    trained = train(method, examples, options, choices.seed, choices.folds, choices.objective)
    dim = examples.embeddings.shape[1]
    known = {"name": encoder.name, "fingerprint": encoder.fingerprint, "dim": dim} if method.encodes else None
    return Selector(_config(method, matrix, known, trained, choices), _tensors(matrix, trained), encoder)


# ---- from matrix to selector ----


def _examples(method: Method, matrix: OutcomeMatrix | BranchRuns, encoder: Encoder | None) -> Examples:
    known = matrix.with_texts() if method.reads else matrix
    texts = tuple(question.text if method.reads else "" for question in known.questions)
    embeddings = np.zeros((len(texts), 0), np.float32)
    if method.encodes:
        log.info("encoding %d questions", len(texts))
        embeddings = encoder.encode(texts)
    return Examples(texts, embeddings, matrix.correct, getattr(matrix, "new_tokens", None))


def _tensors(matrix: OutcomeMatrix | BranchRuns, trained: Trained) -> dict[str, np.ndarray]:
    return {**trained.tensors, HASHES: np.sort(short_hashes([q.hash for q in matrix.questions]))}


def _config(
    method: Method, matrix: OutcomeMatrix | BranchRuns, encoder: dict | None, trained: Trained, choices: Choices
) -> dict:
    facts = matrix.facts
    return {
        "format": FORMAT,
        "method": method.name,
        "candidates": [str(candidate) for candidate in matrix.candidates],
        "model": {
            "name": facts.get("model"),
            **{key: facts.get(key) for key in ("revision", "fingerprint", "architecture", "heads_per_layer")},
        },
        "encoder": encoder,
        "setting": trained.setting,
        "training": {
            **{key: facts.get(key) for key in CARRIED},
            **({"altered": facts["altered"]} if facts.get("altered") else {}),  # absent: the model as it is
            "evaluate": str(facts.get("task")).replace("_train_", "_"),
            "split": matrix.split,
            "questions": len(matrix.questions),
            "unsolved": int((~matrix.correct.any(axis=1)).sum()),
            "matrix_sha256": matrix_digest(matrix),
            "seed": choices.seed,
            "folds": choices.folds,
            "objective": choices.objective,
            "tried": [[setting, round(score, 5)] for setting, score in trained.tried[:200]],
        },
        "validation": trained.validation,
        "versions": {"sprint-lmeval": __version__, **{name: importlib.metadata.version(name) for name in VERSIONS_OF}},
    }


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"pass@{k} {figures[f'pass@{k}']:.3f}" for k in (1, 2, 4, 8, 16) if f"pass@{k}" in figures)
