"""Sweeps: which heads and questions, the matrix they leave, and going on after being killed."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from lm_eval._cli.harness import HarnessCLI

from sprint_lmeval.candidates import BASE
from sprint_lmeval.errors import InputError
from sprint_lmeval.harness.sweep import Plan, sweep
from sprint_lmeval.harness.sweep_options import NOT_HERE, check_names, harness_config
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.store.database import Store
from sprint_lmeval.strategies.head_lists import every_head, parse_layers
from tests.shared.environments import Environment, environment_in_use

MODEL = "--model hf-pruned-bon --model_args pretrained=tiny,dtype=float32 --device cpu --batch_size 16"
TASK = "--tasks tiny_train_passn --layers 1,3 --questions 6 --seed 3"
TINY = "--model hf-pruned-bon --model_args pretrained=tiny"


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    environment = environment_in_use(tmp_path_factory.mktemp("harness"))
    environment.variables["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    return environment


@pytest.fixture(scope="module")
def unbroken(environment, tmp_path_factory) -> Path:
    """A matrix with its store beside it."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = swept(environment, folder, f"{MODEL} {TASK}")
    assert "102 answers generated, 0 from" in done.stdout
    assert (
        "sweep: 6 questions x 17 candidates (base L1H0 L1H1 L1H2 L1H3 L1H4 ...) = 102 answers, kept in" in done.stderr
    )
    return folder / "m.parquet"


def swept(environment: Environment, folder: Path, options: str, *launcher: str) -> subprocess.CompletedProcess:
    command = launcher or ("sprint-lmeval",)
    done = environment.run([*command, "sweep", "-o", folder / "m.parquet", *options.split()], folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def assert_equal(one: OutcomeMatrix, other: OutcomeMatrix) -> None:
    assert (one.questions, one.candidates, one.facts) == (other.questions, other.candidates, other.facts)
    for name in ("verdicts", "truncated", "new_tokens"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_the_matrix_says_what_it_is(unbroken):
    matrix = OutcomeMatrix.load(unbroken)
    assert matrix.candidates == tuple(every_head([8] * 4, [1, 3])) and len(matrix.candidates) == 17
    assert matrix.candidates[0] == BASE and matrix.complete and matrix.split == "train"
    assert len(matrix.questions) == 6 and all(q.text and q.subject for q in matrix.questions)
    facts = matrix.facts
    assert (facts["model"], facts["architecture"], facts["layers"]) == ("tiny", "Qwen2ForCausalLM", [1, 3])
    assert (facts["task"], facts["split"], facts["seed"], facts["source"]) == ("tiny_train_passn", "train", 3, "sweep")
    assert facts["heads_per_layer"] == [8] * 4 and len(facts["fingerprint"]) == 64
    assert facts["settings"]["max_new_tokens"] == 160 and facts["settings"]["greedy"] is True
    assert (facts["dtype"], facts["num_fewshot"], facts["chat_template"]) == ("torch.float32", 0, False)
    assert facts["grader"]["sprint_lmeval_grader"] and facts["versions"]["torch"]
    assert (matrix.truncated != -1).all() and (matrix.new_tokens > 0).all()


def test_an_evaluation_reuses_a_sweep_and_gives_the_same_verdicts(environment, unbroken, tmp_path):
    """Also: the matrix of the evaluation's samples is part of the sweep's."""
    store = unbroken.with_suffix(".answers.sqlite")
    arguments = f"--model_args pretrained=tiny,dtype=float32,head_masks=L3H1:base:L1H0,store={store}"
    matrix = OutcomeMatrix.load(unbroken)
    chosen = json.dumps({"tiny_train_passn": [int(q.id.removeprefix("train-")) for q in matrix.questions[:4]]})
    options = f"-n 3 --model hf-pruned-bon {arguments} --device cpu --tasks tiny_train_passn --log_samples"
    command = ["sprint-lmeval", "run", *options.split(), "--output_path", str(tmp_path), "--samples", chosen]
    done = environment.run(command, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Loading weights" not in done.stderr
    made = environment.run(["sprint-lmeval", "matrix", str(tmp_path), "-o", "e.parquet", "--no-texts"], tmp_path)
    assert made.stdout == "e.parquet: 4 questions x 3 candidates\n", made.stderr[-3000:]
    part = OutcomeMatrix.load(tmp_path / "e.parquet")
    expected = matrix.select(range(4), part.candidates).without_texts()
    assert_equal(part, OutcomeMatrix(**{**vars_of(expected), "facts": part.facts}))
    assert part.with_texts().questions == matrix.questions[:4]  # from the documents of the task
    same = ("model", "fingerprint", "heads_per_layer", "architecture", "settings", "chat_template", "grader", "dtype")
    assert [part.facts[name] for name in same] == [matrix.facts[name] for name in same]


def vars_of(matrix: OutcomeMatrix) -> dict:
    names = ("questions", "candidates", "verdicts", "truncated", "new_tokens", "facts")
    return {name: getattr(matrix, name) for name in names}


def started(environment: Environment, output: Path, *options, **streams) -> subprocess.Popen:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPRINT_"))}
    command = [environment.programs / "sprint-lmeval", "sweep", "-o", output, *options, *f"{MODEL} {TASK}".split()]
    return subprocess.Popen(command, env=clean | environment.variables, **streams)


def killed_after(environment: Environment, folder: Path, answers: int) -> int:
    """Start the sweep, kill it once that many answers are stored; returns how many there are then."""
    with open(folder / "log", "w") as log:
        process = started(environment, folder / "m.parquet", stderr=log, stdout=log)
        deadline = time.monotonic() + 120
        while stored(folder) < answers:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return stored(folder)


def stored(folder: Path) -> int:
    if not (folder / "m.answers.sqlite").exists():
        return 0
    with Store.open(folder / "m.answers.sqlite") as store:
        return store.count()


def test_killed_twice_it_goes_on_and_equals_an_unbroken_sweep(environment, unbroken, tmp_path):
    first = killed_after(environment, tmp_path, 5)
    second = killed_after(environment, tmp_path, first + 10)
    assert 0 < first < second < 102 and not (tmp_path / "m.parquet").exists()
    said = swept(environment, tmp_path, f"{MODEL} {TASK}").stdout
    assert f"({102 - second} answers generated, {second} from" in said
    assert_equal(OutcomeMatrix.load(tmp_path / "m.parquet"), OutcomeMatrix.load(unbroken))


def test_an_interrupted_sweep_says_what_is_kept(environment, tmp_path):
    """By any signal; nothing but the store is left, and the lock is free for whoever goes on."""
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = started(
            environment, tmp_path / "m.parquet", stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        before, deadline = stored(tmp_path), time.monotonic() + 120
        while stored(tmp_path) < before + 5:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        said, errors = process.communicate(timeout=60)
        sentence = r"interrupted: (\d+) of 102 answers are kept in m\.answers\.sqlite; the same command goes on"
        matched = re.fullmatch(sentence, errors.splitlines()[-1])
        assert matched and (process.returncode, said) == (status, ""), errors[-2000:]
        assert int(matched[1]) in (stored(tmp_path), stored(tmp_path) - 1)  # one may be kept just as the signal comes
        assert "Traceback" not in errors and [p.name for p in tmp_path.iterdir()] == ["m.answers.sqlite"]


def test_of_two_sweeps_on_one_store_the_second_waits_and_shares_the_answers(environment, unbroken, tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    outputs = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    processes = [started(environment, output, "--store", tmp_path / "s", **pipes) for output in outputs]
    said, logs = zip(*(process.communicate(timeout=200) for process in processes), strict=True)
    assert [process.returncode for process in processes] == [0, 0], logs
    generated = sorted(int(text.partition("(")[2].split()[0]) for text in said)
    assert generated == [0, 102] and sum("waiting for its end" in log for log in logs) == 1
    for output in outputs:
        assert_equal(OutcomeMatrix.load(output), OutcomeMatrix.load(unbroken))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet", "s"]
    with Store.open(tmp_path / "s") as store:
        assert store.count() == 102


def test_two_processes_of_one_sweep_share_its_questions(environment, unbroken, tmp_path):
    launcher = "python -m torch.distributed.run --standalone --nproc_per_node 2 -m sprint_lmeval".split()
    said = swept(environment, tmp_path, f"{MODEL} {TASK}", *launcher).stdout
    assert "6 questions x 17 candidates" in said
    assert stored(tmp_path) == 102
    assert_equal(OutcomeMatrix.load(tmp_path / "m.parquet"), OutcomeMatrix.load(unbroken))


# ---- which heads, which questions ----

LAYERS = [
    (None, [0, 1, 2, 3]),
    ("all", [0, 1, 2, 3]),
    ("2", [2]),
    ("3,1", [1, 3]),
    ("0-2", [0, 1, 2]),
    (" 0 - 1, 3", [0, 1, 3]),
]


@pytest.mark.parametrize(("text", "layers"), LAYERS)
def test_layers(text, layers):
    assert parse_layers(text, [8] * 4) == layers


WRONG_LAYERS = ["4", "0-4", "1,1", "0-2,1", "", "a", "1-", "-1", "2-1", "1,,2", "1.5", "99999", "0-99999999999"]


@pytest.mark.parametrize("text", WRONG_LAYERS)
def test_wrong_layers_are_refused(text):
    with pytest.raises(InputError, match="--layers"):
        parse_layers(text, [8] * 4)


def test_every_head_of_layers_of_different_widths():
    assert [str(c) for c in every_head([2, 1, 3], [0, 2])] == ["base", "L0H0", "L0H1", "L2H0", "L2H1", "L2H2"]


WRONG = {
    "no such task": (f"{MODEL} --tasks nonsense", "Tasks not found: nonsense"),
    "candidates": (f"{TINY},head_masks=L0H0 --tasks tiny_passn", "head_masks="),
    "a limit": (f"{TINY} --tasks tiny_passn --limit 4", "--questions N"),
    "no such layer": (f"{MODEL} --tasks tiny_passn --layers 7", "the model has layers 0-3"),
    "two tasks": (f"{MODEL} --tasks tiny_passn,tiny_train_passn --questions 2", "name one *_passn task"),
    "more questions": (f"{MODEL} --tasks tiny_passn --questions 6000", "there are 5000 different ones"),
    "no such model": ("--model hf-pruned-bon --model_args pretrained=./nowhere --tasks tiny_passn", "config.json"),
    "sampling": (f"{MODEL} --tasks tiny_passn --questions 1 --gen_kwargs temperature=0.6,do_sample=true", "sampling"),
}


TAKEN = {  # options of `lm_eval run` that a sweep heeds
    *("config", "tasks", "model", "model_args", "apply_chat_template", "num_fewshot", "batch_size", "max_batch_size"),
    *("device", "gen_kwargs", "system_instruction", "fewshot_as_multiturn", "include_path", "verbosity"),
    *("trust_remote_code", "confirm_run_unsafe_code", "metadata"),
}


def options_of_the_harness() -> dict[str, argparse.Action]:
    run = HarnessCLI()._subparsers.choices["run"]
    return {action.dest: action for action in run._actions if action.dest != "help"}


def test_every_option_of_the_harness_is_heeded_or_refused():
    assert {*TAKEN, *NOT_HERE} == {*options_of_the_harness()} and not TAKEN & {*NOT_HERE}


VALUES = {"cache_requests": "true", "limit": "0", "samples": '{"tiny_passn": [1]}', "seed": "1234"}


@pytest.mark.parametrize("name", NOT_HERE)
def test_an_option_that_has_no_place_in_a_sweep_is_refused_with_the_reason(name):
    flag = options_of_the_harness()[name].nargs == 0
    value = [] if flag else [VALUES.get(name, "project=x")]
    with pytest.raises(InputError, match=f"--{name} given, which has no place in a sweep: ") as caught:
        harness_config([f"--{name}", *value, "--tasks", "tiny_passn"])
    assert str(caught.value).endswith(NOT_HERE[name])


def test_options_in_a_file_are_looked_at_too(tmp_path):
    file = tmp_path / "run.yaml"
    command = ["--config", str(file), "--tasks", "tiny_passn"]
    refused = {"limit: 4": "--limit given", "model: hf": "--model hf given", "wandb_args: {project: x}": "no service"}
    refused |= {"nonsense: 1": "nonsense", "- a": "YAML root must be a mapping", "a: [": "Invalid YAML"}
    for text, sentence in refused.items():
        file.write_text(text)
        with pytest.raises(InputError, match=sentence) as caught:
            harness_config(command)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="Config file not found"):
        harness_config(["--config", str(tmp_path / "none.yaml"), "--tasks", "tiny_passn"])
    file.write_text("model: null\nlimit: null\nlog_samples: false\nwandb_args: {}\nnum_fewshot: 2")
    assert (harness_config(command).model, harness_config(command).num_fewshot) == ("hf-pruned-bon", 2)


@pytest.mark.parametrize("options", [[], ["--model_args", "pretrained=tiny"], ["--tasks", ""]])
def test_without_tasks(options):
    with pytest.raises(InputError, match="no --tasks given"):
        harness_config(options)


def test_without_a_model_ours_is_meant_and_another_one_is_refused():
    assert harness_config(["--tasks", "tiny_passn"]).model == "hf-pruned-bon"
    for name in ("vllm-pruned-bon", "server-pruned-bon"):
        assert harness_config(["--model", name, "--tasks", "tiny_passn"]).model == name
    with pytest.raises(InputError, match="--model hf given, a sweep prunes heads: --model hf-pruned-bon or "):
        harness_config(["--model", "hf", "--tasks", "tiny_passn"])


WRONG_NAMES = [
    ("hf-pruned-bon", "pretraind=tiny", "unknown model argument pretraind=tiny: did you mean pretrained?"),
    ("hf-pruned-bon", "pretrained=tiny,zzz=1", "unknown model argument zzz=1: allowed are head_masks"),
    ("hf-pruned-bon", "pretrained=it's here,dtype=float32", "which holds dtype= as well"),
    ("server-pruned-bon", "base_ur=http://x", "unknown model argument base_ur=http://x: did you mean base_url?"),
]


@pytest.mark.parametrize(("model", "arguments", "sentence"), WRONG_NAMES)
def test_names_of_arguments_are_checked_before_a_default_model_is_looked_up(model, arguments, sentence):
    config = harness_config(["--model", model, "--model_args", arguments, "--tasks", "tiny_passn"])
    with pytest.raises(InputError, match=re.escape(sentence)):
        check_names(config.model, config.model_args)


def test_n_is_set_by_the_sweep():
    with pytest.raises(InputError, match="n= given among the model arguments, which a sweep sets by itself"):
        harness_config(["--model_args", "pretrained=tiny,n=4", "--tasks", "tiny_passn"])


@pytest.fixture
def never_evaluated(monkeypatch):
    def evaluated(*arguments):
        raise AssertionError("answers would have been generated")

    monkeypatch.setattr("sprint_lmeval.harness.sweep.evaluated", evaluated)


def refused(plan: Plan) -> str:
    with pytest.raises(InputError) as caught:
        sweep(plan, ["--model_args", "pretrained=tiny", "--tasks", "tiny_train_passn"])
    return str(caught.value)


def test_what_cannot_be_written_is_found_out_before_any_answer(never_evaluated, tmp_path):
    precious, folder = tmp_path / "precious.txt", tmp_path / "folder"
    precious.write_text("mine")
    folder.mkdir()
    assert "is there already" in refused(Plan(precious))
    assert "is no matrix, so it is not overwritten" in refused(Plan(precious, overwrite=True))
    assert "is a folder" in refused(Plan(folder, overwrite=True))
    assert "cannot be written" in refused(Plan(precious / "m.parquet"))
    assert precious.read_text() == "mine" and sorted(tmp_path.iterdir()) == [folder, precious]


def test_the_matrix_is_not_the_file_of_the_responses(never_evaluated, tmp_path):
    with Store.open(tmp_path / "store"):
        pass
    (tmp_path / "link").symlink_to("store")
    before = (tmp_path / "store").read_bytes()
    assert "give two names" in refused(Plan(tmp_path / "new", store=tmp_path / "folder" / ".." / "new"))
    for output in ("store", "link"):
        assert "not overwritten" in refused(Plan(tmp_path / output, store=tmp_path / "store", overwrite=True))
    assert (tmp_path / "store").read_bytes() == before
    (tmp_path / "magic").write_bytes(b"PAR1")
    (tmp_path / "same").hardlink_to(tmp_path / "magic")
    assert "give two names" in refused(Plan(tmp_path / "magic", store=tmp_path / "same", overwrite=True))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_one_sentence(name, environment, tmp_path):
    options, sentence = WRONG[name]
    done = environment.run(["sprint-lmeval", "sweep", "-o", tmp_path / "m.parquet", *options.split()], tmp_path)
    assert done.returncode != 0 and sentence in done.stderr.splitlines()[-1], done.stderr[-2000:]
    assert done.stderr.splitlines()[-1].startswith("error: ") and not (tmp_path / "m.parquet").exists()


def test_the_same_sweep_again_is_no_error(environment, unbroken):
    """Such as after a kill just behind the last write."""
    before = unbroken.read_bytes()
    said = swept(environment, unbroken.parent, f"{MODEL} {TASK}").stdout
    assert "6 questions x 17 candidates (0 answers generated, 102 from" in said and "base solves" in said
    assert unbroken.read_bytes() == before


OTHER_SWEEPS = {
    "more questions": ("--questions 6", "--questions 7"),
    "without texts": ("--seed 3", "--seed 3 --no-texts"),
    "other settings": ("--seed 3", "--seed 3 --gen_kwargs max_gen_toks=100"),
    "another model": ("dtype=float32", "dtype=bfloat16"),
    "another store": ("--seed 3", "--seed 3 --store none.sqlite"),
}


@pytest.mark.parametrize("name", OTHER_SWEEPS)
def test_the_matrix_of_another_sweep_is_not_overwritten(name, environment, unbroken, tmp_path):
    for file in unbroken.parent.glob("m.*"):
        shutil.copy(file, tmp_path)
    matrix, answers = (tmp_path / "m.parquet").read_bytes(), stored(tmp_path)
    given, other = OTHER_SWEEPS[name]
    options = f"{MODEL} {TASK}".replace(given, other)
    done = environment.run(["sprint-lmeval", "sweep", "-o", "m.parquet", *options.split()], tmp_path)
    assert done.returncode == 2 and "m.parquet is there already" in done.stderr.splitlines()[-1], done.stderr[-2000:]
    assert (tmp_path / "m.parquet").read_bytes() == matrix and stored(tmp_path) == answers == 102
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.answers.sqlite", "m.parquet"]
