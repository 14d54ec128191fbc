"""Results, samples, baselines and scores that somebody changed: one sentence or a result, never a crash or a wait."""

import json
import os
import random
import resource
import shutil
import time

import pytest

from sprint_lmeval.cli import main
from tests.shared.gate_examples import DATE, TASK, write_run

RESULTS, SAMPLES, SCORES = f"results_{DATE}.json", f"samples_{TASK}_{DATE}.jsonl", f"scores_{TASK}_{DATE}.json"
VERDICTS = ["ccii", "icii", "iiin", "ciii"] * 3
BASELINE = "baseline.json"
HOSTILE = (
    *("null", "true", "0", "-1", "2.5", "1e999", "NaN", "-Infinity", "1" + "0" * 400, "1" + "0" * 5000),
    *('""', '"\\ud800"', '"../../x\\u0000y"', '"' + "x" * 70_000 + '"', "[]", "{}", "[null]", "[[[1]]]", '{"a": {}}'),
    *("[" * 90 + "]" * 90, "[" * 2000 + "]" * 2000, '{"a":' * 90 + "1" + "}" * 90),
)


def made(folder):
    """A run with its scores, and a baseline of it; the commands that read them."""
    run = write_run(folder / "run", VERDICTS)
    assert main(["score", str(run), "--with", "majority"]) == 0
    assert main(["baseline", str(run), "-o", str(folder / BASELINE)]) == 0
    shutil.copytree(run, folder / "whole")
    return run


def commands(folder) -> list[list[str]]:
    run, baseline = str(folder / "run"), str(folder / BASELINE)
    return [
        ["gate", "--baseline", baseline, "--current", run],
        ["score", run, "--with", "majority"],
        ["baseline", run, "-o", str(folder / "new.json")],
        ["compare", run, str(folder / "whole")],
        ["matrix", f"{run}/{SAMPLES}", "-o", str(folder / "new.parquet")],
    ]


def run_all(folder, capsys) -> list[str]:
    """Run every command; returns what each said of a mistake, "" where there was none."""
    said = []
    for command in commands(folder):
        status = main(command)
        error = capsys.readouterr().err
        assert "Traceback" not in error and "defect" not in error, error
        assert status in (0, 1) or (status == 2 and error.startswith("error: ") and error.count("\n") == 1), error
        said.append(error)
        for name in ("new.json", "new.parquet"):
            (folder / name).unlink(missing_ok=True)
    return said


def changed(text: str, draw: random.Random) -> str:
    """JSON in which one value, wherever it stands, is another one."""
    value, marker = json.loads(text), "\x00here"
    node = value
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        if not keys:
            return text
        key = draw.choice(list(keys))
        if isinstance(node[key], dict | list) and node[key] and draw.random() < 0.8:
            node = node[key]
            continue
        node[key] = marker
        return json.dumps(value).replace(json.dumps(marker), draw.choice(HOSTILE))


@pytest.mark.parametrize("seed", range(4))
def test_one_value_changed(seed, tmp_path, capsys):
    run, draw = made(tmp_path), random.Random(seed)
    files = [run / RESULTS, run / SAMPLES, run / SCORES, tmp_path / BASELINE]
    whole = {file: file.read_text() for file in files}
    for _ in range(15):
        file = draw.choice(files)
        lines = whole[file].splitlines() if file.name == SAMPLES else [whole[file]]
        number = draw.randrange(len(lines))
        lines[number] = changed(lines[number], draw)
        file.write_text("\n".join(lines) + "\n")
        run_all(tmp_path, capsys)
        for other, text in whole.items():
            other.write_text(text)


@pytest.mark.parametrize("name", [RESULTS, SAMPLES, SCORES, BASELINE])
def test_a_pipe_is_not_waited_for(name, tmp_path, capsys):
    run = made(tmp_path)
    file = tmp_path / name if name == BASELINE else run / name
    file.unlink()
    os.mkfifo(file)
    capsys.readouterr()
    began = time.monotonic()
    said = run_all(tmp_path, capsys)
    assert any(said) and time.monotonic() - began < 60
    assert any(word in "".join(said) for word in ("is no regular file", "move it away", "no results", "not beside it"))


def test_a_pipe_that_is_named(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / SAMPLES)
    for name in ("pipe", SAMPLES):
        pipe = str(tmp_path / name)
        for command in (
            ["gate", "--baseline", pipe, "--current", pipe],
            ["score", pipe, "--with", "majority"],
            ["baseline", pipe, "-o", str(tmp_path / "new.json")],
            ["compare", pipe, pipe],
            ["matrix", pipe, "-o", str(tmp_path / "new.parquet")],
        ):
            assert main(command) == 2
            error = capsys.readouterr().err
            assert error.startswith("error: ") and error.count("\n") == 1 and name in error


def test_scores_replace_a_link_and_leave_what_it_leads_to(tmp_path):
    run = made(tmp_path)
    for target in ("nowhere.json", "other.json"):
        (tmp_path / "other.json").write_text((run / SCORES).read_text())
        before = (tmp_path / "other.json").read_text()
        (run / SCORES).unlink()
        (run / SCORES).symlink_to(tmp_path / target)
        assert main(["score", str(run), "--with", "majority"]) == 0
        assert (run / SCORES).is_file() and not (run / SCORES).is_symlink()
        assert not (tmp_path / "nowhere.json").exists() and (tmp_path / "other.json").read_text() == before


def test_a_line_without_end_is_not_read(tmp_path, capsys):
    """A file with holes takes no room on a disk, and would take all of the memory."""
    run = made(tmp_path)
    with (run / SAMPLES).open("wb") as stream:
        stream.truncate(1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = run_all(tmp_path, capsys)
    assert "line 1: it has more than 67,108,864 bytes" in said[-1]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB


def test_many_responses_of_one_question_are_counted_in_bounded_time():
    import numpy as np

    from sprint_lmeval.passn.metrics import unbiased_pass_at_k
    from sprint_lmeval.runs.samples import MAX_EXACT, chances

    n, solved = MAX_EXACT + 1, np.array([0, 1, 7, 500, MAX_EXACT + 1])
    for k in (1, 2, 400, 994, 995, n):
        assert chances(n, solved, k) == pytest.approx([unbiased_pass_at_k(n, int(c), k) for c in solved], abs=1e-9)
    began = time.monotonic()
    assert [chances(100_000, np.array([3]), k)[0] for k in range(1, 100_001, 100)][-1] <= 1
    assert time.monotonic() - began < 20
