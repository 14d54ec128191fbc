"""The same commands as with `hf-pruned-bon`: an evaluation and a sweep, with the same files as a result."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from tests.shared.environments import Environment, environment_in_use
from tests_vllm.conftest import ENGINE

ON_VLLM = ",".join(["pretrained=tiny", *(f"{name}={value}" for name, value in ENGINE.items())])
SWEEP = "--tasks tiny_train_passn --layers 1,3 --questions 6 --seed 3"


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    environment = environment_in_use(tmp_path_factory.mktemp("harness"))
    environment.variables["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    return environment


def ran(environment: Environment, command: list, cwd: Path, expected: int = 0) -> subprocess.CompletedProcess:
    done = environment.run(command, cwd)
    assert done.returncode == expected, done.stderr[-3000:]
    return done


def test_an_evaluation_writes_the_same_results_and_samples(environment, tmp_path):
    """The first line of the README with another model."""
    found = {}
    for model, arguments in (("hf", "pretrained=tiny,dtype=float32"), ("vllm", ON_VLLM)):
        options = f"--tasks tiny_passn --limit 6 --log_samples --output_path {model}".split()
        ran(environment, ["lm_eval", "--model", f"{model}-pruned-bon", "--model_args", arguments, *options], tmp_path)
        (results,) = (tmp_path / model).rglob("results_*.json")
        (samples,) = (tmp_path / model).rglob("samples_*.jsonl")
        rows = [json.loads(line) for line in samples.read_text().splitlines()]
        found[model] = json.loads(results.read_text())["results"]["tiny_passn"], rows
    (hf, hf_rows), (vllm, vllm_rows) = found["hf"], found["vllm"]
    assert hf.keys() == vllm.keys()
    for mine, theirs in zip(hf_rows, vllm_rows, strict=True):
        assert mine.keys() == theirs.keys()
        assert (mine["doc_hash"], mine["candidates"]) == (theirs["doc_hash"], theirs["candidates"])
    equal = [
        mine == theirs
        for one, two in zip(hf_rows, vllm_rows, strict=True)
        for mine, theirs in zip(one["resps"][0], two["resps"][0], strict=True)
    ]
    assert len(equal) == 96 and np.mean(equal) >= 0.95


def test_a_sweep_is_that_of_hf_and_goes_on_where_it_was(environment, tmp_path):
    hf = ["sprint-lmeval", "sweep", "--model_args", "pretrained=tiny,dtype=float32", *SWEEP.split(), "-o", "hf.parquet"]
    ran(environment, hf, tmp_path)
    vllm = ["sprint-lmeval", "sweep", "--model", "vllm-pruned-bon", "--model_args", ON_VLLM, *SWEEP.split(), "-o"]
    assert "102 answers generated, 0 from" in ran(environment, [*vllm, "vllm.parquet"], tmp_path).stdout
    theirs, ours = (OutcomeMatrix.load(tmp_path / f"{name}.parquet") for name in ("hf", "vllm"))
    assert (ours.questions, ours.candidates) == (theirs.questions, theirs.candidates)
    assert (ours.verdicts == theirs.verdicts).mean() >= 0.95
    same = ("model", "fingerprint", "architecture", "altered", "task", "settings", "heads_per_layer", "prompt_form")
    assert [ours.facts[key] for key in same] == [theirs.facts[key] for key in same]
    again = ran(environment, [*vllm, "again.parquet", "--store", "vllm.answers.sqlite"], tmp_path)
    assert "0 answers generated, 102 from" in again.stdout


def test_a_mistake_is_one_sentence(environment, tmp_path):
    """All others: test_what_is_refused in test_vllm.py."""
    arguments = f"{ON_VLLM},head_masks=L9H0"
    command = ["lm_eval", "--model", "vllm-pruned-bon", "--model_args", arguments, "--tasks", "tiny_passn"]
    last = ran(environment, command, tmp_path, expected=2).stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "layer 9 given, the model has layers 0-3" in last
