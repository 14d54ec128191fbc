"""Verdicts kept in a store by grader version, kind, gold and final answer, so that no comparison is made twice.

A response's final answer is read anew each time (microseconds); what is kept is the comparison, which may take algebra
in a worker process. Responses with the same answer share it. Timeouts and errors are not kept: they may come of this
machine's load, and are tried again.
"""

from __future__ import annotations

import hashlib
import json

from sprint_lmeval.answers.verdicts import GRADER, Comparison, Verdict
from sprint_lmeval.store.database import Store

KEPT = (Verdict.correct, Verdict.incorrect)
SAME = {True: "same", False: "different"}


class KeptJudgements:
    """Verdicts in a store: a `Memory` for `judge_responses`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def verdicts(self, asked: list[Comparison]) -> dict[Comparison, Verdict]:
        keys = {one: _key("verdict", *one) for one in asked}
        found = self.store.judgements(list(keys.values()))
        return {one: Verdict(found[key]) for one, key in keys.items() if found.get(key) in Verdict.__members__}

    def keep_verdicts(self, verdicts: dict[Comparison, Verdict]) -> None:
        kept = {_key("verdict", *one): verdict.value for one, verdict in verdicts.items() if verdict in KEPT}
        if kept:
            self.store.put_judgements(kept)

    def alike(self, answer: str, others: list[str]) -> dict[str, bool]:
        keys = {other: _key("alike", answer, other) for other in others}
        found = self.store.judgements(list(keys.values()))
        return {other: found[key] == SAME[True] for other, key in keys.items() if found.get(key) in SAME.values()}

    def keep_alike(self, answer: str, alike: dict[str, bool]) -> None:
        if alike:
            self.store.put_judgements({_key("alike", answer, other): SAME[same] for other, same in alike.items()})


def _key(*parts: str) -> bytes:
    return hashlib.sha256(json.dumps([GRADER, *parts], sort_keys=True).encode()).digest()
