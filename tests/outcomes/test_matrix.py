"""Outcome matrices: what they hold, what goes through a file unchanged, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as parquet
import pytest

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import NOT_RUN, OutcomeMatrix, Question, question_hash
from sprint_lmeval.outcomes.parquet import META, check_output
from tests.shared.environments import REPOSITORY
from tests.shared.matrix_examples import matrix as small_matrix

HEADS = tuple(Candidate.parse(name) for name in ("base", "L0H0", "L1H2"))
FACTS = {"model": "tiny", "fingerprint": "ab", "heads_per_layer": [8, 8], "task": "tiny_passn", "settings": {"n": 1}}


def matrix(rows: int = 4, **changed) -> OutcomeMatrix:
    texts = [f"How many  apples are {i}?\nSay it. π" for i in range(rows)]
    questions = tuple(Question(f"q-{i}", question_hash(t), t, "apples", i, "train") for i, t in enumerate(texts))
    verdicts = np.arange(rows * 3, dtype=np.int8).reshape(rows, 3) % 5
    parts = {
        "questions": questions,
        "candidates": HEADS,
        "verdicts": verdicts,
        "truncated": (verdicts == 2).astype(np.int8),
        "new_tokens": verdicts.astype(np.int32) * 1_000,
        "facts": FACTS,
    }
    return OutcomeMatrix(**{**parts, **changed})


def equal(one: OutcomeMatrix, other: OutcomeMatrix) -> bool:
    arrays = ("verdicts", "truncated", "new_tokens")
    same = all(
        np.array_equal(getattr(one, a), getattr(other, a)) and getattr(one, a).dtype == getattr(other, a).dtype
        for a in arrays
    )
    return same and (one.questions, one.candidates, one.facts) == (other.questions, other.candidates, other.facts)


def test_a_matrix_goes_through_a_file_unchanged(tmp_path):
    path = tmp_path / "new" / "matrix.parquet"
    one = matrix()
    one.save(path)
    assert equal(OutcomeMatrix.load(path), one)
    assert [p.name for p in path.parent.iterdir()] == ["matrix.parquet"]


def test_a_file_is_not_overwritten_unless_told(tmp_path):
    path = tmp_path / "matrix.parquet"
    matrix().save(path)
    matrix().save(path)  # the very same: a command that is run again after a kill
    with pytest.raises(InputError, match="is there already"):
        matrix(2).save(path)
    assert len(OutcomeMatrix.load(path).questions) == 4
    matrix(2).save(path, overwrite=True)
    assert len(OutcomeMatrix.load(path).questions) == 2


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    path = tmp_path / "link.parquet"
    matrix().save(tmp_path / "matrix.parquet")
    path.symlink_to(tmp_path / "matrix.parquet")
    matrix(2).save(path, overwrite=True)
    assert not path.is_symlink() and len(OutcomeMatrix.load(path).questions) == 2
    assert len(OutcomeMatrix.load(tmp_path / "matrix.parquet").questions) == 4


def test_the_digest_is_of_everything_in_memory_and_in_a_file(tmp_path):
    one = matrix()
    one.save(tmp_path / "matrix.parquet")
    assert OutcomeMatrix.load(tmp_path / "matrix.parquet").digest == one.digest
    others = [
        matrix(3),
        one.without_texts(),
        matrix(facts={**FACTS, "task": "other"}),
        one.select(range(4), HEADS[::-1]),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 5


def test_a_person_can_read_what_it_is():
    assert repr(matrix()) == (
        "OutcomeMatrix(4 questions x 3 candidates, 25.0% of cells correct, model tiny, task tiny_passn)"
    )
    holes = small_matrix(["c-", "ii"], candidates=("base", "L0H0"), subjects=("", ""))
    assert repr(holes) == (
        "OutcomeMatrix(2 questions x 2 candidates, 75.0% of cells run, 33.3% of cells correct, model m, task t_passn)"
    )


OTHERS = {
    "text": lambda p: p.write_text("PAR is not PAR1"),
    "a store": lambda p: p.write_bytes(b"SQLite format 3\0" + bytes(99)),
    "nothing in it": lambda p: p.touch(),
    "a link to nothing": lambda p: p.symlink_to("nowhere"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_only_a_matrix_is_overwritten(name, tmp_path):
    path = tmp_path / "precious"
    OTHERS[name](path)
    before = path.read_bytes() if path.exists() else path.readlink()
    with pytest.raises(InputError, match="is no matrix, so it is not overwritten"):
        matrix().save(path, overwrite=True)
    assert (path.read_bytes() if path.exists() else path.readlink()) == before


@pytest.mark.parametrize(("place", "sentence"), [("", "is a folder"), ("file/m", "cannot be"), ("m" * 300, "cannot")])
def test_a_place_that_cannot_be_written_is_found_out_first(place, sentence, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=sentence):
        check_output(tmp_path / place, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_looking_at_a_place_leaves_nothing_there(tmp_path):
    check_output(tmp_path / "new" / "m.parquet", overwrite=False)
    assert list((tmp_path / "new").iterdir()) == []


def test_published_matrices_still_load():
    paths = sorted(REPOSITORY.glob("results/sprint/*/t*.parquet"))
    assert paths
    assert all(OutcomeMatrix.load(path).complete for path in paths)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", full)
    with pytest.raises(InputError, match="No space left"):
        matrix().save(tmp_path / "matrix.parquet")
    assert list(tmp_path.iterdir()) == []


def test_views_of_the_verdicts():
    one = matrix()
    assert one.correct.tolist()[:2] == [[True, False, False], [False, False, True]]
    assert one.complete and one.require_complete() is one
    assert one.split == "train"
    holes = matrix(truncated=np.full((4, 3), -1, np.int8), new_tokens=np.full((4, 3), -1, np.int32),
                   verdicts=np.where(np.eye(4, 3, dtype=bool), NOT_RUN, 0).astype(np.int8))  # fmt: skip
    assert not holes.complete and not holes.correct[0, 0] and holes.correct[0, 1]
    with pytest.raises(InputError, match=r"3 of 12 cells .* candidate base on question q-0"):
        holes.require_complete()


def test_select_takes_questions_and_candidates_in_the_order_given():
    one = matrix()
    part = one.select(questions=[3, 1], candidates=[HEADS[2], BASE])
    assert [q.id for q in part.questions] == ["q-3", "q-1"]
    assert part.candidates == (HEADS[2], BASE)
    assert part.verdicts.tolist() == [
        [one.verdicts[3, 2], one.verdicts[3, 0]],
        [one.verdicts[1, 2], one.verdicts[1, 0]],
    ]
    assert [q.id for q in one.select(np.array([False, True, False, True])).questions] == ["q-1", "q-3"]
    assert one.select(candidates=["L1H2", "base"]).candidates == (HEADS[2], BASE)
    for wrong, sentence in (("L9H9", "L9H9 is not in the matrix"), ("L9", "cannot read the candidate 'L9'")):
        with pytest.raises(InputError, match=sentence):
            one.select(candidates=[wrong])


def test_texts_are_dropped_and_filled_in_by_hash():
    one = matrix()
    bare = one.without_texts()
    assert {q.text for q in bare.questions} == {""}
    assert [q.hash for q in bare.questions] == [q.hash for q in one.questions]
    texts = [q.text for q in reversed(one.questions)]
    assert equal(bare.with_texts(texts), one)
    with pytest.raises(InputError, match=r"1 questions of the matrix \(the first: q-0\) have no text"):
        bare.with_texts(texts[:-1])
    with pytest.raises(InputError, match="none of the documents has their hash"):
        bare.with_texts()  # the documents of tiny_passn


def test_white_space_does_not_change_the_hash():
    assert question_hash(" a  b\n") == question_hash("a b") != question_hash("ab")


WRONG = {
    "no questions": ({"questions": ()}, "0 questions"),
    "a question twice": ({"questions": matrix().questions[:3] + matrix().questions[:1]}, "question .* twice"),
    "a candidate twice": ({"candidates": (BASE, BASE, HEADS[1])}, "candidate base is in the matrix twice"),
    "another shape": ({"verdicts": np.zeros((4, 2), np.int8)}, "shape"),
    "numbers with a fraction": ({"verdicts": np.zeros((4, 3))}, "whole numbers"),
    "a verdict out of range": ({"verdicts": np.full((4, 3), 5, np.int8)}, "allowed are -1 to 4"),
    "a negative verdict": ({"verdicts": np.full((4, 3), -2, np.int8)}, "allowed are -1 to 4"),
    "truncated twice": ({"truncated": np.full((4, 3), 2, np.int8)}, "allowed are -1 to 1"),
    "length of no answer": ({"verdicts": np.full((4, 3), -1, np.int8)}, "not run"),
}


SURROGATE, TRUE = "\ud800", True


def with_question(**changed) -> dict:
    first, *others = matrix().questions
    return {"questions": (replace(first, **changed), *others)}


WRONG |= {
    "a hash that is none": (with_question(hash="zz"), "'zz', which is not 64 hexadecimal digits"),
    "a hash with a line end": (with_question(hash="0" * 64 + "\n"), "not 64 hexadecimal"),
    "the hash of another text": (with_question(hash=question_hash("other")), "hash that is not of its text"),
    "an id out of Unicode": (with_question(id=SURROGATE), "its id is not text"),
    "an id that is a number": (with_question(id=7), "its id is not text"),
    "a text out of Unicode": (with_question(text=SURROGATE, hash=question_hash(SURROGATE)), "its text is not text"),
    "a level too large": (with_question(level=10**12), "level 1000000000000"),
    "a level that is none": (with_question(level=1.5), "level 1.5"),
    "a model that is a list": ({"facts": {"model": ["a"]}}, "allowed are text and null"),
    "heads as text": ({"facts": {"heads_per_layer": "8,8"}}, "heads_per_layer"),
    "heads of no layer": ({"facts": {"heads_per_layer": []}}, "heads_per_layer"),
    "no heads": ({"facts": {"heads_per_layer": [8, 0]}}, "heads_per_layer"),
    "too many heads": ({"facts": {"heads_per_layer": [8, 10**6]}}, "heads_per_layer"),
    "heads that are a bool": ({"facts": {"heads_per_layer": [8, TRUE]}}, "heads_per_layer"),
    "heads that are NaN": ({"facts": {"heads_per_layer": float("nan")}}, "heads_per_layer"),
    "NaN in the facts": ({"facts": {"settings": float("nan")}}, "cannot be written as JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_parts_are_refused(name):
    changed, sentence = WRONG[name]
    with pytest.raises(InputError, match=sentence) as caught:
        matrix(**changed)
    assert str(caught.value).encode() and "\n" not in str(caught.value)


# ---- files that are not, or no longer, what was written ----


def changed_meta(**changes):
    def change(path):
        table = parquet.read_table(path)
        meta = json.loads(table.schema.metadata[META])
        parquet.write_table(table.replace_schema_metadata({META: json.dumps({**meta, **changes}).encode()}), path)

    return change


def changed_column(name, values):
    def change(path):
        table = parquet.read_table(path)
        place = table.column_names.index(name)
        column = values(table.column(name).to_pylist())
        parquet.write_table(table.set_column(place, name, [column]), path)

    return change


def integer_column(name):
    return changed_column(name, lambda values: list(range(len(values))))


def other_column_type(path):
    table = parquet.read_table(path)
    texts = [["correct"] * 3] * 4
    parquet.write_table(table.set_column(table.column_names.index("verdicts"), "verdicts", [texts]), path)


def without_column(path):
    table = parquet.read_table(path)
    parquet.write_table(table.drop_columns(["truncated"]), path)


def foreign(path):
    import pyarrow

    parquet.write_table(pyarrow.table({"a": [1]}), path)


def edited_bytes(path):
    data = bytearray(path.read_bytes())
    for place in range(40, 60):
        data[place] ^= 0xFF
    path.write_bytes(data)


def huge_footer(path):
    path.write_bytes(path.read_bytes()[:-8] + b"\xff\xff\xff\x7fPAR1")


BROKEN = {
    "missing": (lambda p: p.unlink(), "no such file"),
    "empty": (lambda p: p.write_bytes(b""), "not a parquet file"),
    "cut short": (lambda p: p.write_bytes(p.read_bytes()[:-100]), "not a parquet file, or one that was cut"),
    "cut in the middle": (lambda p: p.write_bytes(p.read_bytes()[:200] + p.read_bytes()[-900:]), "matrix|checksum"),
    "text": (lambda p: p.write_text("question,verdict\n" * 9), "not a parquet file"),
    "huge footer": (huge_footer, "description"),
    "edited bytes": (edited_bytes, "matrix"),
    "foreign parquet": (foreign, "not an outcome matrix"),
    "later format": (changed_meta(format=2), "update sprint-lmeval"),
    "facts edited": (changed_meta(facts={"model": "other"}), "changed after it had been written"),
    "facts a list": (changed_meta(facts=[]), "facts must be an object"),
    "candidates edited": (changed_meta(candidates=["base", "L0H1", "L1H2"]), "changed after"),
    "candidates of another number": (changed_meta(candidates=["base", "L0H0"]), "not 2 numbers a question"),
    "candidates unreadable": (changed_meta(candidates=["base", "L0H0", "import os"]), "cannot read the candidate"),
    "candidates no list": (changed_meta(candidates="base"), "must be a list"),
    "a verdict edited": (changed_column("verdicts", lambda v: [[0, 0, 0], *v[1:]]), "changed after"),
    "a verdict missing": (changed_column("verdicts", lambda v: [[0, 0], *v[1:]]), "not 3 numbers a question"),
    "verdicts null": (changed_column("verdicts", lambda v: [None, *v[1:]]), "not 3 numbers a question"),
    "verdicts as text": (other_column_type, "not whole numbers|matrix"),
    "a hash missing": (changed_column("hash", lambda v: [None, *v[1:]]), "no hash"),
    "ids that are numbers": (integer_column("id"), "its column id holds int64"),
    "texts that are numbers": (integer_column("text"), "its column text holds int64"),
    "a column missing": (without_column, "not an outcome matrix"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_sentence_that_names_the_file(name, tmp_path):
    path = tmp_path / "matrix.parquet"
    matrix().save(path)
    change, sentence = BROKEN[name]
    change(path)
    with pytest.raises(InputError, match=sentence) as caught:
        OutcomeMatrix.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


LIMITS = {"MAX_BYTES": 100, "MAX_QUESTIONS": 3, "MAX_CELLS": 11, "MAX_TEXT": 4, "MAX_TEXT_BYTES": 99, "MAX_PAGES": 8}


def test_a_file_that_unpacks_to_more_than_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "matrix.parquet"
    matrix().save(path)
    for name, value in LIMITS.items():
        with monkeypatch.context() as patched:
            patched.setattr(f"sprint_lmeval.outcomes.parquet.{name}", value)
            with pytest.raises(InputError, match=r"are read|is read"):
                OutcomeMatrix.load(path)
    assert len(OutcomeMatrix.load(path).questions) == 4


def test_what_is_saved_can_be_read(tmp_path, monkeypatch):
    for name in ("MAX_QUESTIONS", "MAX_CELLS", "MAX_TEXT", "MAX_TEXT_BYTES"):
        with monkeypatch.context() as patched:
            patched.setattr(f"sprint_lmeval.outcomes.parquet.{name}", LIMITS[name])
            with pytest.raises(InputError, match=r"are read|a matrix holds"):
                matrix().save(tmp_path / "matrix.parquet")
    assert list(tmp_path.iterdir()) == []
