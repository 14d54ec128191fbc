"""Stores responses and verdicts on disk under everything that produced them, so that an interrupted run resumes.

A store is one SQLite file. In: keys that name everything that decides a text (keys.py). Out: the response, or None.
Each `put` is a transaction: a response that was put survives the end of the process (write-ahead log; after a loss of
power the last responses may be missing, none is damaged). Many processes may share one file on one machine; the first
response to a key stays. A file is untrusted: only a store's own tables are accepted, and each response carries a
checksum. A row whose checksum is wrong counts as missing, and the next `put` replaces it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Response

log = logging.getLogger(f"lm_eval.{__name__}")
APPLICATION = 0x53505254  # "SPRT"
FORMAT = 1
BUSY_S = 120.0  # for how long another process may write
MAX_TEXT_BYTES = 16 << 20
KEYS_A_QUERY = 500
CHECK_BYTES = 8
SCHEMA = (
    "CREATE TABLE responses (key BLOB PRIMARY KEY, text BLOB NOT NULL, truncated INTEGER NOT NULL, "
    "new_tokens INTEGER NOT NULL, cut_tokens INTEGER NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE judgements (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE origins (key BLOB PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID",
)
JUDGEMENTS = ("correct", "incorrect", "no_answer", "same", "different")
RESPONSE = "key, text, truncated, new_tokens, cut_tokens, checksum"


class Store:
    """Responses and verdicts in one file; open it with `Store.open`. Threads of one process may share it.

    Attributes:
        path: of the file.
        damaged: rows that were found changed or damaged so far; they count as missing.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self.path, self._lock = connection, path, threading.Lock()
        self._damaged: set[tuple[str, bytes]] = set()

    @classmethod
    def open(cls, path: str | os.PathLike) -> Store:
        """Return the store in a file; a new one where there is no file. Folders on the way are made.

        Raises:
            InputError: the file is no store, of a later version, damaged, or cannot be written.
        """
        path = Path(path).expanduser()
        with _one_sentence(path):
            _check_file(path)
            connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    @property
    def damaged(self) -> int:
        return len(self._damaged)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __reduce__(self):
        raise TypeError("a store is a file in use: open it by its path in each process")

    # ---- responses ----

    def get(self, key: bytes) -> Response | None:
        """Return the response to a key; None where there is none, or a damaged one.

        Args:
            key: 32 bytes, from keys.py or of your own.

        Raises:
            InputError: the file cannot be read, or is damaged as a whole.
        """
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Response]:
        """Return the responses that are here, by key; errors as of `get`. Damaged ones are left out and counted."""
        found = {row[0]: _response(row) for row in self._rows("responses", RESPONSE, keys)}
        self._note_damaged("responses", [key for key, response in found.items() if response is None])
        return {key: response for key, response in found.items() if response is not None}

    def put(self, key: bytes, response: Response) -> None:
        """Keep a response; one that is here already stays, unless it is damaged.

        Args:
            key: 32 bytes, from keys.py or of your own.
            response: its text may have at most 16 MiB.

        Raises:
            InputError: the file cannot be written, or the text is longer.
        """
        text = response.text.encode("utf-8", "surrogatepass")
        if len(text) > MAX_TEXT_BYTES:
            raise InputError(f"{self.path}: a response of {len(text):,} bytes, at most {MAX_TEXT_BYTES:,} are kept")
        row = (key, text, int(response.truncated), int(response.new_tokens), int(response.cut_tokens))
        with self._transaction() as connection:
            there = connection.execute(f"SELECT {RESPONSE} FROM responses WHERE key = ?", [key]).fetchone()
            if there is None or _response(there) is None:
                values = (*row, _checksum(*row))
                connection.execute("INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?)", values)

    def count(self) -> int:
        """Return how many responses are here."""
        with self._lock, _one_sentence(self.path):
            return self._connection.execute("SELECT count(*) FROM responses").fetchone()[0]

    # ---- judgements, and where responses came from ----

    def judgements(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """Return what is known of comparisons, by key: one of `JUDGEMENTS`; damaged ones are left out and counted."""
        found = dict(self._rows("judgements", "key, value", keys))
        self._note_damaged("judgements", [key for key, value in found.items() if value not in JUDGEMENTS])
        return {key: value for key, value in found.items() if value in JUDGEMENTS}

    def put_judgements(self, judgements: dict[bytes, str]) -> None:
        """Keep judgements, by key; those that are here already stay, unless they are damaged."""
        marks = ", ".join("?" * len(JUDGEMENTS))
        replacing = f"ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value NOT IN ({marks})"
        rows = [(*judgement, *JUDGEMENTS) for judgement in judgements.items()]
        with self._transaction() as connection:
            connection.executemany(f"INSERT INTO judgements VALUES (?, ?) {replacing}", rows)

    def origins(self) -> list[str]:
        """Return, as JSON, the model facts and settings under which responses were put (the newest thousand)."""
        with self._lock, _one_sentence(self.path):
            return [row[0] for row in self._connection.execute("SELECT facts FROM origins LIMIT 1000")]

    def put_origin(self, key: bytes, facts: str) -> None:
        """Keep under which facts responses are put; the key is that of a run."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO origins VALUES (?, ?)", (key, facts))

    # ---- the database ----

    def _rows(self, table: str, columns: str, keys: Sequence[bytes]) -> Iterator[tuple]:
        keys = list(dict.fromkeys(keys))
        for start in range(0, len(keys), KEYS_A_QUERY):
            part = keys[start : start + KEYS_A_QUERY]
            query = f"SELECT {columns} FROM {table} WHERE key IN ({', '.join('?' * len(part))})"
            with self._lock, _one_sentence(self.path):
                found = self._connection.execute(query, part).fetchall()
            yield from found

    def _note_damaged(self, table: str, keys: Sequence[bytes]) -> None:
        new = {(table, key) for key in keys} - self._damaged
        self._damaged |= new
        if new:
            log.warning("%s: %d %s were changed or damaged: they are made anew", self.path, len(new), table)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block writes, all of it or nothing."""
        with self._lock, _one_sentence(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _check_file(path: Path) -> None:
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise InputError(f"{path} is not a file: give the name of a store, such as answers.sqlite")
    if path.exists():
        with path.open("rb") as stream:
            start = stream.read(16)
        if start and start != b"SQLite format 3\0":
            raise InputError(f"{path} is not a store: give another name, a new store is made there")
        if not os.access(path, os.W_OK):
            raise InputError(f"{path} may not be written: a store needs the right to write, in its folder too")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file; of an old one check that it is a store and nothing else."""
    connection.text_factory = lambda text: text.decode("utf-8", "replace")  # a damaged one is no error of SQLite's
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * MAX_TEXT_BYTES)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("BEGIN IMMEDIATE")  # of two processes that make it, the second one waits here
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        _check_schema(connection)
    finally:
        connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # survives a killed process without waiting for the disk


def _check_schema(connection: sqlite3.Connection) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == APPLICATION and version > FORMAT:
        raise InputError(f"is a store of format {version}, this version knows {FORMAT}: update sprint-lmeval")
    found = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if application != APPLICATION or version != FORMAT or found != set(SCHEMA):
        raise InputError("is a database of another kind: give another name, a new store is made there")


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn what SQLite or the file system refuses into one sentence that names the file."""
    try:
        yield
    except InputError as error:
        named = str(error) if str(path) in str(error) else f"{path} {error}"
        raise InputError(named) from None
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # the last one: a damaged name in the schema
        cause = getattr(error, "strerror", None) or str(error)
        raise InputError(f"store {path} cannot be used ({cause}): {_remedy(cause)}") from error


def _remedy(cause: str) -> str:
    if "locked" in cause:
        return "another program holds it; end that, or give another file"
    if any(said in cause for said in ("malformed", "not a database", "disk image", "decode")):
        return "it is damaged or cut short; remove it and start anew"
    return "give a file in a folder with room and the right to write"


def _response(row: tuple) -> Response | None:
    """Return the response of a row; None where its checksum says that it is damaged."""
    *content, checksum = row
    _, text, truncated, new_tokens, cut_tokens = content
    if [type(value) for value in content] != [bytes, bytes, int, int, int] or _checksum(*content) != checksum:
        return None
    return Response(text.decode("utf-8", "surrogatepass"), bool(truncated), new_tokens, cut_tokens)


def _checksum(key: bytes, text: bytes, *numbers: int) -> bytes:
    return hashlib.sha256(b"|".join((key, text, *(str(number).encode() for number in numbers)))).digest()[:CHECK_BYTES]
