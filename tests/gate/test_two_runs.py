"""Two runs of any task of the harness, paired by document."""

import json

import numpy as np
import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.runs.statistics import holm, mcnemar, paired_bootstrap
from tests.shared.gate_examples import DATE, write_run

ACC_A = [1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1]
ACC_B = [1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0]
F1_A = [0.5, 0.25, 1.0, 0.0, 0.75, 0.5, 0.5, 0.25, 1.0, 0.0, 0.75, 0.5]
F1_B = [0.75, 0.25, 1.0, 0.5, 1.0, 0.5, 0.75, 0.5, 1.0, 0.25, 1.0, 0.25]


def sample(number: int, chosen: str = "none", **metrics) -> dict:
    """A row as the harness writes it for a task that is not ours."""
    return {
        "doc_id": number,
        "doc": {"query": f"What is {number}?"},
        "target": "x",
        "arguments": {"gen_args_0": {"arg_0": "prompt"}},
        "resps": [["text"]],
        "filtered_resps": ["text"],
        "filter": chosen,
        "metrics": list(metrics),
        "doc_hash": f"{number:064x}",
        "prompt_hash": f"{number + 1:064x}",
        **metrics,
    }


def rows_of(acc, f1) -> list[dict]:
    return [sample(i, acc=float(x), f1=y) for i, (x, y) in enumerate(zip(acc, f1, strict=True))]


def write(folder, rows, task="arc_easy"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{DATE}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def compare(tmp_path, capsys, a, b, *options) -> tuple[str, dict]:
    report = tmp_path / "compare.json"
    assert main(["compare", str(a), str(b), "--json", str(report), *options]) == 0
    return capsys.readouterr().out, json.loads(report.read_text())


def refused(capsys, a, b, *options) -> str:
    assert main(["compare", str(a), str(b), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.fixture
def two(tmp_path):
    """Two runs of a foreign task, the second in another order of rows."""
    rows = rows_of(ACC_B, F1_B)
    return write(tmp_path / "a", rows_of(ACC_A, F1_A)), write(tmp_path / "b", rows[::-1])


def test_every_metric_by_hand(two, tmp_path, capsys):
    out, found = compare(tmp_path, capsys, *two)
    acc, f1 = found["tests"]
    a, b = np.array(ACC_A), np.array(ACC_B)
    exact = mcnemar(b == 1, a == 1)
    drawn = paired_bootstrap(np.array(F1_B), np.array(F1_A))
    assert (acc["metric"], acc["method"], acc["p"]) == ("acc", "exact McNemar", exact)
    assert (acc["a"], acc["b"], acc["documents"]) == (a.mean(), b.mean(), 12)
    assert (acc["a_higher"], acc["b_higher"]) == (1, 3) and acc["difference"] == pytest.approx(2 / 12)
    assert (f1["metric"], f1["method"], f1["p"]) == ("f1", "paired bootstrap", drawn.p)
    assert (f1["low"], f1["high"]) == (drawn.low, drawn.high)
    assert [acc["p_corrected"], f1["p_corrected"]] == holm([exact, drawn.p])
    assert "arc_easy, filter none: 12 documents" in out and "Holm's method for 2 tests" in out
    assert any(line.split()[:4] == ["acc", "0.5833", "0.7500", "+0.1667"] for line in out.splitlines())


def test_the_other_way_round_is_the_mirror_image(two, tmp_path, capsys):
    one, other = (compare(tmp_path, capsys, *pair)[1]["tests"] for pair in (two, two[::-1]))
    for left, right in zip(one, other, strict=True):
        assert left["difference"] == -right["difference"] and left["a_higher"] == right["b_higher"]
        assert left["p"] == right["p"] or left["method"] == "paired bootstrap"


def test_only_some_metrics_and_one_of_its_own_is_corrected_for_itself(two, tmp_path, capsys):
    _, found = compare(tmp_path, capsys, *two, "--metrics", "f1")
    assert [test["metric"] for test in found["tests"]] == ["f1"]
    assert found["tests"][0]["p"] == found["tests"][0]["p_corrected"]
    assert "have acc, f1" in refused(capsys, *two, "--metrics", "f2")
    assert "--metrics ',' given" in refused(capsys, *two, "--metrics", ",")


def test_filters_are_paired_with_themselves(tmp_path, capsys):
    a = [sample(i, chosen, exact_match=float(i % 2)) for chosen in ("strict", "flexible") for i in range(6)]
    b = [sample(i, chosen, exact_match=1.0) for chosen in ("flexible", "other") for i in range(6)]
    out, found = compare(tmp_path, capsys, write(tmp_path / "a", a), write(tmp_path / "b", b))
    assert [(test["filter"], test["b"]) for test in found["tests"]] == [("flexible", 1.0)] and "filter flexible" in out


def test_folders_are_paired_by_task(tmp_path, capsys):
    for task in ("arc_easy", "piqa"):
        write(tmp_path / "a" / "model", rows_of(ACC_A, F1_A), task)
    for task in ("piqa", "sciq"):
        write(tmp_path / "b" / "model", rows_of(ACC_B, F1_B), task)
    out, found = compare(tmp_path, capsys, tmp_path / "a", tmp_path / "b")
    assert {test["task"] for test in found["tests"]} == {"piqa"} and out.count("its task is in this run only") == 2
    (tmp_path / "b" / "model" / f"samples_piqa_{DATE}.jsonl").unlink()
    write(tmp_path / "b" / "model", rows_of(ACC_B, F1_B), "copa")
    assert "no task in common (arc_easy, piqa and copa, sciq)" in refused(capsys, tmp_path / "a", tmp_path / "b")


def test_documents_of_one_run_only_are_left_out_and_told(two, tmp_path, capsys):
    short = write(tmp_path / "short", rows_of(ACC_B, F1_B)[2:])
    out, found = compare(tmp_path, capsys, two[0], short)
    assert found["tests"][0]["documents"] == 10 and "2 documents are in this run only" in out
    late = write(tmp_path / "late", [sample(99, acc=1.0)])
    assert "no document in common" in refused(capsys, two[0], late)


def test_other_prompts_and_the_same_file_are_told(two, tmp_path, capsys):
    rows = [{**row, "prompt_hash": "0"} for row in rows_of(ACC_B, F1_B)]
    out, _ = compare(tmp_path, capsys, two[0], write(tmp_path / "c", rows))
    assert "12 of 12 prompts differ" in out
    assert "are the same file" in compare(tmp_path, capsys, two[0], two[0])[0]


def test_our_own_tasks_have_four_metrics(tmp_path, capsys):
    write_run(tmp_path / "a", ["ccii", "icii", "iiin", "ciii"] * 5)
    write_run(tmp_path / "b", ["cccc", "icii", "ciin", "ciii"] * 5)
    for folder in ("a", "b"):
        (file,) = (tmp_path / folder).glob("samples_*")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps({**r, "metrics": [n for n in r if "@" in n]}) + "\n" for r in rows))
    _, found = compare(tmp_path, capsys, tmp_path / "a", tmp_path / "b")
    assert [test["metric"] for test in found["tests"]] == ["pass@1", "pass@4", "mean@4", "maj@4"]
    _, found = compare(tmp_path, capsys, tmp_path / "a", tmp_path / "b", "--metrics", "pass@2,pass@3")
    assert [test["metric"] for test in found["tests"]] == ["pass@2", "pass@3"]


def test_samples_without_names_of_metrics_and_hashes(tmp_path, capsys):
    """As older versions of the harness wrote them."""
    old = [{k: v for k, v in row.items() if k not in ("metrics", "doc_hash", "filter")} for row in rows_of(ACC_A, F1_A)]
    _, found = compare(tmp_path, capsys, write(tmp_path / "a", old), write(tmp_path / "b", old))
    assert [test["metric"] for test in found["tests"]] == ["acc", "f1"]


def test_a_metric_that_is_no_number_is_left_out_and_told(two, tmp_path, capsys):
    for value in (None, [1, 2], "1", float("nan"), 1e999, int("9" * 400), 1e200):
        rows = rows_of(ACC_B, F1_B)
        rows[5]["f1"] = value
        out, found = compare(tmp_path, capsys, two[0], write(tmp_path / "c", rows))
        assert [test["metric"] for test in found["tests"]] == ["acc"]
        assert "f1 is not a finite number for every document; left out" in out


WRONG = {
    "no numbers": ([sample(0, word_perplexity=[1.0, 2])], "no metric with a number for every document"),
    "twice": ([sample(0, acc=1.0), sample(0, acc=1.0)], "line 2: document 0 is in it twice"),
    "two runs": ([sample(0, acc=1.0), {**sample(0, "x", acc=1.0), "doc_hash": "0"}], "line 2: document 0 has other"),
    "other data": ([{**sample(0, acc=1.0), "doc_hash": "0"}], "differ in the contents of document 0"),
    "no document": ([{"acc": 1.0}], "line 1: no doc_id, so not a sample of lm_eval"),
    "a list": ([[1]], "line 1: no doc_id"),
    "nothing": ([], "no metric with a number"),
    "other metrics": ([sample(0, bleu=1.0)], "have no metric in common"),
    "too many metrics": ([sample(0, **{f"m{i}": 1.0 for i in range(1001)})], "more than 1,000 metrics"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_paired_is_one_sentence(name, two, tmp_path, capsys):
    rows, sentence = WRONG[name]
    assert sentence in refused(capsys, two[0], write(tmp_path / "wrong", rows))


def test_files_that_are_not_there_or_not_meant(two, tmp_path, capsys):
    for name in ("", "nowhere", "x" * 5000):
        assert "does not exist" in refused(capsys, two[0], name)
    (tmp_path / "empty").mkdir()
    assert "holds no samples_" in refused(capsys, two[0], tmp_path / "empty")
    write(tmp_path / "a" / "again", rows_of(ACC_A, F1_A))
    assert "both of arc_easy" in refused(capsys, tmp_path / "a", two[1])
    content = two[0].read_text()
    assert "is not compared" in refused(capsys, *two, "--json", str(two[0])) and two[0].read_text() == content
    assert "--json ''" in refused(capsys, *two, "--json", "")
    two[1].write_text(two[1].read_text()[:-20])
    assert "line 12: not JSON" in refused(capsys, *two)
