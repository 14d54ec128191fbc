"""`sprint-lmeval report` as a whole: what it writes, refuses and leaves out."""

import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.runs.safe_text import csv_text, p_value, plain, points, table_text
from tests.shared.environments import REPOSITORY
from tests.shared.gate_examples import with_scores, write_run
from tests.shared.matrix_examples import SOLVED, matrix
from tests.shared.page_examples import packed

SPREAD, BASE = {"strategy": "spread"}, {"strategy": "base"}
SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)>"


def report(*arguments, capsys):
    """Return (exit status, what was said)."""
    status = main(["report", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out + said.err


def two_runs(folder):
    write_run(folder / "a", ["icii", "iiic", "cccc"], sprint=SPREAD)
    write_run(folder / "b", ["iiii", "iiii", "cccc"], sprint=BASE)
    return folder


def test_everything_is_written(tmp_path, capsys):
    two_runs(tmp_path / "in")
    matrix(SOLVED).save(tmp_path / "in" / "heads.parquet")
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 0 and "2 runs in 1 group, 1 outcome matrix" in said and "note" not in said
    names = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*")}
    figures = {f"figures/curves-1-tiny_passn.{kind}" for kind in ("png", "svg")}
    figures |= {f"figures/{f}-1-m-t_passn-test.{kind}" for f in ("bars", "maps", "violins") for kind in ("png", "svg")}
    assert names == figures | {"README.md", "leaderboard.csv", "comparisons.csv", "heads.csv", "index.html"}
    text = (tmp_path / "out" / "README.md").read_text()
    for name in figures:
        assert name.endswith("png") or f"]({name})" in text
    assert "| spread | 4 | 33.3 | 100.0 | 50.0 |" in text and "| base | 4 | 33.3 | 33.3 | 33.3 |" in text
    assert "-66.7 (-100.0 to +0.0) to spread" in text


def test_the_same_input_gives_the_same_bytes(tmp_path, capsys):
    two_runs(tmp_path / "in")
    matrix(SOLVED).save(tmp_path / "in" / "heads.parquet")
    for name in ("one", "two"):
        assert report(tmp_path / "in", "-o", tmp_path / name, capsys=capsys)[0] == 0
    files = [file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*.*")]
    assert len(files) == 13
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_an_older_report_is_replaced_and_nothing_else(tmp_path, capsys):
    two_runs(tmp_path / "in")
    matrix(SOLVED).save(tmp_path / "heads.parquet")
    out = tmp_path / "out"
    assert report(tmp_path / "in", "-o", out, "--matrix", tmp_path / "heads.parquet", capsys=capsys)[0] == 0
    (out / "figures" / "mine.png").write_bytes(b"")
    assert report(tmp_path / "in", "-o", out, capsys=capsys)[0] == 0
    assert {file.name for file in (out / "figures").glob("*.png")} == {"mine.png", "curves-1-tiny_passn.png"}
    assert not (out / "heads.csv").exists()


@pytest.mark.parametrize("name", ["README.md", "index.html", "leaderboard.csv"])
def test_another_page_is_never_replaced(tmp_path, capsys, name):
    two_runs(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 2 and f"{name} is there" in said and (tmp_path / "out" / name).read_text() == "mine"


FILES = ["README.md", "leaderboard.csv", "comparisons.csv", "heads.csv", "index.html"]
FIGURES = ["figures/curves-1-tiny_passn.png", "figures/maps-1-m-t_passn-test.svg"]


@pytest.mark.parametrize("names", [FILES + FIGURES, ["figures"], ["responses"], ["."]], ids=" ".join)
def test_links_are_replaced_and_what_they_lead_to_stays(tmp_path, capsys, names):
    two_runs(tmp_path / "in")
    matrix(SOLVED).save(tmp_path / "in" / "heads.parquet")
    out, old = tmp_path / "out", tmp_path / "old"
    assert report(tmp_path / "in", "-o", out, capsys=capsys)[0] == 0
    (out / "responses").mkdir()
    (out / "responses" / "block-0-0.js").write_text("old")
    old.mkdir()
    for number, name in enumerate(names):
        (out / name).rename(old / str(number))
        (out / name).symlink_to(old / str(number))
    before = contents(old)
    status, said = report(tmp_path / "in", "-o", out, capsys=capsys)
    assert status == 0 and ("was a link and is a folder now" in said) == (names == ["."])
    assert contents(old) == before and not any((out / name).is_symlink() for name in names)
    assert all((out / name).is_file() for name in FILES + FIGURES) and not (out / "responses").exists()


def contents(folder) -> dict:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_link_that_leads_nowhere_is_replaced(tmp_path, capsys):
    two_runs(tmp_path / "in")
    for name in ("out", "new"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    (tmp_path / "out" / "leaderboard.csv").unlink()
    (tmp_path / "out" / "leaderboard.csv").symlink_to(tmp_path / "nowhere")
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    assert not (tmp_path / "nowhere").exists() and (tmp_path / "out" / "leaderboard.csv").is_file()


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_the_folder_is_refused_and_never_waited_for(tmp_path, capsys, name):
    two_runs(tmp_path / "in")
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    (tmp_path / "out" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "out" / name)
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 2 and f"{name} is there and is no file" in said and said.count("\n") == 1


def test_a_pipe_among_the_matrices_is_told(tmp_path, capsys):
    two_runs(tmp_path / "in")
    os.mkfifo(tmp_path / "in" / "x.parquet")
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 0 and "x.parquet: no such file" in said
    for arguments in (["--matrix", tmp_path / "in" / "x.parquet"], [tmp_path / "in" / "x.parquet"]):
        status, said = report(tmp_path / "in" / "a", *arguments, "-o", tmp_path / "out", capsys=capsys)
        assert status == 2 and "x.parquet" in said and said.count("\n") == 1


def test_a_file_as_folder(tmp_path, capsys):
    two_runs(tmp_path / "in")
    (tmp_path / "out").write_text("mine")
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 2 and "which is a file" in said


def test_what_differs_is_told_and_with_strict_refused(tmp_path, capsys):
    write_run(tmp_path / "in" / "a", ["ci", "ii"], sprint=SPREAD)
    write_run(tmp_path / "in" / "b", ["ci"], sprint=BASE)
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", "--strict", capsys=capsys)
    assert status == 2 and said.count("\n") == 1 and "number of documents (2 and 1)" in said
    assert not (tmp_path / "out").exists()
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 0 and "2 runs in 2 groups" in said
    assert "\nnote: tiny_passn (group 2) stands apart because " in said and said.count("\n") == 2
    text = (tmp_path / "out" / "README.md").read_text()
    assert "### tiny_passn (group 2)" in text
    assert "differ in number of documents" in text
    notes = packed((tmp_path / "out" / "index.html").read_text("utf-8"), "core")["notes"]
    assert any(note.startswith("tiny_passn (group 2) stands apart because ") for note in notes)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (None, "does not exist"),
        ({}, "no results of a *_passn task there"),
        ({"results_1.json": "{"}, "not JSON"),
        ({"x.json": '{"a": 1}'}, "no results of lm_eval"),
        ({"x.parquet": "PAR1"}, "no results of a *_passn task there"),
    ],
)
def test_nothing_to_report_is_one_sentence(tmp_path, capsys, made, sentence):
    if made is not None:
        (tmp_path / "in").mkdir()
    for name, text in (made or {}).items():
        (tmp_path / "in" / name).write_text(text)
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 2 and sentence in said and said.count("\n") == 1 and str(tmp_path / "in") in said


@pytest.mark.parametrize("empty", [[""], ["in", "--matrix", ""], ["in", "-o", ""]])
def test_an_empty_name_is_refused(tmp_path, monkeypatch, capsys, empty):
    two_runs(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    status, said = report("-o", "out", *empty, capsys=capsys)
    assert status == 2 and said.startswith("error: '' given, needed is the name of a file or folder")
    assert said.count("\n") == 1 and [file.name for file in tmp_path.iterdir()] == ["in"]


def test_what_a_difference_is_stands_where_there_are_some(tmp_path, capsys):
    two_runs(tmp_path / "in")
    for folder, compared in (("in", True), ("in/a", False)):
        assert report(tmp_path / folder, "-o", tmp_path / "out", capsys=capsys)[0] == 0
        text = (tmp_path / "out" / "README.md").read_text()
        notes = packed((tmp_path / "out" / "index.html").read_text(), "core")["leaderboard"]["notes"]
        assert "Baselines: strategies that learned nothing" in text and notes[0].startswith("Rates are per cent")
        assert ("corrected by Holm's method for all comparisons\nof a task and model" in text) == compared
        assert ("Holm" in text) == compared and any("Holm" in note for note in notes) == compared


def test_one_bad_file_is_in_the_report(tmp_path, capsys):
    two_runs(tmp_path / "in")
    (tmp_path / "in" / "results_2.json").write_text('{"results": ')
    (tmp_path / "in" / "other.parquet").write_bytes(b"PAR1 or not")
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    text = (tmp_path / "out" / "README.md").read_text()
    assert status == 0
    for name in ("results_2.json", "other.parquet"):
        assert sum(name in line and line.startswith("note: ") for line in said.splitlines()) == 1
    assert text.partition("## Left out")[2].count("\n- ") == 2


def test_other_tables_are_told_as_what_they_are(tmp_path, capsys):
    import pyarrow
    import pyarrow.parquet

    two_runs(tmp_path / "in")
    for name in "abcd":
        pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), tmp_path / "in" / f"{name}.parquet")
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 0 and said.count("note: ") == 1 and "... (4 tables in all): no outcome matrices, left out." in said
    status, said = report(tmp_path / "in" / "a.parquet", "-o", tmp_path / "out", capsys=capsys)
    assert status == 2 and "not an outcome matrix but another table" in said and said.count("\n") == 1


def test_the_results_of_this_repository_make_a_report(tmp_path, capsys):
    """Rankings, samples and selectors among them are no results, and are reported as that."""
    status, said = report(REPOSITORY / "results", "-o", tmp_path / "out", capsys=capsys)
    assert status == 0 and re.search(r"\d+ runs in \d+ groups, \d+ outcome matrices", said)
    assert "damaged" not in said and "no outcome matrices, left out" in said


def test_a_report_without_texts(tmp_path, capsys):
    """Nothing of a problem, an answer or a response is in any file; verdicts and candidates are."""
    write_run(tmp_path / "in", ["ci"], changed={0: {"resps": [["secret-1", "x"]], "answers": ["secret-2", None]}})
    for options in ([], ["--no-texts"]):
        assert report(tmp_path / "in", "-o", tmp_path / "out", *options, capsys=capsys)[0] == 0
        page = (tmp_path / "out" / "index.html").read_text("utf-8")
        held = json.dumps([packed(page, "core"), packed(page, "block-0-0")])
        for text in ("secret-1", "secret-2", "What is 0 + 1?"):
            assert (text in held) == (not options)
        assert "L0H0" in held and ("(--no-texts)" in held) == bool(options)
    assert packed(page, "core")["tasks"][0]["questions"][0]["gold"] == []


def test_a_named_matrix_must_be_one(tmp_path, capsys):
    two_runs(tmp_path / "in")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 or not")
    for arguments in (["--matrix", tmp_path / "x.parquet"], [tmp_path / "x.parquet"]):
        status, said = report(tmp_path / "in", *arguments, "-o", tmp_path / "out", capsys=capsys)
        assert status == 2 and "x.parquet" in said and said.count("\n") == 1


def test_matrices_alone_make_a_report(tmp_path, capsys):
    matrix(SOLVED).save(tmp_path / "heads.parquet")
    status, said = report(tmp_path / "heads.parquet", "-o", tmp_path / "out", capsys=capsys)
    assert status == 0 and "1 outcome matrix;" in said
    assert "## Single heads" in (tmp_path / "out" / "README.md").read_text()
    assert not (tmp_path / "out" / "leaderboard.csv").exists()


def test_matrices_of_one_name_are_told_apart(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in "ab":
        matrix(SOLVED).save(tmp_path / "in" / f"{name}.parquet")
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "### m, t_passn, test\n" in text and "### m, t_passn, test \\#2\n" in text


def test_markup_in_names_and_responses_is_text(tmp_path, capsys):
    """Of a model, a question and a response; the page is checked in a browser (page/test_in_browser.py)."""
    doc = {"id": SCRIPT, "question": SCRIPT, "answer": SCRIPT, "subject": SCRIPT}
    changed = {0: {"doc": doc, "resps": [[SCRIPT, "|"]], "answers": [SCRIPT, "`|`"]}}
    arguments = {"pretrained": f"a|b`{SCRIPT}\n# head"}
    write_run(tmp_path / "in", ["ci", "ii"], changed=changed, model_args=arguments)
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    readme, page = ((tmp_path / "out" / name).read_text() for name in ("README.md", "index.html"))
    assert "<script" not in readme and "<img" not in readme and "\n# head" not in readme
    assert "a\\|b\\`&lt;script&gt;" in readme
    assert SCRIPT not in page and "<img src=x" not in page
    assert "<script>alert" not in (tmp_path / "out" / "figures" / "curves-1-tiny_passn.svg").read_text()


def test_texts_of_any_script(tmp_path, capsys):
    doc = {"id": "问题-1", "question": "二加二 \ud83d\ude00", "answer": "٤", "subject": "算术"}
    write_run(tmp_path / "in", ["ci", "ii"], changed={0: {"doc": doc}}, model_args={"pretrained": "модель-模型"})
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    for name in ("README.md", "leaderboard.csv", "figures/curves-1-tiny_passn.svg"):
        assert "модель-模型" in (tmp_path / "out" / name).read_text("utf-8")


HOSTILE_TEXTS = {
    "unclosed mathematics": "\\(" * 500_000,
    "unclosed environments": "\\begin{align}" * 70_000,
    "braces": ("$" + "{" * 1900 + "$ ") * 500,
    "primes": "".join(f"${number}" + "x'" * 990 + "$ " for number in range(500)),
    "dollars": "$" * 1_000_000,
    "backslashes": "\\" * 1_000_000,
    "blanks": " " * 1_000_000,
    "lines": "\n" * 1_000_000,
    "markup": "<b>" * 300_000,
    "pipes": "|" * 1_000_000,
    "unprintable": "\x1b\u202e\0" * 300_000,
    "one letter": "x" * 1_000_000,
}


@pytest.mark.parametrize("kind", HOSTILE_TEXTS)
def test_a_hostile_text_holds_up_nobody(tmp_path, capsys, kind):
    """In every field of a row and of the results: the report is made in seconds, and its files stay small."""
    text = HOSTILE_TEXTS[kind]
    doc = {"id": text, "question": text, "answer": text, "subject": text}
    changed = {0: {"doc": doc, "resps": [[text, "x"]], "answers": [text, text[1:]]}}
    sprint = {"strategy": text, "selector": text, "method": text}
    write_run(tmp_path / "in", ["ci", "ii"], changed=changed, sprint=sprint, model_args={"pretrained": text})
    start = time.process_time()
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    assert time.process_time() - start < 30
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "out").rglob("*.*")}
    assert sizes.pop("index.html") < 8_000_000 and max(sizes.values()) < 400_000


def test_half_a_character_stops_nothing(tmp_path, capsys):
    """JSON may hold half of a surrogate pair, which no file in UTF-8 can."""
    doc = {"id": "a\ud83d", "question": "b\ud83d", "answer": "c", "subject": "d\ud83d"}
    changed = {0: {"doc": doc, "resps": [["\ud83d", "x"]], "answers": ["\ud83d", "x"]}}
    write_run(tmp_path / "in", ["ci", "ii"], changed=changed, model_args={"pretrained": "m\ud83d"})
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0


def test_a_folder_of_a_thousand_runs(tmp_path, capsys):
    draw = np.random.default_rng(0)
    for number in range(1000):
        verdicts = ["".join(draw.choice(list("ci"), 2)) for _ in range(3)]
        sprint = {"strategy": "random", "strategy_seed": number % 10}
        write_run(tmp_path / "in" / str(number), verdicts, sprint=sprint, model_args={"pretrained": f"m{number // 10}"})
    status, said = report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)
    assert status == 0 and "1,000 runs in 1 group" in said and "94 of 100 models are not drawn" in said
    assert len((tmp_path / "out" / "leaderboard.csv").read_text().splitlines()) == 1001
    assert "800 more rows are in leaderboard.csv" in (tmp_path / "out" / "README.md").read_text()


def test_scores_beside_samples_are_shown(tmp_path, capsys):
    with_scores(write_run(tmp_path / "in", ["ic", "ii"]))
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| task | model | strategy | N | Pass@N | majority | majority vote | rpc |" in text
    assert "| tiny_passn | tiny | fixed | 2 | 50.0 | 0.0 (0 %) | 50.0 (75 %) | 25.0 (50 %) |" in text
    assert "Majority vote: the same, the first of equals. " in text
    assert "All candidates scored under the unpruned whole/model: rpc." in text
    assert "| task | model | strategy | N | distinct answers | equal pairs |" in text
    assert "| tiny_passn | tiny | fixed | 2 | - | 0.12 |" in text


def test_a_run_whose_store_and_tokens_are_unknown_is_shown_with_dashes(tmp_path, capsys):
    next(write_run(tmp_path / "in", ["ic", "ii"], sprint=SPREAD).glob("samples_*")).unlink()
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    line = next(x for x in (tmp_path / "out" / "README.md").read_text().splitlines() if x.startswith("| spread |"))
    assert line.endswith("| - | - | - | - |")


def test_no_model_and_no_torch_is_needed(tmp_path):
    two_runs(tmp_path / "in")
    code = (
        "import sys; from sprint_lmeval.cli import main\n"
        f"status = main(['report', {str(tmp_path / 'in')!r}, '-o', {str(tmp_path / 'out')!r}])\n"
        "heavy = {'torch', 'transformers', 'lm_eval', 'datasets', 'sympy'} & set(sys.modules)\n"
        "sys.exit(f'{status} {heavy}' if status or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- words and numbers ----


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("<b> & </b>", "&lt;b&gt; &amp; &lt;/b&gt;"),
        ("[x](http://y)", "\\[x\\](http:&#8203;//y)"),
        ("two\nlines\x1b[0m", "two lines \\[0m"),
        ("$x$ __y__ *z*", "\\$x\\$ \\_\\_y\\_\\_ \\*z\\*"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_text_is_no_markup(text, shown):
    assert plain(text) == shown


def test_numbers_in_tables_and_csv():
    assert table_text([["a", "b"], ["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert csv_text([["-x", 0.1234567, None, float("nan"), True, 12]]) == "'-x,0.123457,,,True,12\n"
    assert (points(-0.0001), points(-0.012), points(0.0)) == ("+0.0", "-1.2", "+0.0")
    assert (p_value(0.0004), p_value(0.04), p_value(1.0)) == ("< 0.001", "0.040", "1.000")


def test_a_comparison_file_holds_every_pair(tmp_path, capsys):
    two_runs(tmp_path / "in")
    assert report(tmp_path / "in", "-o", tmp_path / "out", capsys=capsys)[0] == 0
    lines = (tmp_path / "out" / "comparisons.csv").read_text().splitlines()
    assert lines[0].split(",")[4:6] == ["k", "baseline"] and [line.split(",")[4] for line in lines[1:]] == ["1", "4"]
