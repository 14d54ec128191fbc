"""Rows of the leaderboard by their numbers, worked out by hand."""

import csv
import io
import json

import numpy as np
import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.report.leaderboard import comparisons_csv, headline, is_best_baseline, leaderboard, leaderboard_csv
from sprint_lmeval.report.readme import choosing_table
from sprint_lmeval.runs.comparable import comparable_groups
from sprint_lmeval.runs.run import read_runs
from sprint_lmeval.runs.scores import read_scores
from sprint_lmeval.runs.statistics import holm, mcnemar, paired_bootstrap
from tests.shared.gate_examples import with_scores, write_run, write_sampled

LEARNED = {"strategy": "selector", "selector": "s", "method": "sprint", "learned": True}
TOP = {"strategy": "selector", "selector": "t", "method": "top", "learned": True}
BASE = {"strategy": "base"}


def rows_of(folder, separate=False):
    return leaderboard(comparable_groups(read_runs([folder]).runs, separate))


def test_rates_lengths_and_order(tmp_path):
    write_run(tmp_path / "a", ["icii", "iiii", "cccc"], sprint=LEARNED)
    write_run(tmp_path / "b", ["iiii", "iiii", "cccc"], sprint=BASE)
    first, second = rows_of(tmp_path)
    assert (first["strategy"], second["strategy"]) == ("s (sprint)", "base")
    assert first["pass"] == pytest.approx({1: 1 / 3, 4: 2 / 3}) and first["common_n"] == 4
    assert second["pass"] == pytest.approx({1: 1 / 3, 4: 1 / 3, 8: 1 / 3, 16: 1 / 3})  # flat: one answer for all N
    assert first["mean"] == pytest.approx(5 / 12) and first["majority"] == pytest.approx(1 / 3)
    assert first["tokens_per_answer"] == 9
    assert (first["tokens_per_question"], second["tokens_per_question"]) == (36, 9)


def test_the_difference_is_paired_and_corrected(tmp_path):
    ours = ["iccc"] * 9 + ["iiii"] * 3
    base = ["iiii"] * 8 + ["cccc"] * 2 + ["iiii"] * 2
    write_run(tmp_path / "a", ours, sprint=LEARNED)
    write_run(tmp_path / "b", base, sprint=BASE)
    for name, sprint in {"c": LEARNED, "d": BASE}.items():  # another model, whose p values are corrected by themselves
        write_run(tmp_path / name, base, sprint={**sprint, "fingerprint": "e" * 64}, model_args={"pretrained": "other"})
    better, baseline = (row for row in rows_of(tmp_path) if row["model"] == "tiny")
    passed = [[letter[:4].count("c") > 0 for letter in letters] for letters in (ours, base)]
    found = headline(better)
    assert found["k"] == 4 and found["baseline"] == "base" and found["test"] == "mcnemar"
    assert found["difference"] == pytest.approx(7 / 12)
    assert found["p"] == pytest.approx(mcnemar(*map(np.array, passed)))
    paired = paired_bootstrap(*map(np.array, passed))
    assert (found["low"], found["high"]) == (paired.low, paired.high)
    assert [c["k"] for c in better["comparisons"]] == [1, 4]
    assert [c["p_holm"] for c in better["comparisons"]] == holm([c["p"] for c in better["comparisons"]])
    assert is_best_baseline(baseline) and headline(baseline) is None


@pytest.mark.parametrize(
    ("ours", "base"),
    [(["cc"] * 4 + ["ii"] * 36, ["ii"] * 40), (["cc"] * 6 + ["ii"] * 34, ["ii"] * 40)]
    + [(["cc"] * up + ["ii"] * (30 - up), ["ii"] * 18 + ["cc"] * down + ["ii"] * (12 - down)) for up in (3, 9, 14)
       for down in (0, 2, 7)],
)  # fmt: skip
def test_no_interval_contradicts_its_p(tmp_path, ours, base):
    write_run(tmp_path / "a", ours, sprint=LEARNED)
    write_run(tmp_path / "b", base, sprint=BASE)
    for row in rows_of(tmp_path):
        for one in row["comparisons"]:
            assert (one["low"] > 0 or one["high"] < 0) == (one["p"] < 0.05), one
            assert one["low"] <= one["difference"] <= one["high"]


def test_the_best_baseline_is_of_the_same_model_and_question_blind_lists_count(tmp_path):
    write_run(tmp_path / "a", ["cc", "ii", "ii"], sprint=LEARNED)
    write_run(tmp_path / "b", ["ii", "ii", "ii"], sprint=BASE)
    write_run(tmp_path / "c", ["ic", "ci", "ii"], sprint=TOP)
    write_run(tmp_path / "d", ["cc", "cc", "cc"], model_args={"pretrained": "other"}, sprint=BASE)
    of = {row["strategy"] + " " + row["model"]: row for row in rows_of(tmp_path)}
    assert headline(of["s (sprint) tiny"])["baseline"] == "t (top)"
    assert headline(of["base tiny"])["baseline"] == "t (top)"
    assert of["base other"]["comparisons"] == []


def test_among_equal_baselines_the_unpruned_model_is_named(tmp_path):
    for name, sprint in (("a", LEARNED), ("b", {"strategy": "spread"}), ("c", BASE), ("d", TOP)):
        write_run(tmp_path / name, ["cc", "ii"], sprint=sprint)
    learned = next(row for row in rows_of(tmp_path) if row["strategy"] == "s (sprint)")
    assert headline(learned)["baseline"] == "base"


def test_different_n_are_compared_at_the_common_n(tmp_path):
    write_run(tmp_path / "a", ["icii", "iiic", "cccc"], sprint=LEARNED)
    write_run(tmp_path / "b", ["ic", "ii", "cc"], sprint={"strategy": "spread"})
    ours, baseline = rows_of(tmp_path)
    assert ours["common_n"] == 2 and headline(ours)["difference"] == 0.0
    assert sorted(ours["pass"]) == [1, 2, 4] and sorted(baseline["pass"]) == [1, 2]


def test_samples_are_estimated_over_all_orders_and_tested_by_the_bootstrap(tmp_path):
    write_sampled(tmp_path / "a", ["icii", "iiii", "ccci"])
    write_run(tmp_path / "b", ["iiii", "iiii", "cccc"], sprint=BASE)
    sampled = next(row for row in rows_of(tmp_path) if row["unbiased"])
    assert sampled["pass"][1] == pytest.approx(1 / 3) and sampled["pass"][4] == pytest.approx(2 / 3)
    other = next(row for row in rows_of(tmp_path) if not row["unbiased"])
    compared = {c["k"]: c["test"] for c in [*sampled["comparisons"], *other["comparisons"]]}
    assert compared == {1: "bootstrap", 4: "mcnemar"}


def test_without_samples_there_are_rates_and_no_difference(tmp_path):
    folder = write_run(tmp_path / "a", ["ic", "ii"], sprint=LEARNED)
    write_run(tmp_path / "b", ["ii", "ii"], sprint=BASE)
    next(folder.glob("samples_*")).unlink()
    ours = rows_of(tmp_path)[0]
    assert ours["pass"][2] == 0.5 and ours["comparisons"] == [] and ours["tokens_per_answer"] is None


def test_time_is_known_for_a_task_alone_and_without_a_store(tmp_path):
    stored = {"strategy": "spread", "store": {"reused": 3, "generated": 0}}
    for name, sprint in (("a", BASE), ("b", stored)):
        folder = write_run(tmp_path / name, ["ic", "ii"], sprint=sprint)
        (file,) = folder.glob("results_*")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"total_evaluation_time_seconds": "12.5"}))
    assert {row["strategy"]: row["seconds"] for row in rows_of(tmp_path)} == {"base": 12.5, "spread": None}


def test_csv_can_be_read_back_and_runs_nothing(tmp_path):
    write_run(tmp_path / "a", ["ic", "ii"], model_args={"pretrained": "=cmd()"}, sprint=LEARNED)
    write_run(tmp_path / "b", ["ii", "ii"], model_args={"pretrained": "=cmd()"}, sprint=BASE)
    rows = rows_of(tmp_path)
    first, second = csv.DictReader(io.StringIO(leaderboard_csv(rows, tmp_path)))
    assert first["model"] == "'=cmd()" and float(first["pass@2"]) == 0.5 and first["compared_baseline"] == "base"
    assert first["file"] == rows[0]["path"].relative_to(tmp_path).as_posix()
    assert second["compared_p"] == ""
    compared = list(csv.DictReader(io.StringIO(comparisons_csv(rows))))
    assert [(line["k"], line["difference"]) for line in compared] == [("1", "0"), ("2", "0.5")]


# ---- score files ----


def test_an_estimate_that_the_samples_do_not_give_is_refused(tmp_path):
    folder = write_sampled(tmp_path, ["ciic", "iiii"])
    assert rows_of(tmp_path)[0]["pass"][1] == pytest.approx(0.25)
    (file,) = folder.glob("results_*")
    changed = json.loads(file.read_text())
    changed["results"]["tiny_passn"]["unbiased_pass@4,first_n"] = 0.75
    file.write_text(json.dumps(changed))
    with pytest.raises(InputError, match=r"samples_.* gives unbiased_pass@4 0.5000, and .* says 0.7500"):
        read_runs([file])


def test_scores_beside_the_samples_are_read(tmp_path):
    run = with_scores(write_run(tmp_path, ["ic", "ii"]))
    scores = read_scores(run)
    assert scores.methods["majority"] == {"accuracy": 0.5, "recovered_of_pass_n": 0.75}
    assert scores.redundancy == {"equal_pairs": 0.125}
    assert scores.scored_under == {"rpc": "whole/model"}
    assert read_runs([tmp_path]).notes == []  # a score file is not another program's


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"version": 2}, "no scores of version 1"),
        ({"samples": {"sha256": "0" * 64}}, "not of the samples beside it"),
        ({"methods": {"m": {"accuracy": 1.5}}}, "method 'm' has no accuracy"),
        ({"methods": {"m": []}}, "method 'm' has no accuracy"),
    ],
)
def test_scores_that_are_refused(tmp_path, changed, sentence):
    run = with_scores(write_run(tmp_path, ["ic", "ii"]), **changed)
    with pytest.raises(InputError, match=rf"scores_tiny_passn.*{sentence}"):
        read_scores(run)


@pytest.mark.parametrize("count", [12, 13])
def test_many_methods_of_choosing_stand_one_below_the_other(tmp_path, count):
    (row,) = rows_of(write_run(tmp_path, ["ic", "ii"]))
    row["methods"] = {f"m{number:02}": {"accuracy": 0.5, "recovered_of_pass_n": 1.0} for number in range(count)}
    lines = choosing_table([row]).splitlines()
    assert len(lines) == (3 if count == 12 else 8 + 13 - 1)
    assert lines[0].startswith("| task | model |" if count == 12 else "| task | tiny")
    assert lines[-1].count("|") == (19 if count == 12 else 3)
