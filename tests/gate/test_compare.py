"""The gate on made-up runs: equal, better, worse by chance or for sure, and everything that is not comparable."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.gate.compare import outcome_of
from sprint_lmeval.gate.publish import Outcome, annotations
from sprint_lmeval.gate.rules import Rules, make_rules
from sprint_lmeval.passn.metrics import unbiased_pass_at_k
from sprint_lmeval.runs.safe_text import one_line
from sprint_lmeval.runs.statistics import holm, mcnemar, paired_bootstrap
from tests.shared.gate_examples import DATE, TASK, row, write_rows, write_run

GOOD = ["ccii", "icii", "iiin", "ciii"] * 10  # pass@1 50 %, pass@4 75 %, mean@4 25 %


def check(tmp_path, capsys, current, *options, baseline=GOOD, changed=None, **of_results):
    """Exit status, standard output and error, JSON of a gate between two runs."""
    before = write_run(tmp_path / "baseline", baseline)
    now = write_run(tmp_path / "current", current, changed=changed, **of_results)
    return command(tmp_path, capsys, before, now, *options)


def command(tmp_path, capsys, before, now, *options):
    report = tmp_path / "gate.json"
    status = main(["gate", "--baseline", str(before), "--current", str(now), "--json", str(report), *options])
    shown = capsys.readouterr()
    found = json.loads(report.read_text())
    assert found["exit_status"] == status and found["outcome"] == ["passed", "regressed", "not_comparable"][status]
    return status, shown.out, shown.err, found


def metrics_of(found) -> dict:
    return {test["metric"]: test for test in found["comparisons"][0]["metrics"]}


def worse(count: int, verdicts=GOOD) -> list[str]:
    """The same run with `count` questions fewer solved at all."""
    solved = [number for number, letters in enumerate(verdicts) if "c" in letters]
    lost = set(solved[:count])
    return ["i" * len(letters) if number in lost else letters for number, letters in enumerate(verdicts)]


# ---- constructed cases ----


def test_equal_runs_pass(tmp_path, capsys):
    status, out, err, found = check(tmp_path, capsys, GOOD)
    assert (status, err) == (0, "")
    assert out.startswith("gate: passed") and "40 questions, N = 4" in out
    assert list(metrics_of(found)) == ["pass@1", "pass@4", "mean@4"]
    assert all(t["change"] == 0 and t["p"] == 1 and t["outcome"] == "passed" for t in metrics_of(found).values())
    assert metrics_of(found)["pass@4"]["baseline"] == 0.75 and metrics_of(found)["mean@4"]["current"] == 0.25


def test_better_runs_pass(tmp_path, capsys):
    status, _, _, found = check(tmp_path, capsys, ["cccc"] * 40)
    assert status == 0
    assert metrics_of(found)["pass@4"]["change"] == 0.25 and len(metrics_of(found)["pass@4"]["better"]) == 10


def test_worse_for_sure_regresses(tmp_path, capsys):
    status, out, _, found = check(tmp_path, capsys, worse(12))
    lost = metrics_of(found)["pass@4"]
    assert status == 1 and lost["outcome"] == "regressed"
    assert lost["p"] == pytest.approx(0.5**12) and len(lost["worse"]) == 12
    assert lost["change"] == pytest.approx(-0.3) and lost["low"] < -0.3 < lost["high"] < 0
    assert "gate: regressed" in out and "pass@4 got worse on test-0, test-1" in out and "... (12 in all)" in out


def test_all_of_k_can_be_compared_too(tmp_path, capsys):
    before, now = ["cccc", "ccci"] * 10, ["cccc", "icci"] * 10
    status, _, _, found = check(tmp_path, capsys, now, "--metrics", "all@1,all@3,all@4", baseline=before)
    tests = metrics_of(found)
    assert status == 1 and {name: test["change"] for name, test in tests.items()} == {
        "all@1": -0.5,
        "all@3": -0.5,
        "all@4": 0,
    }
    assert tests["all@3"]["method"] == "exact McNemar" and tests["all@3"]["p"] == 0.5**10


def test_worse_by_chance_passes(tmp_path, capsys):
    status, out, _, found = check(tmp_path, capsys, worse(3))
    assert status == 0 and "within chance" in out
    lost = metrics_of(found)["pass@4"]
    assert lost["p"] == 0.125 and len(lost["worse"]) == 3 and lost["outcome"] == "within chance"


def test_gains_are_weighed_against_losses(tmp_path, capsys):
    """Twelve lost and ten gained are chance, though twelve lost alone are not."""
    gained = ["ciii" if letters == "iiin" else letters for letters in worse(12)]
    status, _, _, found = check(tmp_path, capsys, gained)
    lost = metrics_of(found)["pass@4"]
    assert status == 0 and (len(lost["worse"]), len(lost["better"])) == (12, 10)


def test_the_order_of_questions_does_not_matter(tmp_path, capsys):
    before = write_run(tmp_path / "baseline", GOOD)
    rows = [row(number, letters) for number, letters in enumerate(worse(12))]
    plain = write_rows(tmp_path / "plain", rows)
    turned = write_rows(tmp_path / "turned", rows[::-1])
    one, other = (command(tmp_path, capsys, before, now)[3] for now in (plain, turned))
    assert metrics_of(one) == metrics_of(other)


def test_p_values_are_those_of_the_tests_and_corrected_for_their_number(tmp_path):
    now = ["icii", "iiii", "ciii", "icii"] * 10
    before, now = write_run(tmp_path / "baseline", GOOD), write_run(tmp_path / "current", now)
    (comparison,) = outcome_of(str(before), str(now), Rules(0.05, {})).comparisons
    old, new = comparison.baseline, comparison.current
    tests = {test.metric: test for test in comparison.tests}
    assert tests["pass@1"].p == mcnemar(new.correct[:, 0], old.correct[:, 0], "less")
    assert tests["pass@4"].p == mcnemar(new.correct.any(1), old.correct.any(1), "less")
    expected = paired_bootstrap(new.correct.mean(1), old.correct.mean(1), alternative="less")
    assert (tests["mean@4"].p, tests["mean@4"].low, tests["mean@4"].high) == (expected.p, *expected[1:3])
    assert [t.p_corrected for t in comparison.tests] == holm([t.p for t in comparison.tests])


def test_a_mean_can_fall_while_passing_stays(tmp_path, capsys):
    status, _, _, found = check(tmp_path, capsys, ["ciii"] * 40, baseline=["cccc"] * 40)
    outcomes = {name: test["outcome"] for name, test in metrics_of(found).items()}
    assert status == 1 and outcomes == {"pass@1": "passed", "pass@4": "passed", "mean@4": "regressed"}
    assert metrics_of(found)["mean@4"]["method"] == "paired bootstrap"


# ---- tolerance, level, metrics ----


@pytest.mark.parametrize(
    ("options", "status", "outcome"),
    [
        (["--tolerance", "0.05"], 1, "regressed"),  # 7.5 points lost, whatever the chance
        (["--tolerance", "0.075"], 0, "within tolerance"),
        (["--tolerance", "pass@4=0.1", "--tolerance", "0.01", "--metrics", "pass@4"], 0, "within tolerance"),
        (["--tolerance", "0.05", "--alpha", "0.05"], 0, "within chance"),
        (["--alpha", "0.4"], 1, "regressed"),
        (["--tolerance", "pass@1=0.4", "--metrics", "pass@1,pass@4"], 0, "not limited"),
    ],
)
def test_tolerance_and_level(options, status, outcome, tmp_path, capsys):
    found = check(tmp_path, capsys, worse(3), *options)
    assert found[0] == status and metrics_of(found[3])["pass@4"]["outcome"] == outcome


def test_a_significant_drop_within_the_tolerance_passes(tmp_path, capsys):
    status, _, _, found = check(tmp_path, capsys, worse(12), "--alpha", "0.05", "--tolerance", "0.3")
    assert status == 0 and metrics_of(found)["pass@4"]["outcome"] == "within tolerance"


def test_any_metric_may_be_named(tmp_path, capsys):
    current = ["nttn" if letters == "ciii" else letters for letters in GOOD]
    names = "pass@2,maj@4,no_answer,grader_failed,truncated"
    cut = {number: {"truncated_rows": [True, False, False, False]} for number in range(20)}
    status, _, _, found = check(tmp_path, capsys, current, "--metrics", names, changed=cut)
    tests = metrics_of(found)
    assert status == 1 and list(tests) == names.split(",")
    assert tests["no_answer"]["change"] == pytest.approx(0.125) and tests["no_answer"]["outcome"] == "regressed"
    assert tests["no_answer"]["low"] > 0 and len(tests["no_answer"]["worse"]) == 10
    assert tests["grader_failed"]["current"] == pytest.approx(0.125)
    assert tests["truncated"]["current"] == pytest.approx(0.125) and tests["truncated"]["outcome"] == "regressed"


def test_rates_that_fall_are_no_regression_where_lower_is_better(tmp_path, capsys):
    current = [letters.replace("n", "i") for letters in GOOD]
    status, _, _, found = check(tmp_path, capsys, current, "--metrics", "no_answer", "--tolerance", "0")
    assert status == 0 and metrics_of(found)["no_answer"]["change"] < 0


def test_one_response_that_stands_for_all_is_tested_once(tmp_path, capsys):
    base = {"candidates": ["base"] * 4}
    same = ["cccc", "iiii"] * 10
    before = write_rows(tmp_path / "b", [row(i, v, **base) for i, v in enumerate(same)], sprint={"strategy": "base"})
    _, _, _, found = command(tmp_path, capsys, before, before)
    assert list(metrics_of(found)) == ["pass@1"]


def test_samples_have_no_first_answer(tmp_path, capsys):
    drawn = [
        row(i, v) | {f"unbiased_pass@{k}": unbiased_pass_at_k(4, v.count("c"), k) for k in range(1, 5)}
        for i, v in enumerate(GOOD)
    ]
    before = write_rows(tmp_path / "b", drawn, sprint={"strategy": "sample"})
    _, _, _, found = command(tmp_path, capsys, before, before)
    assert list(metrics_of(found)) == ["pass@4", "mean@4"]


def test_a_metric_that_the_files_do_not_tell(tmp_path, capsys):
    without = {number: {"maj@4": None, "truncated_rows": None} for number in range(40)}
    for name in ("maj@4", "truncated"):
        status, _, err, _ = check(tmp_path, capsys, GOOD, "--metrics", name, changed=without)
        assert status == 2 and "does not tell " + name in err and "leave it out of --metrics" in err


def test_a_gate_that_cannot_fail_is_refused(tmp_path, capsys):
    few = ["ciii"] * 5 + ["iiii"] * 35
    status, _, err, _ = check(tmp_path, capsys, few, baseline=few)
    assert status == 2 and "would pass whatever happens" in err
    status, _, _, _ = check(tmp_path, capsys, few, "--tolerance", "0.05", baseline=few)
    assert status == 0
    for options in (["0.125"], ["pass@1=0.125"], ["0.01", "--metrics", "pass@1", "--tolerance", "pass@1=0.2"]):
        status, _, err, _ = check(tmp_path, capsys, few, "--tolerance", *options, baseline=few)
        assert status == 2 and "cannot drop by more than" in err and "would pass whatever happens" in err
    status, _, err, _ = check(tmp_path, capsys, GOOD, "--metrics", "mean@4", "--alpha", "0.00005")
    assert status == 2 and "no drop of it alone is significant" in err  # a bootstrap's least p is 1 / 10,001


def test_one_metric_that_cannot_fail_is_told(tmp_path, capsys):
    few = ["ciii"] * 5 + ["iicc"] * 35
    status, out, _, found = check(tmp_path, capsys, few, baseline=few)
    assert status == 0 and "pass@1 cannot fail" in out and "pass@1 cannot fail" in found["comparisons"][0]["notes"][0]


# ---- not comparable ----


def drop_last(rows):
    return rows[:-1]


def another_text(rows):
    return [rows[0] | {"doc_hash": "e" * 64}, *rows[1:]]


def another_question(rows):
    return [*rows[:-1], row(99, "ciii")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop_last, "40 and 39 questions; 1 are not in the current run (the first: test-39): give the --limit"),
        (another_question, "1 are not in the current run (the first: test-39)"),
        (another_text, "1 questions have the same id and other contents (the first: test-0)"),
    ],
)
def test_other_questions_are_not_compared(change, reason, tmp_path, capsys):
    before = write_run(tmp_path / "baseline", GOOD)
    rows = change([row(number, letters) for number, letters in enumerate(GOOD)])
    status, out, err, found = command(tmp_path, capsys, before, write_rows(tmp_path / "current", rows))
    assert status == 2 and reason in err and reason in found["reason"] and "gate: not comparable" in out


def test_more_questions_than_the_baseline_has(tmp_path, capsys):
    status, _, err, _ = check(tmp_path, capsys, [*GOOD, "iiii"])
    assert status == 2 and "40 and 41 questions; 1 are not in the baseline (the first: test-40)" in err


@pytest.mark.parametrize(
    ("of_results", "word", "reason"),
    [
        ({"sprint": {"grader": {"sympy": "1.15"}}}, "grader", "their grader differ"),
        (
            {"sprint": {"generation": [{"greedy": True, "max_new_tokens": 9, "until": ["\n\n"]}]}},
            "generation",
            "limit of new tokens differ (160 and 9)",
        ),
        ({"sprint": {"prompt_form": "q" * 64}}, "prompts", "form of the prompts of tiny differ"),
    ],
)
def test_other_settings_are_not_compared_unless_allowed(of_results, word, reason, tmp_path, capsys):
    status, _, err, _ = check(tmp_path, capsys, GOOD, **of_results)
    assert status == 2 and reason in err and f"--allow {word}" in err
    status, out, _, _ = check(tmp_path, capsys, GOOD, "--allow", word, **of_results)
    assert status == 0 and f"as --allow {word} permits" in out


def test_other_prompts_of_one_model_are_not_compared(tmp_path, capsys):
    other = {5: {"prompt_hash": "a" * 64}}
    assert check(tmp_path, capsys, GOOD, changed=other)[0] == 2
    assert check(tmp_path, capsys, GOOD, "--allow", "prompts", changed=other)[0] == 0
    another_model = {"model_args": {"pretrained": "somebody/else"}}
    status, out, _, _ = check(tmp_path, capsys, GOOD, changed=other, **another_model)
    assert status == 0 and "note: model: tiny -> somebody/else" in out


def test_another_n_or_task_is_not_compared(tmp_path, capsys):
    status, _, err, _ = check(tmp_path, capsys, ["cci"] * 40)
    assert status == 2 and "4 and 3 responses per question" in err
    before = write_run(tmp_path / "b", GOOD)
    now = write_run(tmp_path / "n", GOOD, task="other_passn")
    status, _, err, _ = command(tmp_path, capsys, before, now)
    assert status == 2 and "tasks are tiny_passn and other_passn" in err


def test_another_strategy_and_other_weights_are_compared_and_told(tmp_path, capsys):
    other = {"strategy": "spread", "fingerprint": "0" * 64}
    status, out, _, _ = check(tmp_path, capsys, GOOD, sprint=other)
    assert status == 0 and "note: strategy: fixed -> spread" in out and "note: fingerprint: ffff" in out


@pytest.mark.parametrize("which", ["samples", "results"])
def test_half_written_files(which, tmp_path, capsys):
    before, now = write_run(tmp_path / "b", GOOD), write_run(tmp_path / "n", GOOD)
    name = f"samples_{TASK}_{DATE}.jsonl" if which == "samples" else f"results_{DATE}.json"
    content = (now / name).read_text()
    (now / name).write_text(content[: len(content) // 2])
    for given in (now, now / f"results_{DATE}.json"):
        status, out, err, _ = command(tmp_path, capsys, before, given)
        assert status == 2 and err.startswith("error: ") and name in out + err


def test_samples_cut_at_the_end_of_a_line(tmp_path, capsys):
    before, now = write_run(tmp_path / "b", GOOD), write_run(tmp_path / "n", GOOD)
    path = now / f"samples_{TASK}_{DATE}.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:30]))
    status, _, err, _ = command(tmp_path, capsys, before, now / f"results_{DATE}.json")
    assert status == 2 and "30 questions, and its run had 40" in err


def test_samples_absent(tmp_path, capsys):
    before, now = write_run(tmp_path / "b", GOOD), write_run(tmp_path / "n", GOOD)
    (now / f"samples_{TASK}_{DATE}.jsonl").unlink()
    status, _, err, _ = command(tmp_path, capsys, before, now)
    assert status == 2 and "has no samples beside it" in err and "--log_samples" in err


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', "not json", "", '{"sprint_lmeval_baseline": 1}', "\x00\xff"])
def test_foreign_files(content, tmp_path, capsys):
    before = write_run(tmp_path / "b", GOOD)
    foreign = tmp_path / "foreign.json"
    foreign.write_text(content, encoding="latin-1")
    for pair in ((before, foreign), (foreign, before)):
        status, _, err, _ = command(tmp_path, capsys, *pair)
        assert status == 2 and err.startswith("error: ") and "foreign.json" in err and err.count("\n") == 1


def test_absent_and_empty_folders(tmp_path, capsys):
    before = write_run(tmp_path / "b", GOOD)
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        status, _, err, _ = command(tmp_path, capsys, before, tmp_path / name)
        assert status == 2 and name in err


# ---- several runs ----


def test_runs_are_paired_by_task_and_strategy(tmp_path, capsys):
    for folder, verdicts in (("b", GOOD), ("n", worse(12))):
        write_run(tmp_path / folder / "spread", GOOD, sprint={"strategy": "spread"})
        write_run(tmp_path / folder / "fixed", verdicts)
    write_run(tmp_path / "n" / "more", GOOD, sprint={"strategy": "random"})
    status, out, _, found = command(tmp_path, capsys, tmp_path / "b", tmp_path / "n")
    outcomes = {c["current"]["strategy"]: {t["outcome"] for t in c["metrics"]} for c in found["comparisons"]}
    assert status == 1 and outcomes["spread"] == {"passed"} and "regressed" in outcomes["fixed"]
    assert "tiny with random on tiny_passn" in out and "is not in the baseline" in out
    assert max(t["p_corrected"] / t["p"] for c in found["comparisons"] for t in c["metrics"]) == 6


def test_a_run_of_the_baseline_that_is_missing(tmp_path, capsys):
    write_run(tmp_path / "b" / "fixed", GOOD)
    write_run(tmp_path / "b" / "spread", GOOD, sprint={"strategy": "spread"})
    now = write_run(tmp_path / "n", GOOD)
    status, _, err, _ = command(tmp_path, capsys, tmp_path / "b", now)
    assert status == 2 and "has a run of tiny with spread on tiny_passn" in err


# ---- options, output ----


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--metrics", "pass@5"], "there are pass@1 to pass@4"),
        (["--metrics", "accuracy"], "there are pass@1 to pass@4"),
        (["--metrics", "pass@0"], "there are pass@1 to pass@4"),
        (["--metrics", ","], "names no metric"),
        (["--tolerance", "2"], "a share from 0 to 1"),
        (["--tolerance", "pass@1=x"], "a share from 0 to 1"),
        (["--tolerance", "nan"], "a share from 0 to 1"),
        (["--tolerance", "0.1", "--tolerance", "0.2"], "one for all metrics already"),
        (["--tolerance", "=0.1"], "a share from 0 to 1"),
        (["--metrics", "pass@01"], "there are pass@1 to pass@4"),
        (["--metrics", "pass@\u0661"], "there are pass@1 to pass@4"),
        (["--tolerance", "maj@4=0.1"], "maj@4, which is not compared"),
        (["--alpha", "1.5"], "between 0 and 1"),
        (["--alpha", "nan"], "between 0 and 1"),
        (["--allow", "prompts,questions"], "--allow 'questions' given, what may differ is"),
    ],
)
def test_mistakes_in_options(options, reason, tmp_path, capsys):
    status, _, err, _ = check(tmp_path, capsys, GOOD, *options)
    assert status == 2 and reason in err


@pytest.mark.parametrize("side", ["--baseline", "--current", "--json"])
def test_a_side_without_a_name_is_not_the_working_directory(side, tmp_path, capsys, monkeypatch):
    run = write_run(tmp_path / "run", GOOD)
    monkeypatch.chdir(tmp_path)
    for name, reason in (("", f"{side} '' given"), ("x" * 5_000, "cannot" if side == "--json" else "does not exist")):
        sides = {"--baseline": str(run), "--current": str(run)} | {side: name}
        assert main(["gate", *(word for pair in sides.items() for word in pair)]) == 2
        error = capsys.readouterr().err
        assert reason in error and "Traceback" not in error


def test_a_file_that_is_compared_with_itself_is_told(tmp_path, capsys):
    run = write_run(tmp_path / "run", GOOD)
    assert "note: both sides are the same file" in command(tmp_path, capsys, run, run)[1]
    assert "the same file" not in check(tmp_path / "two", capsys, GOOD)[1]


def test_the_compared_file_is_not_overwritten(tmp_path, capsys):
    before = write_run(tmp_path / "b", GOOD)
    file = before / f"results_{DATE}.json"
    content = file.read_text()
    assert main(["gate", "--baseline", str(before), "--current", str(file), "--json", str(file)]) == 2
    assert file.read_text() == content and "is the file that is compared" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--alpha", "7"], []])
@pytest.mark.parametrize("name", [f"results_{DATE}.json", f"samples_{TASK}_{DATE}.jsonl"])
def test_a_file_in_the_compared_folder_is_not_overwritten(name, options, tmp_path, capsys):
    before = write_run(tmp_path / "b", GOOD)
    content = (before / name).read_text()
    (tmp_path / "link").symlink_to(before)
    json_file = str(tmp_path / "link" / name)
    assert main(["gate", "--baseline", str(before), "--current", str(before), "--json", json_file, *options]) == 2
    assert (before / name).read_text() == content and "is the file that is compared" in capsys.readouterr().err


def test_json_beside_the_results_is_replaced(tmp_path, capsys):
    before = write_run(tmp_path / "b", GOOD)
    for _ in range(2):
        sides = ["--baseline", str(before), "--current", str(before)]
        assert main(["gate", *sides, "--json", str(before / "gate.json")]) == 0


def test_notes_of_reading_are_told_with_the_reason(tmp_path, capsys):
    before = write_run(tmp_path / "b", GOOD)
    (before / "other.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    status, out, err, found = command(tmp_path, capsys, before, tmp_path / "empty")
    assert status == 2 and "other.json: no results of lm_eval, left out." in out and "no results" in err
    assert len(found["notes"]) == 1


def test_json_that_cannot_be_written_is_not_a_pass(tmp_path, capsys):
    before = write_run(tmp_path / "b", GOOD)
    target = before / f"results_{DATE}.json" / "gate.json"
    assert main(["gate", "--baseline", str(before), "--current", str(before), "--json", str(target)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_defect_does_not_read_as_a_regression(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sprint_lmeval.gate.compare.compare", lambda *_: 1 // 0)
    status, _, err, _ = check(tmp_path, capsys, GOOD)
    assert status == 2 and "ZeroDivisionError" in err and "defect of the gate" in err


def test_annotations_where_github_runs_it(tmp_path, capsys, monkeypatch):
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    _, out, _, _ = check(tmp_path, capsys, worse(12))
    lines = [line for line in out.splitlines() if line.startswith("::")]
    assert "::error title=gate%3A regressed::tiny_passn: pass@4 75.0 -> 45.0 (-30.0 points, p = 0.0007)" in lines
    assert "gate: regressed" in summary.read_text()
    _, out, _, _ = check(tmp_path, capsys, worse(3))
    assert "::warning title=gate%3A within chance::" in out and "::error" not in out
    _, out, _, _ = check(tmp_path, capsys, GOOD[:-1])
    assert "::error title=gate%3A not comparable::" in out


def test_annotations_on_request_only(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert "::" not in check(tmp_path, capsys, worse(12))[1]
    assert "::error" in check(tmp_path, capsys, worse(12), "--github")[1]


def test_names_from_files_begin_no_workflow_command(tmp_path, capsys):
    hostile = "tiny\n::stop-commands::x\r::error::owned\u2028::warning::z"
    status, out, err, _ = check(
        tmp_path, capsys, GOOD, "--github", model_args={"pretrained": hostile}, sprint={"strategy": "fixed\n::debug::x"}
    )
    assert status == 0 and "::stop-commands" in out  # shown, in the middle of a line
    assert not any(line.strip().startswith("::") for line in (out + err).splitlines())


@pytest.mark.parametrize("name", ["::error title=x::owned", " ::stop-commands::x", "owned ##[error]really"])
def test_a_task_of_a_baseline_file_begins_no_workflow_command(name, tmp_path, capsys):
    before = write_run(tmp_path / "run", GOOD)
    file = tmp_path / "baseline.json"
    assert main(["baseline", str(before), "-o", str(file)]) == 0
    capsys.readouterr()
    file.write_text(file.read_text().replace(f'"task": "{TASK}"', f'"task": "{name}"'))
    status, out, err, found = command(tmp_path, capsys, file, file)
    assert status == 0 and found["comparisons"][0]["task"] == name
    assert not any(line.strip().startswith("::") or "##[" in line for line in (out + err).splitlines())


def test_names_that_an_encoding_does_not_have(tmp_path, capfdbinary):
    """A crash would end with 1, which reads as a regression."""
    folder = os.fsdecode(bytes(tmp_path) + b"/run\xff")
    write_run(Path(folder), GOOD, model_args={"pretrained": "\u6a21\u578b"})
    asked = ["gate", "--baseline", folder, "--current", folder, "--json", str(tmp_path / "gate.json")]
    code = f"import sys; from sprint_lmeval.cli import main; sys.exit(main({asked!r}))"
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": "ascii"})
    shown = capfdbinary.readouterr()
    assert ended.returncode == 0 and b"Traceback" not in shown.err and b"\\u6a21\\u578b" in shown.out
    found = json.loads((tmp_path / "gate.json").read_text())["comparisons"][0]["current"]
    assert "run\udcff" in found["path"] and found["model"] == "\u6a21\u578b"


def test_a_broken_installation_is_no_regression(tmp_path, monkeypatch, capsys):
    run = str(write_run(tmp_path / "run", GOOD))
    monkeypatch.setitem(sys.modules, "sprint_lmeval.gate.compare", None)  # importing it is an ImportError
    assert main(["gate", "--baseline", run, "--current", run]) == 2
    shown = capsys.readouterr().err
    assert "the gate could not be run (ModuleNotFoundError(" in shown and "is the installation whole?" in shown


def test_escapes():
    assert annotations(Outcome(2, "50 % of a\nb")) == ["::error title=gate%3A not comparable::50 %25 of a%0Ab"]
    assert one_line("a\x1b[31m\u202eb\tc\n") == "a [31m b c "


def test_default_level_only_without_a_tolerance():
    assert make_rules().alpha == 0.05
    rules = make_rules(tolerances=["0.1", "maj@4=0.2"])
    assert rules.alpha is None and rules.tolerance("maj@4") == 0.2 and rules.tolerance("pass@1") == 0.1
