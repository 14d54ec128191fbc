"""Where results are: files and folders that a user names -> results files, read within limits."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sprint_lmeval.errors import InputError, cause
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


def results_files(given: list[Path], told: list[str]) -> Iterator[tuple[Path, bool]]:
    """Results files, each once, and whether it was named itself."""
    seen: set[Path] = set()
    for path in given:
        if not path.exists():
            raise InputError(f"{path} does not exist: give results files of lm_eval, or folders that hold them")
        found = [path] if path.is_file() else sorted(_json_files(path, told))
        for file in found:
            file = _results_beside(file) if file.suffix == ".jsonl" else file
            if file.resolve() in seen:
                told.append(f"{file} was given twice and is read once.")
            else:
                seen.add(file.resolve())
                yield file, path.is_file()


def _json_files(folder: Path, told: list[str]) -> Iterator[Path]:
    count = 0
    for root, folders, names in os.walk(folder, onerror=_unreadable):
        folders.sort()
        told += [f"{Path(root, name)}: the results of its run are not beside it; left out." for name in _alone(names)]
        for name in names:
            count += 1
            if count > MAX_FILES:
                raise InputError(f"{folder} holds more than {MAX_FILES:,} files: give the folders of results in it")
            if name.endswith(".json") and not name.startswith("scores"):
                yield Path(root, name)


def _alone(names: list[str]) -> list[str]:
    """Samples of runs that have no results among these names of one folder."""
    dated = {name.rpartition("_")[2] for name in names if name.endswith(".json") and not name.startswith("scores")}
    samples = ((name, SAMPLES.fullmatch(name)) for name in sorted(names))
    return [name for name, parts in samples if parts and f"{parts['date']}.json" not in dated]


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read ({error.strerror}): give folders that can be") from None


def _results_beside(samples: Path) -> Path:
    named = SAMPLES.fullmatch(samples.name)
    dated = sorted(samples.parent.glob(f"*_{named['date']}.json")) if named else [samples.with_name("results.json")]
    file = next((f for f in dated if f.is_file() and not f.name.startswith("scores_")), None)
    if file is None:
        raise InputError(f"{samples} was given, and the results_*.json of its run is not beside it: give both")
    return file


def read_results(file: Path, must_be: bool) -> dict | None:
    """The results of a harness run; None for another program's file among them, unless it has to be one."""
    try:
        size = file.stat().st_size
        if size > MAX_RESULTS:
            raise InputError(f"{file} has {size:,} bytes, results of at most {MAX_RESULTS:,} are read")
        results = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        said = cause(error, 100)
        raise InputError(f"{file} is not JSON ({said}): it is damaged, or was not written to its end") from None
    if is_results(results):
        return results
    if must_be:
        raise InputError(f"{file} is JSON of something else than a run of lm_eval: no results and configs are in it")
    return None
