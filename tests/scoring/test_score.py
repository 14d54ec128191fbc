"""`sprint-lmeval score`: what is chosen from stored answers, the file beside the samples, and what is refused."""

import json
import os
import subprocess
import sys

import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.runs.run import read_runs
from sprint_lmeval.runs.scores import read_scores
from tests.shared.gate_examples import DATE, TASK, row, write_rows, write_run

SCORES = f"scores_{TASK}_{DATE}.json"


def answered(number: int, letters: str, answers: str, **changed) -> dict:
    """A row whose answers are given; `-` stands for none."""
    given = [None if answer == "-" else answer for answer in answers.split()]
    return row(number, letters, answers=given, **changed)


ROWS = [
    answered(0, "icci", "7 1 1 8"),  # two of the right answer, first is wrong
    answered(1, "ciii", "2 5 5.0 5"),  # three say 5, and are wrong
    answered(2, "inci", "4 - 3 9"),  # all differ: the first
    answered(3, "nnnn", "- - - -"),
    answered(4, "cccc", "5 5 5.0 5"),
    answered(5, "iiii", "1 2 1 2"),
]


def score(folder, *options, rows=ROWS, **of_results) -> dict:
    write_rows(folder, rows, **of_results)
    assert main(["score", str(folder), *options]) == 0
    return json.loads((folder / SCORES).read_text())


def test_majority_by_equality_of_answers(tmp_path, capsys):
    found = score(tmp_path, "--with", "majority")
    majority = found["methods"]["majority"]
    assert majority["chosen"] == [1, 1, 0, None, 0, 0]
    assert majority["correct"] == [1, 0, 0, 0, 1, 0] and majority["accuracy"] == pytest.approx(2 / 6)
    assert majority["pass_n"] == pytest.approx(4 / 6) and majority["recovered_of_pass_n"] == 0.5
    first = found["methods"]["first"]
    assert first["correct"] == [0, 1, 0, 0, 1, 0] and majority["over_first"] == 0 and majority["over_first_p"] == 1
    assert found["questions"] == [f"test-{i}" for i in range(6)] and found["n"] == 4
    out = capsys.readouterr().out
    assert "Pass@N 66.7 %" in out and "majority" in out and "50.0 %" in out and "redundancy: distinct answers" in out


def test_mathematics_is_compared_by_algebra(tmp_path):
    rows = [
        answered(0, "iiii", r"\frac{1}{2} 2 \frac{2}{4} 3"),
        answered(1, "iici", r"x+1 2 \sqrt{8} 1+x"),
    ]
    majority = score(tmp_path, "--with", "majority", rows=rows, kind="math")["methods"]["majority"]
    assert majority["chosen"] == [0, 0]
    rows = [answered(0, "iicc", r"5 7 2\sqrt{2} \sqrt{8}")]
    assert score(tmp_path, "--with", "majority", rows=rows, kind="math")["methods"]["majority"]["chosen"] == [2]


def test_the_report_reads_the_file(tmp_path):
    score(tmp_path, "--with", "majority")
    (run,) = read_runs([tmp_path]).runs
    scores = read_scores(run)
    assert scores.methods["majority"]["recovered_of_pass_n"] == 0.5
    assert scores.redundancy["distinct_answers"] == pytest.approx((3 + 2 + 3 + 0 + 1 + 2) / 6)


def test_a_vote_weighted_by_the_selectors_scores(tmp_path):
    scores = [0.6, 0.2, 0.15, 0.05]
    rows = [{**r, "scores": scores} for r in ROWS]
    found = score(tmp_path, "--with", "majority,selector", rows=rows, sprint={"strategy": "selector", "selector": "s"})
    assert found["methods"]["selector"]["chosen"] == [0, 0, 0, None, 0, 0]
    assert found["methods"]["selector"]["settings"] == {"weight": "the score", "selector": "s"}
    distances = [{**r, "scores": [-4.0, -4.1, -4.2, -4.3]} for r in ROWS]
    found = score(tmp_path, "--with", "selector", rows=distances, sprint={"strategy": "selector", "selector": "s"})
    assert found["methods"]["selector"]["chosen"] == [1, 1, 0, None, 0, 0]
    assert found["methods"]["selector"]["settings"]["weight"].startswith("softmax")


def test_methods_are_added_and_scores_of_other_samples_replaced(tmp_path):
    rows = [{**r, "scores": [0.6, 0.2, 0.15, 0.05]} for r in ROWS]
    score(tmp_path, "--with", "majority", rows=rows)
    assert main(["score", str(tmp_path), "--with", "selector"]) == 0
    found = json.loads((tmp_path / SCORES).read_text())
    assert list(found["methods"]) == ["first", "majority", "selector"]
    other = score(tmp_path, "--with", "majority", rows=rows[:5])
    assert list(other["methods"]) == ["first", "majority"] and len(other["methods"]["first"]["chosen"]) == 5


def test_an_edited_rate_does_not_survive(tmp_path):
    score(tmp_path, "--with", "majority")
    found = json.loads((tmp_path / SCORES).read_text())
    found["methods"]["majority"]["accuracy"] = 1.0
    found["methods"]["mine"] = {**found["methods"]["majority"], "chosen": [0] * 6}
    (tmp_path / SCORES).write_text(json.dumps(found))
    assert main(["score", str(tmp_path), "--with", "majority"]) == 0
    methods = json.loads((tmp_path / SCORES).read_text())["methods"]
    assert methods["majority"]["accuracy"] == methods["mine"]["accuracy"] == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    "content",
    ["half", "[]", '{"version": 2, "methods": {}}', '{"version": 1}', '{"version": 1, "methods": [1]}'],
)
def test_foreign_files_of_that_name_stay(content, tmp_path, capsys):
    write_rows(tmp_path, ROWS)
    (tmp_path / SCORES).write_text(content)
    assert main(["score", str(tmp_path), "--with", "majority"]) == 2
    assert "move it away" in capsys.readouterr().err and (tmp_path / SCORES).read_text() == content


@pytest.mark.parametrize("chosen", [None, [0], ["0"] * 6, [9] * 6, [-1] * 6, [True] * 6])
def test_changed_choices_are_refused(chosen, tmp_path, capsys):
    score(tmp_path, "--with", "majority")
    found = json.loads((tmp_path / SCORES).read_text())
    found["methods"]["majority"]["chosen"] = chosen
    (tmp_path / SCORES).write_text(json.dumps(found))
    assert main(["score", str(tmp_path), "--with", "selector"]) == 2
    capsys.readouterr()
    rows = [{**r, "scores": [0.6, 0.2, 0.15, 0.05]} for r in ROWS]
    write_rows(tmp_path, rows)  # other samples: their old scores are no matter
    assert main(["score", str(tmp_path), "--with", "selector"]) == 0


def test_several_runs_and_ways_that_one_of_them_lacks(tmp_path, capsys):
    scored = [{**r, "scores": [0.6, 0.2, 0.15, 0.05]} for r in ROWS]
    write_rows(tmp_path / "one", scored, sprint={"strategy": "selector", "selector": "s"})
    write_rows(tmp_path / "two", ROWS)
    assert main(["score", str(tmp_path), "--with", "majority,selector"]) == 0
    out = capsys.readouterr().out
    assert "note: " in out and "holds no scores of a selector (strategy fixed)" in out
    assert list(json.loads((tmp_path / "two" / SCORES).read_text())["methods"]) == ["first", "majority"]
    assert "selector" in json.loads((tmp_path / "one" / SCORES).read_text())["methods"]


def test_no_question_solved_has_no_share(tmp_path, capsys):
    found = score(tmp_path, "--with", "majority", rows=[row(i, "iiii") for i in range(3)])
    assert found["methods"]["majority"]["recovered_of_pass_n"] is None
    assert " -  " in capsys.readouterr().out


def refused(tmp_path, capsys, *options, rows=ROWS, **of_results) -> str:
    folder = write_rows(tmp_path, rows, **of_results)
    assert main(["score", str(folder), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and not (tmp_path / SCORES).exists()
    return error


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--with", "oracle"], "allowed are majority, selector, rpc, reward"),
        (["--with", "majority,"], "--with '' given, allowed are majority"),
        (["--with", "rpc"], "needs a model: add --model_args"),
        (["--with", "reward"], "needs a model: add --reward-model"),
        (["--with", "majority", "--model_args", "pretrained=tiny"], "which is for --with rpc and confidence"),
        (["--with", "majority", "--reward-model", "x"], "which is for --with reward"),
        (["--with", "majority", "--device", "cpu"], "--device given"),
        (["--with", "majority", "--trust-remote-code"], "--trust-remote-code given"),
        (
            ["--with", "rpc", "--model_args", "dtype=float32"],
            "rpc, confidence and calculator need one: give pretrained",
        ),
        (["--with", "rpc", "--model_args", "pretrained=tiny,head_masks=L0H0"], "head_masks given"),
        (["--with", "rpc", "--model_args", "pretrained=./nowhere"], "pretrained=./nowhere"),
        (["--with", "reward", "--reward-model", "./nowhere"], "./nowhere could not be loaded"),
        (["--with", "confidence"], "needs a model: add --model_args"),
        (["--with", "confidence0", "--model_args", "pretrained=tiny"], "a window is a whole number of tokens"),
        (["--with", "confidence1.5", "--model_args", "pretrained=tiny"], "a window is a whole number of tokens"),
        (["--with", "majority4"], "--with 'majority4' given, allowed are majority"),
        (["--with", "selector"], "no scores of a selector"),
    ],
)
def test_mistakes_in_options(options, reason, tmp_path, capsys):
    assert reason in refused(tmp_path, capsys, *options)


def test_files_that_lack_what_is_needed(tmp_path, capsys):
    assert "answer_kind" in refused(tmp_path / "a", capsys, "--with", "majority", kind="picture")
    no_answers = [{**r, "answers": None} for r in ROWS]
    assert "no answers" in refused(tmp_path / "b", capsys, "--with", "majority", rows=no_answers)
    (tmp_path / "c").mkdir()
    write_run(tmp_path / "c", ["ci"])
    (tmp_path / "c" / f"samples_{TASK}_{DATE}.jsonl").unlink()
    assert main(["score", str(tmp_path / "c"), "--with", "majority"]) == 2
    assert "--log_samples" in capsys.readouterr().err
    error = refused(tmp_path / "d", capsys, "--with", "majority", rows=[row(0, "ci", scores=[float("nan")] * 2)])
    assert "line 1: nan stands among its scores" in error


def test_a_folder_in_the_place_of_the_scores(tmp_path, capsys):
    write_rows(tmp_path, ROWS)
    (tmp_path / SCORES).mkdir()
    assert main(["score", str(tmp_path), "--with", "majority"]) == 2
    assert "move it away" in capsys.readouterr().err


def test_names_that_an_encoding_does_not_have(tmp_path):
    write_rows(tmp_path, ROWS, model_args={"pretrained": "\u6a21\u578b"})
    command = [sys.executable, "-m", "sprint_lmeval.cli", "score", str(tmp_path), "--with", "majority"]
    ended = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout.startswith("\\u6a21\\u578b, fixed")


def test_published_runs_without_responses_have_a_majority(tmp_path, capsys):
    rows = [{k: v for k, v in r.items() if k not in ("resps", "arguments")} for r in ROWS]
    found = score(tmp_path, "--with", "majority", rows=rows)
    assert found["methods"]["majority"]["chosen"][0] == 1 and "distinct_texts" not in found["redundancy"]
    capsys.readouterr()
    assert main(["score", str(tmp_path), "--with", "rpc", "--model_args", "pretrained=tiny"]) == 2
    assert "responses were not kept" in capsys.readouterr().err


def test_hostile_answers_cost_their_limit_only(tmp_path):
    """Answers that algebra never ends on are classes of their own."""
    rows = [answered(0, "iiii", r"9^{9^{9^{9}}} 8^{8^{8^{8}}} 5 5")]
    majority = score(tmp_path, "--with", "majority", rows=rows, kind="math")["methods"]["majority"]
    assert majority["chosen"] == [2]
