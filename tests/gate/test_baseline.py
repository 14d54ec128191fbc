"""Baseline files: what comes back is what was kept, nothing of the problems is in them, changed ones are refused."""

import json

import numpy as np
import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.errors import InputError
from sprint_lmeval.gate.baseline import is_baseline, read_baseline
from sprint_lmeval.runs.run import read_runs
from tests.shared.gate_examples import DATE, row, write_rows, write_run

VERDICTS = ["ciin", "itec", "nnnn", "cccc"] * 3


@pytest.fixture
def kept(tmp_path, capsys):
    """A run and its baseline."""
    cut = {1: {"truncated_rows": [True, False, False, True]}}
    run = write_run(tmp_path / "run", VERDICTS, changed=cut)
    path = tmp_path / "baselines" / "tiny.json"
    assert main(["baseline", str(run), "-o", str(path)]) == 0
    assert "tiny, fixed, tiny_passn: 12 questions" in capsys.readouterr().out
    return run, path


def test_a_baseline_holds_what_a_gate_needs(kept):
    run, path = kept
    (before,), (now,) = read_runs([run]).runs, read_baseline(path)
    assert is_baseline(path) and not is_baseline(run / f"results_{DATE}.json")
    for name in ("model", "model_label", "task", "strategy", "strategy_label", "selector", "seed", "n", "flat"):
        assert getattr(before, name) == getattr(now, name)
    assert [(q.id, q.hash) for q in before.questions] == [(q.id, q.hash) for q in now.questions]
    assert np.array_equal(before.verdicts, now.verdicts) and np.array_equal(before.truncated, now.truncated)
    assert np.array_equal(before.samples.majority, now.samples.majority)
    for name in ("settings", "grader", "num_fewshot", "fingerprint", "task_version"):
        assert before.facts[name] == now.facts[name]


def test_no_problem_no_prompt_no_response_is_in_it(kept):
    content = kept[1].read_text()
    assert "What is" not in content and "it is" not in content and "####" not in content
    lines = [line for line in content.splitlines() if line.startswith('{"id"')]
    assert len(lines) == 12 and '"verdicts": "ciin"' in lines[0] and '"truncated": "T..T"' in lines[1]


def test_a_run_passes_its_own_baseline_and_a_baseline_may_stand_on_both_sides(kept, capsys):
    run, path = kept
    for current in (run, path):
        assert main(["gate", "--baseline", str(path), "--current", str(current), "--alpha", "0.2"]) == 0
    worse = write_run(run.parent / "worse", ["iiii"] * 12)
    assert main(["gate", "--baseline", str(path), "--current", str(worse)]) == 1
    assert "regressed" in capsys.readouterr().out


def test_other_prompts_than_the_baselines(kept, capsys):
    run, path = kept
    other = write_run(run.parent / "other", VERDICTS, changed={3: {"prompt_hash": "b" * 64}})
    options = ["gate", "--baseline", str(path), "--current", str(other), "--alpha", "0.2"]
    assert main(options) == 2 and "their prompts of tiny differ" in capsys.readouterr().err
    assert main([*options, "--allow", "prompts"]) == 0


def test_a_baseline_of_a_baseline_is_the_same(kept, tmp_path):
    """What is known of the prompts and of unknown truncation survives."""
    from sprint_lmeval.gate.baseline import write_baseline

    write_baseline(read_baseline(kept[1]), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == kept[1].read_text()


def test_what_is_not_known_is_left_out(tmp_path):
    rows = [row(i, v, truncated_rows=None, **{"maj@4": None}) for i, v in enumerate(VERDICTS)]
    write_rows(tmp_path / "run", rows)
    assert main(["baseline", str(tmp_path / "run"), "-o", str(tmp_path / "b.json")]) == 0
    content = (tmp_path / "b.json").read_text()
    assert '"truncated"' not in content and '"majority"' not in content
    (run,) = read_baseline(tmp_path / "b.json")
    assert (run.truncated == -1).all() and np.isnan(run.samples.majority).all()


def test_files_that_are_there_stay(kept, capsys):
    run, path = kept
    before = path.read_text()
    assert main(["baseline", str(run), "-o", str(path)]) == 2
    assert "is there already" in capsys.readouterr().err and path.read_text() == before
    assert main(["baseline", str(run), "-o", str(path), "--overwrite"]) == 0
    other = path.with_name("other.json")
    other.write_text("{}")
    assert main(["baseline", str(run), "-o", str(other), "--overwrite"]) == 2
    assert other.read_text() == "{}" and "replaces baselines only" in capsys.readouterr().err


def test_runs_that_cannot_be_told_apart_and_runs_without_samples(tmp_path, capsys):
    write_run(tmp_path / "runs" / "a", VERDICTS)
    write_run(tmp_path / "runs" / "b", VERDICTS, sprint={"prompt_form": "q" * 64})
    assert main(["baseline", str(tmp_path / "runs"), "-o", str(tmp_path / "x.json")]) == 2
    assert "are both runs of tiny with fixed" in capsys.readouterr().err
    (next((tmp_path / "runs" / "a").glob("samples*"))).unlink()
    assert main(["baseline", str(tmp_path / "runs" / "a"), "-o", str(tmp_path / "x.json")]) == 2
    assert "has no samples beside it" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def question(content: dict, **changed) -> None:
    content["runs"][0]["questions"][0] |= changed


def head(content: dict, **changed) -> None:
    content["runs"][0] |= changed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: question(c, verdicts="iiin"), "do not give the rates"),
        (lambda c: question(c, verdicts="ciix"), "letters of cinte"),
        (lambda c: question(c, verdicts="cii"), "needed are 4 letters"),
        (lambda c: question(c, verdicts=None), "needed are 4 letters"),
        (lambda c: question(c, truncated="...."[:3]), "letters of .T"),
        (lambda c: question(c, truncated=7), "letters of .T"),
        (lambda c: question(c, majority=1.5), "majority is 1.5"),
        (lambda c: question(c, majority=True), "majority is True"),
        (lambda c: question(c, id="test-1"), "in it twice"),
        (lambda c: question(c, id="a\nb"), "no id and hash"),
        (lambda c: question(c, hash=5), "no id and hash"),
        (lambda c: c["runs"][0]["questions"].append(7), "question 13: no id and hash"),
        (lambda c: c["runs"][0].pop("questions"), "no list of 1 to"),
        (lambda c: head(c, questions=[]), "no list of 1 to"),
        (lambda c: head(c, n=0), "n is 0"),
        (lambda c: head(c, n=10**9), "n is 1000000000"),
        (lambda c: head(c, n=True), "n is True"),
        (lambda c: head(c, model=None), "model is None"),
        (lambda c: head(c, task="x" * 2000), "task is"),
        (lambda c: head(c, strategy="a\u2028b"), "strategy is"),
        (lambda c: head(c, facts=[]), "its facts"),
        (lambda c: head(c, seed="0"), "its facts or its seed"),
        (lambda c: head(c, prompts=0), "its facts or its seed"),
        (lambda c: head(c, rates={}), "do not give the rates"),
        (lambda c: head(c, facts={"settings": 7}), "its facts"),
        (lambda c: c["runs"][0]["facts"].update(settings={}), "its facts"),
        (lambda c: c["runs"][0]["facts"].update(sampling={"T": "hot"}), "its facts"),
        (lambda c: c["runs"][0]["facts"].update(sampling={"T": 10**400}), "its facts"),
        (lambda c: c["runs"][0]["facts"].update(method=[]), "its facts"),
        (lambda c: c.update(sprint_lmeval_baseline=2), "format 2"),
        (lambda c: c.update(runs={}), "no list of 1 to"),
        (lambda c: c.update(runs=[]), "no list of 1 to"),
        (lambda c: c.update(runs=[3]), "no list of 1 to"),
    ],
)
def test_changed_files_are_refused(change, reason, kept, capsys):
    run, path = kept
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=path.name):
        read_baseline(path)
    assert main(["gate", "--baseline", str(path), "--current", str(run)]) == 2
    assert reason in capsys.readouterr().err


def test_cut_and_endless_files_are_refused(kept, monkeypatch, capsys):
    run, path = kept
    whole = path.read_text()
    for cut in (
        whole[: len(whole) // 2],
        whole[:60],
        whole.replace("1.0", "NaN", 1),
        '{"sprint_lmeval_baseline":' * 99_999,
    ):
        path.write_text(cut)
        assert main(["gate", "--baseline", str(path), "--current", str(run)]) == 2
        assert f"{path} is not JSON" in capsys.readouterr().err
    monkeypatch.setattr("sprint_lmeval.gate.baseline.MAX_BYTES", 1_000)
    path.write_text(whole)
    with pytest.raises(InputError, match="at most 1,000 are read"):
        read_baseline(path)
