"""The pool of `strategy=random`, and other fixed lists: outcome matrices in, a .txt file of candidates out.

`kind=cover` is the paper's pool; `best`, which a sceptic would draw from, has the candidates that are best by
themselves; `base+cover` is a list for head_masks=: the unpruned model first, then what adds most to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sprint_lmeval.candidates import BASE, MAX_FILE_BYTES
from sprint_lmeval.errors import InputError
from sprint_lmeval.files import read_bounded, write_whole
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.selection.methods.set_cover import LONGEST, greedy_cover
from sprint_lmeval.selection.training_matrix import matrix_digest, training_matrix, training_size

KINDS = {  # kind -> what its candidates are
    "cover": "that together solve most of",
    "best": "that each solve most of",
    "base+cover": "that, base first, together solve most of",
}


def train_pool(
    matrices: Sequence[Path],
    output: Path,
    candidates: str,
    options: dict[str, str],
    exclude: Sequence[Path],
    overwrite: bool,
    draw: Callable[[OutcomeMatrix], OutcomeMatrix] = lambda matrix: matrix,
) -> str:
    """Write the candidates of one kind, best first, and return what the user reads.

    Args:
        candidates: to choose from, as of `training_matrix`.
        draw: as of `training_matrix`.
        options: `size`, how many candidates (16), and `kind`, one of `KINDS` (cover).

    Raises:
        InputError: on matrices, options or an output that do not fit; nothing is written then.
    """
    kind, size = _checked(options)
    if output.suffix != ".txt":
        raise InputError(f"-o {output} given, the file of a pool ends in .txt")
    matrix = training_matrix(matrices, candidates, exclude, draw)
    if size > len(matrix.candidates):
        raise InputError(f"size={size} given, the matrix has {len(matrix.candidates)} candidates")
    order, shares = _ranked(matrix, kind, size)
    adds = "" if kind == "best" else "+ "
    lines = [
        f"# The {size} of {len(matrix.candidates)} candidates {KINDS[kind]} {training_size(matrix)}.",
        f"# Model {matrix.facts.get('model')}, task {matrix.facts.get('task')}, matrix {matrix_digest(matrix)[:16]}.",
        *[f"{matrix.candidates[j]}  # {adds}{100 * share:.2f} %" for j, share in zip(order, shares, strict=True)],
    ]
    _write(output, "\n".join(lines) + "\n", overwrite)
    solved = 100 * matrix.correct[:, order].any(axis=1).mean()
    return f"{output}: {size} candidates, {training_size(matrix)}, {solved:.1f} % of them solved by one of these"


def _checked(options: dict[str, str]) -> tuple[str, int]:
    kind, size = options.get("kind", "cover"), options.get("size", str(LONGEST))
    if set(options) - {"kind", "size"} or not size.isdecimal() or int(size) < 1:
        raise InputError(f"options {options} given, a pool has two: size, a whole number from 1 up, and kind")
    if kind not in KINDS:
        raise InputError(f"kind={kind} given, allowed are {', '.join(KINDS)}")
    return kind, int(size)


def _ranked(matrix: OutcomeMatrix, kind: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of candidates, best first, and the share of questions that each solves (best) or adds."""
    if kind == "best":
        rates = matrix.correct.mean(axis=0)
        order = np.argsort(-rates, kind="stable")[:size]
        return order, rates[order]
    if kind == "cover":
        order, gains = greedy_cover(matrix.correct, size)
        return order[0], gains[0]
    if BASE not in matrix.candidates:
        raise InputError(f"kind={kind} given, and base is not among the candidates: sweep it, or --candidates all")
    base = matrix.candidates.index(BASE)
    others = np.delete(np.arange(len(matrix.candidates)), base)
    left = matrix.correct[~matrix.correct[:, base]]
    order, gains = greedy_cover(left[:, others], size - 1)
    unsolved = len(left) / len(matrix.correct)
    return np.append(base, others[order[0]]), np.append(1 - unsolved, unsolved * gains[0])


def _write(output: Path, text: str, overwrite: bool) -> None:
    """Write the file; that very file is there already after a command that was killed behind its last write."""
    if os.path.lexists(output) and not overwrite:
        if not output.is_file() or read_bounded(output, MAX_FILE_BYTES, "pools") != text.encode():
            raise InputError(f"{output} is there already: give another name, or --overwrite")
    else:
        write_whole(output, text)
