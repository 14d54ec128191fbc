"""Rows -> the responses that a store has already; new responses -> the store, one by one as they are finished."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sprint_lmeval.generation.rows import Response, Row, Settings
from sprint_lmeval.store.database import Store
from sprint_lmeval.store.keys import canonical, row_key, run_key

log = logging.getLogger(f"lm_eval.{__name__}")


class StoredRows:
    """A store and the facts of the model that writes to it.

    Attributes:
        reused, generated: distinct rows that were taken from the store, and that were put into it.
    """

    def __init__(self, store: Store, facts: dict) -> None:
        self.store, self.facts = store, facts
        self.reused = self.generated = 0
        self._told = False

    def found(self, rows: Sequence[Row], settings: Settings) -> dict[Row, Response]:
        """Return the responses that the store has."""
        keys = self._keys(rows, settings)
        stored = self.store.get_many(list(keys.values()))
        responses = {row: stored[key] for row, key in keys.items() if key in stored}
        self.reused += len(responses)
        if rows and not responses and not self._told:
            self._told = True
            self._say_why_nothing_fits(rows[0], settings)
        return responses

    def keeping(
        self, responses: Iterable[tuple[Row, Response]], rows: Sequence[Row], settings: Settings
    ) -> Iterator[tuple[Row, Response]]:
        """Yield responses, each one after the store has it."""
        runs = self._runs(settings)
        for seeded in {row.seed is not None for row in rows}:
            self.store.put_origin(*run_key(self.facts, settings, seeded))
        for row, response in responses:
            self.store.put(row_key(runs[row.seed is not None], row), response)
            self.generated += 1
            yield row, response

    def branches(self, row: Row, settings: Settings, asked: dict) -> list[Row] | None:
        """Return the branches of a greedy answer that were chosen before, in order; None where that is not known.

        Args:
            row: of the greedy answer.
            settings: under which it was decoded.
            asked: what else decided the choice, as JSON.
        """
        stored = self.store.get(self._branches_key(row, settings, asked))
        try:
            return stored and [replace(row, given=tuple(map(int, given))) for given in json.loads(stored.text)]
        except (TypeError, ValueError):
            return None

    def keep_branches(self, row: Row, settings: Settings, asked: dict, branches: Sequence[Row]) -> None:
        """Keep which branches were chosen."""
        text = json.dumps([branch.given for branch in branches], separators=(",", ":"))
        self.store.put(self._branches_key(row, settings, asked), Response(text, truncated=False, new_tokens=0))

    def _branches_key(self, row: Row, settings: Settings, asked: dict) -> bytes:
        return hashlib.sha256(self._keys([row], settings)[row] + canonical({"branches": asked}).encode()).digest()

    def described(self) -> dict:
        """Return what the results record; `damaged` only where rows of the store were."""
        damaged = {"damaged": self.store.damaged} if self.store.damaged else {}
        return {"file": self.store.path.name, "reused": self.reused, "generated": self.generated, **damaged}

    def _runs(self, settings: Settings) -> dict[bool, bytes]:
        return {seeded: run_key(self.facts, settings, seeded)[0] for seeded in (False, True)}

    def _keys(self, rows: Sequence[Row], settings: Settings) -> dict[Row, bytes]:
        runs = self._runs(settings)
        return {row: row_key(runs[row.seed is not None], row) for row in rows}

    def _say_why_nothing_fits(self, row: Row, settings: Settings) -> None:
        """Where a store has responses, but none for this run, name what differs from the nearest run in it."""
        mine = _flat(json.loads(run_key(self.facts, settings, row.seed is not None)[1]))
        others = [_flat(json.loads(text)) for text in self.store.origins()]
        differing = [[name for name in {**mine, **other} if mine.get(name) != other.get(name)] for other in others]
        nearest = min(differing, key=len, default=None)
        if nearest:
            shown = ", ".join(sorted(nearest)[:6])
            log.warning("%s has answers, but none for this run: %s differ", self.store.path, shown)


def _flat(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{name}.{key}" if name else key).items()}
