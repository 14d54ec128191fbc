"""Outcome matrices for a report: files that were named, and those that stand in the folders given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.outcomes.parquet import NotAMatrixError

MOST = 100


def read_matrices(given: Sequence[Path], named: Sequence[Path]) -> tuple[list[OutcomeMatrix], list[str]]:
    """Return outcome matrices, and a sentence for each file that is left out.

    Args:
        given: results; parquet files among them, and in folders among them, are read.
        named: matrices.

    Raises:
        InputError: a file that was named itself is no matrix.
    """
    matrices = [OutcomeMatrix.load(path) for path in (*named, *(p for p in given if p.suffix == ".parquet"))]
    notes, others = [], []
    seen = {path.resolve() for path in (*named, *given)}
    found = (file for folder in given if folder.is_dir() for file in _parquet_files(folder))
    for file in (file for file in found if file.resolve() not in seen):
        seen.add(file.resolve())
        if len(matrices) == MOST:
            notes.append(f"{file} and all later matrices: left out, a report shows at most {MOST}.")
            break
        try:
            matrices.append(OutcomeMatrix.load(file))
        except NotAMatrixError:
            others.append(str(file))
        except InputError as error:
            notes.append(f"{error}; left out." if str(file) in str(error) else f"{file}: {error}; left out.")
    if others:
        more = f", ... ({len(others)} tables in all)" if len(others) > 3 else ""
        notes.append(f"{', '.join(others[:3])}{more}: no outcome matrices, left out.")
    return matrices, notes


def _parquet_files(folder: Path) -> list[Path]:
    walked = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sorted(file for file in walked if file.suffix == ".parquet")
