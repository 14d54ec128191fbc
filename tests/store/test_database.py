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
    "a text of a gigabyte": (
        changed("INSERT INTO responses VALUES (zeroblob(32), zeroblob(40000000), 0, 0, 0, x'00')"),
        "cannot be used",
    ),
    "cut short": (cut_short, "cannot be used .*damaged or cut short"),
    "noise": (noise_in_the_middle, "cannot be used .*damaged or cut short"),
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


DAMAGE = {
    "a text": "UPDATE responses SET text = CAST('other' AS BLOB)",
    "a text's type": "UPDATE responses SET text = CAST(text AS TEXT)",
    "bytes that are no text": "UPDATE responses SET text = CAST(x'ff80' AS TEXT)",
    "a number in place of a text": "UPDATE responses SET text = 5",
    "truncated": "UPDATE responses SET truncated = 1 - truncated",
    "a number's type": "UPDATE responses SET new_tokens = CAST(new_tokens AS BLOB)",
    "a checksum": "UPDATE responses SET checksum = zeroblob(8)",
    "a checksum cut": "UPDATE responses SET checksum = substr(checksum, 1, 7)",
    "another's text": "UPDATE responses SET (text, checksum) = "
    "(SELECT text, checksum FROM responses AS others WHERE others.key <> responses.key)",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_response_is_missing_until_it_is_put_again(name, path, harness_log):
    with Store.open(path) as store:
        for number in range(3, 10):
            store.put(key(number), response(number))
    with sqlite3.connect(path) as connection:
        connection.execute(f"{DAMAGE[name]} WHERE key IN (?, ?)", [key(5), key(6)])
    connection.close()
    others = {key(number): response(number) for number in (3, 4, 7, 8, 9)}
    with Store.open(path) as store:
        assert store.get_many([key(number) for number in range(12)]) == others and store.damaged == 2
        said = harness_log.text
        assert "2 responses were changed or damaged: they are made anew" in said
        assert store.get(key(5)) is None and store.damaged == 2 and harness_log.text == said
        store.put(key(5), response(50))
        store.put(key(3), response(30))
        assert store.get(key(5)) == response(50) and store.get(key(3)) == response(3)
    with Store.open(path) as store:
        assert (store.get(key(6)), store.get(key(5)), store.damaged) == (None, response(50), 1)


def test_a_damaged_name_in_the_schema_is_one_sentence(path):
    with Store.open(path) as store:
        store.put(b"k" * 32, Response("text", False, 3))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE responses", b"CREATE TABLE respon\xc5es"))
    with pytest.raises(InputError, match=r"another kind|damaged"):
        Store.open(path)


def test_no_flipped_bit_gives_a_wrong_text(tmp_path):
    """Every bit of one stored row: its response is right, missing, or the file is refused in one sentence."""
    path, clean = tmp_path / "flipped", tmp_path / "clean"
    with Store.open(clean) as store:
        for number in range(8):
            store.put(key(number), Response(f"answer {number}", False, number))
    content = clean.read_bytes()
    start = content.index(key(5)) - 10  # of a row's header
    outcomes = set()
    for bit in range(8 * start, 8 * (content.index(b"answer 5") + 24)):
        data = bytearray(content)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            with Store.open(path) as store:
                found = [store.get(key(number)) for number in range(8)]
        except InputError as error:
            outcomes.add("damaged" if "\n" not in str(error) and str(path) in str(error) else str(error))
        else:
            wrong = [number for number, one in enumerate(found) if one != Response(f"answer {number}", False, number)]
            assert all(found[number] is None for number in wrong)
            outcomes.add(len(wrong))
    assert outcomes <= {0, 1, 2, "damaged"} and 1 in outcomes


def test_a_judgement_of_another_word_is_made_anew(path):
    with Store.open(path) as store:
        store.put_judgements({key(1): "correct", key(2): "same"})
    for value in ("'perfect'", "x'ff'", "5", "CAST(x'63ff' AS TEXT)"):
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE judgements SET value = {value} WHERE key = ?", [key(1)])
        connection.close()
        with Store.open(path) as store:
            assert store.judgements([key(1), key(2)]) == {key(2): "same"} and store.damaged == 1
            store.put_judgements({key(1): "incorrect", key(2): "different"})
            assert store.judgements([key(1), key(2)]) == {key(1): "incorrect", key(2): "same"}


def test_a_read_only_file_is_refused(path, monkeypatch):
    Store.open(path).close()
    path.chmod(0o444)
    if os.geteuid() == 0:  # who may write anything
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="may not be written"):
        Store.open(path)
