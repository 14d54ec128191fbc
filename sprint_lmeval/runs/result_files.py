"""Where results are: files and folders that a user names -> results files, read within limits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from sprint_lmeval.errors import InputError
from sprint_lmeval.files import read_json
from sprint_lmeval.runs.facts import is_results

MAX_RESULTS = 64 << 20
MAX_FILES = 200_000
SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")


def named_paths(given: Iterable[str | os.PathLike]) -> list[Path]:
    """Names as paths; an empty one is refused, since as a path it is the working directory.

    Raises:
        InputError: a name is empty.
    """
    names = [os.fspath(name) for name in given]
    if "" in names:
        raise InputError("'' given, needed is the name of a file or folder (of the working directory it is .)")
    return [Path(name) for name in names]


def results_files(given: list[Path]) -> tuple[list[tuple[Path, bool]], list[str]]:
    """Return results files, each once, with whether it was named itself; and a sentence for each that is left out.

    Raises:
        InputError: a path does not exist, holds too much, or is samples whose results are not beside them.
    """
    files: dict[Path, tuple[Path, bool]] = {}  # by what they are without links
    notes: list[str] = []
    for path in given:
        if not os.path.exists(path):  # which is false for a name that is too long; Path.exists raises
            raise InputError(f"{path!s:.200} does not exist: give results files of lm_eval, or folders that hold them")
        found, alone = _in_folder(path) if path.is_dir() else ([path], [])
        notes += [f"{samples}: the results of its run are not beside it; left out." for samples in alone]
        for file in found:
            file = _results_of(file) if file.suffix == ".jsonl" else file
            if file.resolve() in files:
                notes.append(f"{file} was given twice and is read once.")
            else:
                files[file.resolve()] = (file, not path.is_dir())
    return list(files.values()), notes


def _in_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """JSON files in a folder and below that may be results, and samples files that have none beside them.

    Beside weights stands the configuration of a selector or a model, which nobody takes for results.
    """
    found, alone, count = [], [], 0
    for root, folders, names in os.walk(folder, onerror=_unreadable):
        folders.sort()
        count += len(names)
        if count > MAX_FILES:
            raise InputError(f"{folder} holds more than {MAX_FILES:,} files: give the folders of results in it")
        weights = "model.safetensors" in names
        results = [name for name in names if name.endswith(".json") and not (weights or name.startswith("scores"))]
        found += [Path(root, name) for name in results]
        dated = {name.rpartition("_")[2] for name in results}
        samples = ((name, SAMPLES.fullmatch(name)) for name in sorted(names))
        alone += [Path(root, name) for name, parts in samples if parts and f"{parts['date']}.json" not in dated]
    return sorted(found), alone


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read ({error.strerror}): give folders that can be") from None


def results_beside(samples: Path) -> Path | None:
    """Return the results file of a samples file's run, None where it is not beside it."""
    named = SAMPLES.fullmatch(samples.name)
    ending = f"_{named['date']}.json" if named else ".json"
    others = sorted(samples.parent.glob(f"*{ending}")) if named else []
    files = [samples.with_name(f"results{ending}"), *(file for file in others if not file.name.startswith("scores_"))]
    return next((file for file in files if file.is_file()), None)


def _results_of(samples: Path) -> Path:
    file = results_beside(samples)
    if file is None:
        raise InputError(f"{samples} was given, and the results_*.json of its run is not beside it: give both")
    return file


def read_results(file: Path, must_be: bool) -> dict | None:
    """Return the results of a harness run; None for another program's file, unless it has to be one.

    Raises:
        InputError: the file cannot be read, is no JSON, or is of something else and must not be.
    """
    results = read_json(file, MAX_RESULTS, "results")
    if is_results(results):
        return results
    if must_be:
        raise InputError(f"{file} is JSON of something else than a run of lm_eval: no results and configs are in it")
    return None
