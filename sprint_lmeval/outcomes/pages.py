"""What the pages of a parquet column unpack to, from their headers: file in, sizes out, nothing is unpacked.

Sizes in a file's footer may be false, and a decoder allocates what each page's own header says. Headers are structs in
Thrift's compact protocol (parquet-format, `PageHeader`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

PLAIN, DICTIONARIES = 0, (2, 8)  # encodings whose values take no more room than their pages
DATA, DICTIONARY, DATA_V2 = 0, 2, 3  # kinds of pages, each with the header's field that describes it
FIELDS = {DATA: (5, 2), DICTIONARY: (7, 2), DATA_V2: (8, 4)}  # kind -> field of the header, field of the encoding in it
BOOLEANS, NUMBERS, DOUBLE, BINARY, STRUCT = (1, 2), (3, 4, 5, 6), 7, 8, 12  # Thrift's types
DEEPEST = 4  # structs in structs


class Page(NamedTuple):
    """One page: whether it is a dictionary, its bytes once unpacked, its number of values."""

    dictionary: bool
    unpacked: int
    values: int


def column_pages(data: Sequence[int], start: int, length: int) -> Iterator[Page]:
    """Yield the pages that lie in `length` bytes from `start` on. ValueError for what is no page."""
    header = _Header(data, start, min(start + length, len(data)))
    while header.position < header.end:
        found = header.struct()
        kind, unpacked, packed = (found.get(number, -1) for number in (1, 2, 3))
        described = found.get(FIELDS[kind][0]) if kind in FIELDS else None
        if not isinstance(described, dict) or unpacked < 0 or packed < 0:
            raise ValueError(f"a page of kind {kind} and {unpacked} bytes")
        values, encoding = described.get(1, -1), described.get(FIELDS[kind][1])
        if encoding != PLAIN and encoding not in DICTIONARIES:
            raise ValueError(f"a page of encoding {encoding}")
        if values < 0 or (kind == DICTIONARY and 4 * values > unpacked):
            raise ValueError(f"a page of {unpacked} bytes for {values} values")
        yield Page(kind == DICTIONARY, unpacked, values)
        header.position += packed


class _Header:
    """Reads structs one behind the other; `position` is where the next one begins."""

    def __init__(self, data: Sequence[int], position: int, end: int) -> None:
        self.data, self.position, self.end = data, position, end

    def struct(self, depth: int = 0) -> dict[int, object]:
        """Return a struct's fields by number; texts are passed over."""
        fields, number = {}, 0
        while byte := self._byte():
            step, kind = byte >> 4, byte & 15
            number = number + step if step else self._number()
            fields[number] = self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> object:
        if kind in BOOLEANS:
            return kind == BOOLEANS[0]
        if kind in NUMBERS:
            return self._number()
        if kind == STRUCT and depth < DEEPEST:
            return self.struct(depth + 1)
        if kind not in (DOUBLE, BINARY):
            raise ValueError(f"a page header with a field of type {kind}")
        length = 8 if kind == DOUBLE else self._varint()
        self.position += length
        return None

    def _number(self) -> int:
        coded = self._varint()
        return (coded >> 1) ^ -(coded & 1)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a page header with a number of more than 64 bits")

    def _byte(self) -> int:
        if self.position >= self.end:
            raise ValueError("a page header that is cut short")
        self.position += 1
        return self.data[self.position - 1]
