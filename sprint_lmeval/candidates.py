"""What is pruned for one answer: a set of attention heads, written `L5H0+L10H3`, or `base` for none.

In: notation as text, a colon-separated list (`base:L5H0:L5H0+L10H3`), a .txt / .json / .yaml file, or a Python list.
Out: `Candidate` values in the given order. Anything unreadable is a ValueError of one sentence.
Only the standard library is imported (and PyYAML when a YAML file is read), so a mistake shows before any model loads.
"""

import json
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sprint_lmeval.files import parse_json

MAX_FILE_BYTES = 1 << 20
MAX_CANDIDATES = 100_000
MAX_NUMBER = 9_999
FEW = 6  # candidates that a message names
SUFFIXES = (".txt", ".json", ".yaml", ".yml")

_NODES = {"SequenceStartEvent": "a sequence", "MappingStartEvent": "a mapping", "AliasEvent": "an alias"}  # PyYAML's
_HEAD = re.compile(r"L([0-9]{1,4})H([0-9]{1,4})")


@dataclass(frozen=True, order=True, repr=False)
class Candidate:
    """The heads pruned for one answer, as sorted (layer, head) pairs, both counted from 0; none is the whole model."""

    heads: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", tuple(sorted(_pair(head) for head in self.heads)))
        for first, second in pairwise(self.heads):
            if first == second:
                raise ValueError(f"L{first[0]}H{first[1]} is given twice in one candidate; name each head once")

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """`"base"` or heads joined by `+`, such as `"L5H0+L10H3"`; ValueError for anything else."""
        if not isinstance(text, str):
            raise ValueError(f"a candidate is text such as 'L5H0+L10H3' or 'base', not {_kind(text)}")
        if text.strip() == "base":
            return BASE
        return cls(tuple(_parse_head(part.strip(), text) for part in text.split("+")))

    @classmethod
    def of(cls, given: "str | Candidate") -> "Candidate":
        """Return a candidate that was given as one, or in its notation; ValueError for anything else."""
        return given if isinstance(given, cls) else cls.parse(given)

    def __str__(self) -> str:
        return "+".join(f"L{layer}H{head}" for layer, head in self.heads) or "base"

    def __repr__(self) -> str:
        return f"Candidate({str(self)!r})"


BASE = Candidate()


def some_of(candidates: Sequence[Candidate]) -> str:
    """Return how many candidates there are and the first few, for messages."""
    first = " ".join(map(str, candidates[:FEW])) + (" ..." if len(candidates) > FEW else "")
    return f"{len(candidates)} candidate{'' if len(candidates) == 1 else 's'} ({first})"


def parse_candidates(source: "str | os.PathLike | Iterable[str | Candidate]") -> list[Candidate]:
    """Candidates in the given order, each once.

    `source` is a colon-separated list, the path of a .txt (one a line, # starts a comment), .json or .yaml file (a list
    of strings), or a Python list of strings or Candidates. ValueError, in one sentence, for what cannot be read.
    """
    if isinstance(source, Candidate):
        return [source]
    if isinstance(source, os.PathLike) or (isinstance(source, str) and _names_a_file(source)):
        return _read_file(Path(source))
    if isinstance(source, str):
        return _distinct(_split(source), "the list of candidates")
    if isinstance(source, Iterable) and not isinstance(source, bytes | dict):
        return _distinct(list(source), "the list of candidates")
    raise ValueError(f"candidates are a list such as 'base:L5H0:L5H0+L10H3' or a file, not {_kind(source)}")


def _pair(head: object) -> tuple[int, int]:
    if not (isinstance(head, tuple | list) and len(head) == 2 and all(type(number) is int for number in head)):
        raise ValueError(f"a head is a pair (layer, head) of whole numbers, not {_short(head)}")
    if min(head) < 0 or max(head) > MAX_NUMBER:
        raise ValueError(f"layers and heads are numbered 0 to {MAX_NUMBER}, but {_short(tuple(head))} was given")
    return (head[0], head[1])


def _parse_head(part: str, text: str) -> tuple[int, int]:
    match = _HEAD.fullmatch(part)
    if match:
        return int(match[1]), int(match[2])
    what = f"{_short(part)} in {_short(text)}" if part != text.strip() else _short(text)
    raise ValueError(
        f"cannot read the candidate {what}: write L<layer>H<head> with numbers from 0 to {MAX_NUMBER}, joined by +, "
        "such as L5H0 or L5H0+L10H3, or base for the whole model"
    )


def _names_a_file(text: str) -> bool:
    return text.strip().lower().endswith(SUFFIXES) or "/" in text or os.sep in text


def _split(text: str) -> list[str]:
    if "," in text:
        raise ValueError(f"candidates are separated by colons, not commas: write base:L5H0:L10H3, not {_short(text)}")
    return text.split(":") if text.strip() else []


def _distinct(entries: list, where: str, places: list[str] | None = None) -> list[Candidate]:
    """The entries as candidates; `places` says where each one stands, for the error."""
    if not entries:
        raise ValueError(f"{where} is empty; give at least one candidate, such as base or L5H0")
    if len(entries) > MAX_CANDIDATES:
        raise ValueError(f"{where} has {len(entries):,} candidates, at most {MAX_CANDIDATES:,} are allowed")
    places = places or [f"place {number}" for number in range(1, len(entries) + 1)]
    seen: dict[Candidate, str] = {}
    for entry, place in zip(entries, places, strict=True):
        try:
            candidate = Candidate.of(entry)
        except ValueError as error:
            raise ValueError(f"{where}, {place}: {error}") from None
        if candidate in seen:
            twice = f"{_short(str(candidate))} twice, at {seen[candidate]} and {place}"
            raise ValueError(f"{where} has {twice}; remove one")
        seen[candidate] = place
    return list(seen)


def _read_file(path: Path) -> list[Candidate]:
    suffix = path.suffix.strip().lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"the candidates file {_short(str(path))} must end in {', '.join(SUFFIXES)}")
    text = _read_text(path)
    where = f"the candidates file {_short(str(path))}"
    if suffix == ".txt":
        lines = [(line.split("#", 1)[0].strip(), f"line {number}") for number, line in enumerate(text.splitlines(), 1)]
        lines = [line for line in lines if line[0]]
        return _distinct([line[0] for line in lines], where, [line[1] for line in lines])
    try:
        entries = _json_list(text) if suffix == ".json" else _yaml_list(text)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None
    return _distinct(entries, where)


def _read_text(path: Path) -> str:
    """The file's text; its kind and size are looked at before it is opened, so a pipe or a huge file is never read."""
    where = f"the candidates file {_short(str(path))}"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{where} is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise ValueError(f"{where} has {status.st_size:,} bytes, at most {MAX_FILE_BYTES:,} are read")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(f"{where} does not exist") from None
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"{where} is not a text file in UTF-8")
    return text


def _json_list(text: str) -> list[str]:
    if not text.strip():
        return []
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON (line {error.lineno}: {error.msg})") from None
    except ValueError as error:
        raise ValueError(f"is not valid JSON ({error})") from None
    if not isinstance(value, list):
        raise ValueError(f"must hold a list of strings, not {_kind(value)}")
    return value


def _yaml_list(text: str) -> list[str]:
    """The scalars of a YAML list, from the parser's events: nothing nested is read, let alone built."""
    import yaml

    try:
        return _listed(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"is not valid YAML{f' (line {mark.line + 1})' if mark else ''}") from None


def _listed(events: Iterable) -> list[str]:
    from yaml import DocumentStartEvent, NodeEvent, ScalarEvent, SequenceStartEvent

    listed = None
    for event in events:
        if isinstance(event, DocumentStartEvent) and listed is not None:
            raise ValueError(f"holds a second document (line {event.start_mark.line + 1}), it must hold one list")
        if isinstance(event, SequenceStartEvent) and listed is None:
            listed = []
        elif isinstance(event, ScalarEvent) and listed is not None:
            listed.append(event.value)
        elif isinstance(event, NodeEvent):
            if listed is None:
                raise ValueError("must hold a list of strings, one '- L5H0' a line")
            kind = _NODES[type(event).__name__]
            raise ValueError(f"must hold a list of strings, but place {len(listed) + 1} is {kind}")
    return listed or []


def _kind(value: object) -> str:
    name = type(value).__name__
    return {"dict": "an object", "list": "a list", "NoneType": "nothing", "str": "text"}.get(name, name)


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
