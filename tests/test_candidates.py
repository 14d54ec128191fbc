"""Candidates: notation, lists and files, and one clear sentence for whatever cannot be read."""

import json
import os
import subprocess
import sys

import pytest

from sprint_lmeval.candidates import BASE, MAX_CANDIDATES, MAX_FILE_BYTES, Candidate, parse_candidates, some_of


@pytest.mark.parametrize(
    ("text", "heads", "written"),
    [
        ("base", (), "base"),
        (" base ", (), "base"),
        ("L5H0", ((5, 0),), "L5H0"),
        ("L10H3+L5H0", ((5, 0), (10, 3)), "L5H0+L10H3"),
        ("L5H10+L5H2", ((5, 2), (5, 10)), "L5H2+L5H10"),
        (" L5H0 + L10H3 ", ((5, 0), (10, 3)), "L5H0+L10H3"),
        ("L05H00", ((5, 0),), "L5H0"),
        ("L9999H9999", ((9999, 9999),), "L9999H9999"),
    ],
)
def test_parse_and_write(text, heads, written):
    candidate = Candidate.parse(text)
    assert candidate.heads == heads
    assert str(candidate) == written
    assert Candidate.parse(written) == candidate


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "L5", "H3", "L-1H2", "L5H0+", "+L5H0", "L5H0++L6H0", "L5H0+base", "base+L5H0", "Base", "l5h0", "L5H",
        "L5 H0", "L5H0 L6H0", "L5H0;L6H0", "5.0", "L1e3H0", "L٥H0", "L99999999999999999999H0", "L5H10000",
        "L" + "9" * 10_000 + "H0", "L5H0\x00", "none", "L5H0-L5H3", "(5, 0)",
    ],
)  # fmt: skip
def test_unreadable_notation(text):
    with pytest.raises(ValueError, match="cannot read the candidate") as error:
        Candidate.parse(text)
    assert "such as L5H0 or L5H0+L10H3" in str(error.value)
    assert len(str(error.value)) < 400


def test_a_head_twice_in_one_candidate():
    with pytest.raises(ValueError, match="L5H0 is given twice in one candidate"):
        Candidate.parse("L5H0+L6H1+L5H0")


@pytest.mark.parametrize(
    "heads", [((-1, 2),), ((5,),), ((5, 0, 1),), (5, 0), ((5, 10_000),), ((True, 0),), (("5", 0),)]
)
def test_heads_that_are_none(heads):
    with pytest.raises(ValueError, match="head"):
        Candidate(heads)


def test_a_candidate_is_a_value():
    first, second = Candidate(((10, 3), (5, 0))), Candidate.parse("L5H0+L10H3")
    assert first == second
    assert len({first, second, BASE, Candidate()}) == 2
    assert Candidate([[5, 0]]).heads == ((5, 0),)
    with pytest.raises(AttributeError):
        first.heads = ()


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("base:L5H0:L5H0+L10H3", ["base", "L5H0", "L5H0+L10H3"]),
        ("L10H3", ["L10H3"]),
        ("L2H0:base", ["L2H0", "base"]),
        (["base", "L5H0"], ["base", "L5H0"]),
        ((BASE, Candidate(((5, 0),))), ["base", "L5H0"]),
        ([BASE, "L5H0"], ["base", "L5H0"]),
        (Candidate(((5, 0),)), ["L5H0"]),
        ((text for text in ("L1H1", "L0H0")), ["L1H1", "L0H0"]),
    ],
)
def test_lists_keep_their_order(source, written):
    assert [str(candidate) for candidate in parse_candidates(source)] == written


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "the list of candidates is empty"),
        ("  ", "the list of candidates is empty"),
        ([], "the list of candidates is empty"),
        ("base:", "place 2: cannot read the candidate ''"),
        ("base::L5H0", "place 2: cannot read"),
        ("base:L5", "place 2: cannot read the candidate 'L5'"),
        ("base,L5H0", "separated by colons, not commas"),
        ("L5H0:base:L5H0", "'L5H0' twice, at place 1 and place 3"),
        ("L5H0+L6H1:L6H1+L5H0", "'L5H0\\+L6H1' twice"),
        (["base", 5], "place 2: a candidate is text such as .*, not int"),
        ([["L5H0"]], "not a list"),
        (5, "not int"),
        (None, "not nothing"),
        ({"candidates": ["base"]}, "not an object"),
        (b"base", "not bytes"),
        (["base"] * (MAX_CANDIDATES + 1), "at most 100,000 are allowed"),
    ],
)
def test_lists_that_cannot_be_read(source, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        parse_candidates(source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("heads.txt", "# the list\nbase\n\nL5H0  # first\r\n  L10H3+L5H0\n"),
        ("heads.TXT", "\ufeffbase\nL5H0\nL5H0+L10H3"),
        ("heads.json", '["base", "L5H0", "L5H0+L10H3"]'),
        ("heads.yaml", "# the list\n- base\n- L5H0\n- 'L5H0+L10H3'\n"),
        ("heads.yml", "[base, L5H0, L5H0+L10H3]"),
    ],
)
@pytest.mark.parametrize("kind", [str, "path"])
def test_files(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    source = str(path) if kind is str else path
    assert [str(candidate) for candidate in parse_candidates(source)] == ["base", "L5H0", "L5H0+L10H3"]


def test_a_file_named_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heads.txt").write_text("L1H1")
    assert parse_candidates("heads.txt") == [Candidate(((1, 1),))]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", "", "is empty"),
        ("a.txt", "# nothing\n\n", "is empty"),
        ("a.txt", "base\nL5\n", "line 2: cannot read the candidate 'L5'"),
        ("a.txt", "# x\nL5H0\nbase\nL5H0\n", "'L5H0' twice, at line 2 and line 4"),
        ("a.txt", "base:L5H0", "line 1: cannot read"),
        ("a.json", "", "is empty"),
        ("a.json", "[]", "is empty"),
        ("a.json", "[\n'base']", r"not valid JSON \(line 2"),
        ("a.json", '{"candidates": ["base"]}', "must hold a list of strings, not an object"),
        ("a.json", '"base"', "must hold a list of strings, not text"),
        ("a.json", "[[5, 0]]", "place 1: a candidate is text such as .*, not a list"),
        ("a.json", "[null]", "not nothing"),
        ("a.json", "[" * 200_000, "nested too deeply|not valid JSON"),
        ("a.yaml", "", "is empty"),
        ("a.yaml", "[]", "is empty"),
        ("a.yaml", "candidates: [base]", "must hold a list of strings"),
        ("a.yaml", "base", "must hold a list of strings"),
        ("a.yaml", "- base\n- {L5: H0}", "place 2 is a mapping"),
        ("a.yaml", "- base\n- 5\n", "place 2: cannot read the candidate '5'"),
        ("a.yaml", "- base\n- 'L5H0", r"not valid YAML \(line"),
        ("a.yaml", "- [base", "place 1 is a sequence"),
        ("a.yaml", "- base\n---\n- L5H0\n", r"a second document \(line 2\)"),
        ("a.yaml", "- &a base\n- *a", "place 2 is an alias"),
        ("a.yaml", "[base]]", "not valid YAML"),
        ("a.json", f"[{'9' * 400}]", "place 1: a candidate is text such as .*, not float"),
        ("a.yaml", "- !!python/object/apply:os.system ['true']", "place 1 is a sequence"),
        ("a.yaml", "[" * 500_000, "place 1 is a sequence"),
        ("a.yaml", "{" * 500_000, "must hold a list of strings"),
        ("a.yaml", "- " * 500_000, "place 1 is a sequence"),
        ("a.yaml", "? " * 500_000, "must hold a list of strings"),
        ("a.yaml", "- " + "!!map {" * 70_000, "place 1 is a mapping"),
        ("a.csv", "base", "must end in .txt, .json, .yaml, .yml"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=sentence) as error:
        parse_candidates(tmp_path / name)
    assert "\n" not in str(error.value)


def test_an_alias_bomb_is_never_built(tmp_path):
    levels = ["- &a0 [base, base]"] + [f"- &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    (tmp_path / "bomb.yaml").write_text("\n".join(levels))
    with pytest.raises(ValueError, match="place 1 is a sequence"):
        parse_candidates(tmp_path / "bomb.yaml")


@pytest.mark.parametrize("content", [b"\x80\x81\xff\xfe", b"base\x00", bytes(range(256)), "base".encode("utf-16")])
@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.yaml"])
def test_binary_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="not a text file in UTF-8"):
        parse_candidates(tmp_path / name)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ValueError, match=f"1,073,741,824 bytes, at most {MAX_FILE_BYTES:,} are read"):
        parse_candidates(path)


def test_things_that_are_not_files(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        parse_candidates(tmp_path / "missing.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(ValueError, match="not a regular file"):
        parse_candidates(tmp_path / "folder.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ValueError, match="not a regular file"):
        parse_candidates(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="not a regular file"):
        parse_candidates(tmp_path / "zero.txt")
    with pytest.raises(ValueError, match=r"must end in \.txt"):
        parse_candidates("/dev/zero")


def test_a_long_list_is_quick(tmp_path):
    written = [f"L{layer}H{head}" for layer in range(100) for head in range(1_000)]
    (tmp_path / "long.json").write_text(json.dumps(written)[: MAX_FILE_BYTES - 10].rpartition(",")[0] + "]")
    assert len(parse_candidates(tmp_path / "long.json")) > 80_000


def test_no_torch_is_imported():
    code = "import sys, sprint_lmeval.candidates; print({'torch', 'yaml', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_messages_name_the_first_few():
    assert some_of([BASE]) == "1 candidate (base)"
    seven = parse_candidates(":".join(f"L0H{head}" for head in range(7)))
    assert some_of(seven) == "7 candidates (L0H0 L0H1 L0H2 L0H3 L0H4 L0H5 ...)"
