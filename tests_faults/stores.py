"""A store that is damaged on the disk, and one that many processes write: never a wrong text."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Response
from sprint_lmeval.store.database import Store
from tests_faults.outcome import Child, Outcome

ROWS = 400
PAGE = 4096


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def text_of(number: int) -> str:
    return f"Answer {number}: " + "a step, " * (number % 40) + f"#### {number}"


def _filled(path: Path) -> None:
    with Store.open(path) as store:
        for number in range(ROWS):
            store.put(key_of(number), Response(text_of(number), False, number))


def flipped_bits(count: int, seed: int) -> Outcome:
    """Flip one bit of the file, anywhere, and read everything."""
    return _damaged("one flipped bit", count, seed, _flip)


def torn_writes(count: int, seed: int) -> Outcome:
    """Cut the file at any byte, or fill one of its pages with zeros, as a torn write leaves it."""
    return _damaged("a torn write", count, seed, _tear)


def _flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _tear(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    if draw.random() < 0.5:
        path.write_bytes(content[: draw.randrange(len(content))])
        return
    page = draw.randrange(len(content) // PAGE) * PAGE
    path.write_bytes(content[:page] + bytes(PAGE) + content[page + PAGE :])


def _damaged(name: str, count: int, seed: int, damage) -> Outcome:
    outcome, draw = Outcome(name), random.Random(seed)
    given = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        whole, path = Path(folder) / "whole.sqlite", Path(folder) / "damaged.sqlite"
        _filled(whole)
        for _ in range(count):
            for old in Path(folder).glob("damaged.sqlite*"):
                old.unlink()
            shutil.copy(whole, path)
            damage(path, draw)
            try:
                with Store.open(path) as store:
                    found = store.get_many([key_of(number) for number in range(ROWS)])
            except InputError:
                refused += 1
                outcome.note(None)
                continue
            except Exception as error:
                outcome.note(f"{type(error).__name__}: {error}")
                continue
            wrong = sum(r.text != text_of(int.from_bytes(k, "big")) for k, r in found.items())
            given += len(found)
            outcome.note(None, lost=wrong)
    read = count - refused
    outcome.said = f"{refused} refused in one sentence; of the others {given / max(1, read * ROWS):.1%} of answers kept"
    return outcome


def writers(processes: int, rows: int = 300) -> Outcome:
    """Let processes put overlapping answers at once: all are there, each once, and the first stays."""
    outcome = Outcome(f"{processes} writers of one store")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shared.sqlite"

        def write(mine: int) -> None:
            with Store.open(path) as store:
                for number in range(mine % 2 * rows // 2, rows):  # half of the writers begin in the middle
                    store.put(key_of(number), Response(text_of(number), False, number))

        children = [Child(lambda mine=mine: write(mine)) for mine in range(processes)]
        statuses = [child.wait() for child in children]
        for status, child in zip(statuses, children, strict=True):
            outcome.note(None if status == 0 else child.output()[-200:])
        with Store.open(path) as store:
            found = store.get_many([key_of(number) for number in range(rows)])
        right = sum(found[key_of(n)].text == text_of(n) for n in range(rows) if key_of(n) in found)
        outcome.lost = rows - right
    outcome.said = f"{rows} answers"
    return outcome
