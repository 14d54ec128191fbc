"""The store: what was put is there, for other processes and after a kill, and files that are no store are refused."""

import hashlib
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Response
from sprint_lmeval.store.database import Store


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def response(number: int) -> Response:
    return Response(f"answer {number} π \ud800 \0", number % 2 == 0, number, cut_tokens=number % 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.sqlite"


def test_what_was_put_is_there_after_reopening(path):
    with Store.open(path) as store:
        for number in range(3):
            store.put(key(number), response(number))
        assert store.count() == 3
    with Store.open(path) as store:
        assert [store.get(key(number)) for number in range(4)] == [*map(response, range(3)), None]


def test_the_first_response_to_a_key_stays(path):
    with Store.open(path) as store:
        store.put(key(1), response(1))
        store.put(key(1), response(2))
        assert store.get(key(1)) == response(1)


def test_many_at_once(path):
    with Store.open(path) as store:
        for number in range(0, 1_200, 2):
            store.put(key(number), response(number))
        found = store.get_many([key(number) for number in range(1_200)])
        assert found == {key(number): response(number) for number in range(0, 1_200, 2)}
        assert store.get_many([]) == {}


def test_judgements_are_kept(path):
    with Store.open(path) as store:
        store.put_judgements({key(1): "correct", key(2): "different"})
        store.put_judgements({key(1): "incorrect"})
        assert store.judgements([key(1), key(2), key(3)]) == {key(1): "correct", key(2): "different"}


WRITER = textwrap.dedent("""
    import hashlib, sys
    from sprint_lmeval.generation.rows import Response
    from sprint_lmeval.store.database import Store
    store = Store.open(sys.argv[1])
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        store.put(hashlib.sha256(str(number).encode()).digest(), Response(f"answer {number}", False, number))
        print(number, flush=True)
""")


def writer(path, start: int, stop: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(path), str(start), str(stop)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_share_one_file(path):
    """They also make it at the same time."""
    processes = [writer(path, start, start + 150) for start in (0, 100, 200)]
    assert [process.communicate()[0].count("\n") for process in processes] == [150] * 3
    with Store.open(path) as store:
        assert store.count() == 350
        assert store.get(key(349)) == Response("answer 349", False, 349)


def test_nothing_that_was_put_is_lost_when_a_process_is_killed(path):
    process = writer(path, 0, 1_000_000)
    said = [int(process.stdout.readline()) for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    said += [int(line) for line in process.communicate()[0].split("\n") if line]
    with Store.open(path) as store:
        assert all(store.get(key(number)) for number in said)
        assert store.count() - len(said) in (0, 1)
        store.put(key(-1), response(1))


def test_a_store_is_not_pickled(path):
    with Store.open(path) as store, pytest.raises(TypeError, match="open it by its path"):
        pickle.dumps(store)


def test_a_text_longer_than_is_kept_is_refused(path, monkeypatch):
    with Store.open(path) as store:
        monkeypatch.setattr("sprint_lmeval.store.database.MAX_TEXT_BYTES", 10)
        with pytest.raises(InputError, match="at most 10 are kept"):
            store.put(key(1), Response("12345678901", False, 1))


# ---- files that are no store ----


def filled(path):
    with Store.open(path) as store:
        for number in range(2_000):
            store.put(key(number), Response("long answer " * 20, False, number))


def changed(statement):
    def change(path):
        filled(path)
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return change


def foreign_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cache (key TEXT, value BLOB)")
    connection.close()


def cut_short(path):
    filled(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def noise_in_the_middle(path):
    filled(path)
    data = bytearray(path.read_bytes())
    for place in range(4096, len(data) - 4096, 64):
        data[place] ^= 0xFF
    path.write_bytes(data)


def folder(path):
    path.mkdir()


WRONG = {
    "text": (lambda p: p.write_text("question,answer\n" * 9), "is not a store"),
    "a folder": (folder, "is not a file"),
    "another database": (foreign_database, "database of another kind"),
    "a later version": (changed("PRAGMA user_version = 2"), "update sprint-lmeval"),
    "a trigger": (
        changed("CREATE TRIGGER t AFTER INSERT ON responses BEGIN DELETE FROM judgements; END"),
        "database of another kind",
    ),
    "a text edited": (changed("UPDATE responses SET text = CAST('other' AS BLOB)"), "changed or damaged"),
    "a number edited": (changed("UPDATE responses SET truncated = 1"), "changed or damaged"),
    "a value of another type": (changed("UPDATE responses SET text = 5"), "changed or damaged"),
    "a text of a gigabyte": (
        changed("INSERT INTO responses VALUES (zeroblob(32), zeroblob(40000000), 0, 0, 0, x'00')"),
        "cannot be used",
    ),
    "cut short": (cut_short, "cannot be used|changed or damaged|damaged"),
    "noise": (noise_in_the_middle, "cannot be used|changed or damaged"),
    "in a file": (lambda p: (p.parent / "a").write_text("x"), "cannot be used"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_store_is_one_sentence_that_names_the_file(name, path):
    change, sentence = WRONG[name]
    change(path)
    used = path.parent / "a" / "b" if name == "in a file" else path
    with pytest.raises(InputError, match=sentence) as caught, Store.open(used) as store:
        store.get_many([bytes(32), *(key(number) for number in range(2_000))])
    assert str(used) in str(caught.value) and "\n" not in str(caught.value)


def test_a_judgement_of_another_word_is_refused(path):
    with Store.open(path) as store:
        store.put_judgements({key(1): "correct"})
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE judgements SET value = 'perfect'")
    connection.close()
    with Store.open(path) as store, pytest.raises(InputError, match="a verdict in it"):
        store.judgements([key(1)])


def test_a_read_only_file_is_refused(path, monkeypatch):
    Store.open(path).close()
    path.chmod(0o444)
    if os.geteuid() == 0:  # who may write anything
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="may not be written"):
        Store.open(path)
