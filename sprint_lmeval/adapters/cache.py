"""Adapters of one run, made when they are asked for, in a folder that the run cleans up or that the user keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from sprint_lmeval.adapters.maker import ENGINE_RANKS, AdapterMaker, adapter_name
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.pruning.heads import HeadLayout

LOADED_AT_ONCE = 8  # adapters in one batch, where the user gives no max_loras
KEPT_IN_MEMORY = 256


class AdapterCache:
    """The adapter folders of a model.

    Args:
        maker: makes them.
        candidates: every one that may be asked for; the engine's rank serves all of them, each adapter has its own.
        folder: where they are kept; None: a temporary folder that goes with this object.
        rank: a larger rank than these candidates need, None: what they need.

    Raises:
        InputError: a rank that does not do, weights that adapters cannot be made of, a folder that cannot be written.
    """

    def __init__(
        self, maker: AdapterMaker, candidates: Sequence[Candidate], folder: str | None = None, rank: int | None = None
    ) -> None:
        self.maker = maker
        needed = maker.rank(candidates)
        if rank is not None and rank not in ENGINE_RANKS:
            raise InputError(
                f"max_lora_rank={rank} given, vLLM takes {', '.join(map(str, ENGINE_RANKS))}: leave it out"
            )
        if rank is not None and rank < needed:
            raise InputError(f"max_lora_rank={rank} given, these candidates need {needed}: leave it out")
        self.rank = rank or needed
        self.count = len(set(candidates) - {BASE})
        self.modules = pruned_modules(maker.layout, candidates)
        self._temporary = None if folder else _temporary_folder()
        self.folder = Path(folder).expanduser().absolute() if folder else Path(self._temporary.name)
        self._numbers: dict[Candidate, int] = {}
        self.path(min(set(candidates) - {BASE}))  # before an engine starts: what this refuses, it refuses now

    def path(self, candidate: Candidate) -> Path:
        """Return the folder of a candidate's adapter, made now where it is missing; of `base` one of zeros."""
        folder = self.folder / adapter_name(candidate)
        if candidate not in self._numbers:
            if candidate == BASE:
                self.maker.write_nothing(folder)
            else:
                self.maker.write(candidate, folder, at_most=self.rank)
            self._numbers[candidate] = len(self._numbers) + 1
        return folder

    def number(self, candidate: Candidate) -> int:
        """Return a number from 1 up that is this adapter's alone; after `path`."""
        return self._numbers[candidate]

    @property
    def made(self) -> int:
        """How many candidates asked for theirs so far."""
        return len(self._numbers.keys() - {BASE})

    def engine_arguments(self, given: dict) -> dict:
        """Return vLLM's arguments for these adapters; what the user gave counts."""
        at_once = int(given.get("max_loras") or min(LOADED_AT_ONCE, self.count + 1))
        return {
            "enable_lora": True,
            "max_lora_rank": self.rank,
            "max_loras": at_once,
            "max_cpu_loras": int(given.get("max_cpu_loras") or max(at_once, min(self.count + 1, KEPT_IN_MEMORY))),
            "lora_target_modules": self.modules,
        }


def pruned_modules(layout: HeadLayout, candidates: Iterable[Candidate]) -> list[str]:
    """Return the projections that any of these candidates prunes: an engine's adapter code runs in no other layer."""
    return [layout.names[number] for number in sorted({layer for c in candidates for layer, _ in c.heads})]


def _temporary_folder() -> tempfile.TemporaryDirectory:
    try:
        return tempfile.TemporaryDirectory(prefix="sprint-adapters-")
    except OSError as error:
        raise InputError(
            f"no folder for adapters could be made ({error.strerror}): give one with room, adapters=FOLDER"
        ) from error
