"""`sprint-lmeval`: what it hands to the harness, what it adds, and what it says to a mistyped command line."""

import argparse
import json
import re
import sysconfig
from pathlib import Path

import pytest

from sprint_lmeval import cli
from sprint_lmeval.commands import run
from sprint_lmeval.commands.parsing import responses_by_task
from sprint_lmeval.errors import InputError
from sprint_lmeval.harness.command_line import as_spelt_by
from sprint_lmeval.harness.run import EVERY_TASK, set_repeats
from tests.shared.environments import REPOSITORY, environment_in_use

TINY = ["--model", "hf-pruned-bon", "--model_args", "pretrained=tiny", "--tasks", "tiny_passn"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return environment_in_use(tmp_path_factory.mktemp("harness"))


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


SPLITS = [
    (["--tasks", "a", "b", "-n", "8", "--limit", "2"], ["-n", "8"], ["--tasks", "a", "b", "--limit", "2"]),
    (["-n8", "--dry-run", "-t", "a"], ["-n8", "--dry-run"], ["-t", "a"]),
    (["--gen_kwargs", "temperature=-1", "-L", "2"], [], ["--gen_kwargs", "temperature=-1", "-L", "2"]),
    (["--num_fewshot", "3", "--no-such", "-nx"], [], ["--num_fewshot", "3", "--no-such", "-nx"]),
    (["-t", "a", "-n"], ["-n", ""], ["-t", "a"]),
    (["-n", "a_passn=8", "-n=4", "-t", "a"], ["-n", "a_passn=8", "-n=4"], ["-t", "a"]),
    (["--dry_run", "--model-args", "n=2"], ["--dry_run"], ["--model-args", "n=2"]),
]


@pytest.mark.parametrize(("arguments", "ours", "harness"), SPLITS)
def test_only_our_options_are_taken_out(arguments, ours, harness):
    assert run.split_run_options(arguments) == (ours, harness)


MISTAKES = [
    ([], "the following arguments are required: COMMAND"),
    (["sweeep"], "invalid choice: 'sweeep' (choose from"),
    (["heads"], "the following arguments are required: MODEL"),
    (["heads", "tiny", "--heavy"], "unrecognized arguments: --heavy"),
    (["run", "-n", "0", "--tasks", "a"], "argument -n: '0' given, it must be a whole number from 1 up"),
    (["run", "-n", "2.5"], "argument -n: '2.5' given, it must be a whole number from 1 up"),
    (["run", "--tasks", "a", "-n"], "argument -n: '' given, it must be a whole number from 1 up"),
    (["run", "--tasks", "a", "-n", "a=b"], "argument -n: 'b' given, it must be a whole number from 1 up"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES)
def test_a_mistake_gets_one_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert sentence in said and said.count("\n") == 1 and said.startswith("error: ")


def write_config(folder: Path, **config) -> str:
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def test_heads_of_the_embedded_model(capsys):
    assert cli.main(["heads", "tiny"]) == 0
    listed = capsys.readouterr().out
    assert "architecture  Qwen2ForCausalLM" in listed
    assert "heads         L0 … L3: 8 each, H0 … H7, head_dim 32" in listed
    assert "single heads  32: L0H0 … L3H7" in listed


def test_heads_without_weights_and_with_layers_that_differ(tmp_path, capsys):
    model = write_config(
        tmp_path,
        model_type="gemma3_text",
        num_hidden_layers=28,
        num_attention_heads=4,
        num_key_value_heads=1,
        hidden_size=640,
        head_dim=256,
    )
    assert cli.main(["heads", model]) == 0
    listed = capsys.readouterr().out
    assert "heads         L0 … L27: 4 each, H0 … H3, head_dim 256" in listed
    assert "spread        base, then 20 heads of layers 5, 10, 15, 20, 25" in listed


UNLISTABLE = [
    ({"model_type": "t5"}, "T5 given, allowed are decoder-only language models"),
    ({"model_type": "mamba", "num_hidden_layers": 2}, "heads of MambaForCausalLM cannot be pruned"),
    ({"model_type": "no-such-type"}, "could not be loaded"),
]


@pytest.mark.parametrize(("config", "sentence"), UNLISTABLE)
def test_heads_of_what_has_none(tmp_path, config, sentence, capsys):
    assert cli.main(["heads", write_config(tmp_path, **config)]) == 2
    assert sentence in capsys.readouterr().err


def test_heads_of_a_folder_that_is_not_there(capsys):
    assert cli.main(["heads", "/no/such/folder"]) == 2
    assert "there is no config.json in that folder" in capsys.readouterr().err


@pytest.mark.parametrize("n", [3, 20])
def test_run_with_another_n(environment, tmp_path, n):
    """N below and above the task's 16: the task keeps its name, and the results say N."""
    options = ["--limit", "2", "--batch_size", "64", "--gen_kwargs", "max_gen_toks=24"]
    written = ["--output_path", "results", "--log_samples"]
    done = environment.run(["sprint-lmeval", "run", *TINY, *options, *written, "-n", str(n)], tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads(next(tmp_path.rglob("results_*.json")).read_text())
    rows = [json.loads(line) for line in next(tmp_path.rglob("samples_tiny_passn_*.jsonl")).read_text().splitlines()]
    assert results["configs"]["tiny_passn"]["repeats"] == n
    assert f"pass@{n},first_n" in results["results"]["tiny_passn"]
    assert f"pass@{n + 1},first_n" not in results["results"]["tiny_passn"]
    assert [len(row["candidates"]) for row in rows] == [n, n]
    assert [len(row["resps"][0]) for row in rows] == [n, n]


N_FROM_PYTHON = """
from lm_eval import simple_evaluate
found = simple_evaluate(model="hf-pruned-bon", model_args="pretrained=tiny,n=3", tasks=["tiny_passn"], limit=2,
                        gen_kwargs="max_gen_toks=8")
print([name for name in found["results"]["tiny_passn"] if "stderr" not in name], found["config"]["sprint"]["n"])
"""
N_FROM_CONFIG = "model: hf-pruned-bon\nmodel_args: {pretrained: tiny, n: 3}\ntasks: [tiny_passn]\nlimit: 2\n"
N_WAYS = {
    "python": ["python", "-c", N_FROM_PYTHON],
    "lm_eval": ["lm_eval", *TINY[:2], "--model_args", "pretrained=tiny,n=3", *TINY[4:], "--limit", "2"],
    "config": ["sprint-lmeval", "run", "--config", "run.yaml"],
}


@pytest.mark.parametrize("way", N_WAYS)
def test_n_as_a_model_argument(way, environment, tmp_path):
    (tmp_path / "run.yaml").write_text(N_FROM_CONFIG)
    done = environment.run(N_WAYS[way], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "pass@3" in done.stdout and "pass@4" not in done.stdout


WITHOUT_START_UP_FILES = f"""
import sys
sys.path += [{sysconfig.get_path("purelib")!r}, {str(REPOSITORY)!r}]
sys.argv[0] = "sprint-lmeval"
from sprint_lmeval.cli import main
sys.exit(main())
"""


def test_run_works_where_start_up_files_are_not_read(environment, tmp_path):
    masks = ["--model_args", "pretrained=tiny,head_masks=L99H0"]
    command = ["python", "-S", "-c", WITHOUT_START_UP_FILES, "run", *TINY[:2], *masks, *TINY[4:]]
    done = environment.run(command, tmp_path)
    assert done.returncode != 0
    assert "layer 99 given" in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


OF_THE_HARNESS = [  # options of `run` after --tasks tiny_passn, and the last line
    (["--no-such-option"], "error: unrecognized arguments: --no-such-option (see `lm_eval run --help`)"),
    (["--tasks", "tiny_pasn"], "error: Tasks not found: tiny_pasn: did you mean tiny_passn?"),
    (["--tasks", "no_such"], "error: Tasks not found: no_such: `lm_eval ls tasks` lists them"),
    (["--model", "hf-prund-bon"], "error: no model is called hf-prund-bon: did you mean hf-pruned-bon?"),
    (["--model-args", "pretrained=tiny,head_masks=L1H2,L1H3+L1H4"], "error: L1H3+L1H4 given behind a comma: separate"),
    (["--model_args", "pretrained=tiny,L"], "error: argument --model_args: expected `key=value`, got 'L'"),
    (["--model_args", "{'pretrained': 1}"], "error: Invalid JSON"),
    (["--log_samples"], "error: Specify --output_path if providing --log_samples or --predict_only"),
    (["--samples", "{a"], "error: "),
    (["--config", "none.yaml"], "error: Config file not found: "),
    (["-n", "gsm8k_passn=4"], "error: -n gsm8k_passn=4 given, but no task gsm8k_passn of this run takes N responses"),
]


@pytest.mark.parametrize(("options", "sentence"), OF_THE_HARNESS)
def test_what_the_harness_refuses_is_one_sentence_too(options, sentence, environment, tmp_path):
    done = environment.run(["sprint-lmeval", "run", *TINY, *options], tmp_path)
    said = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and said.startswith(sentence) and "Traceback" not in done.stderr, done.stderr[-2000:]


SPELT = [
    (["--model_args", "a_b=c-d"], ["--model_args", "a_b=c-d"]),
    (["--model-args=a_b=c-d", "--no-such_one", "x_y-z"], ["--model_args=a_b=c-d", "--no-such_one", "x_y-z"]),
    (["--no_texts", "--dry_run"], ["--no-texts", "--dry_run"]),
]


@pytest.mark.parametrize(("given", "spelt"), SPELT)
def test_both_spellings_of_options(given, spelt):
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_args")
    parser.add_argument("--no-texts")
    assert as_spelt_by(parser, given) == spelt


def test_both_spellings_in_commands(capsys):
    assert cli.main(["heads", "tiny", "--trust_remote_code"]) == 0
    assert cli.main(["score", "nowhere", "--with", "majority", "--model-args=x=1"]) == 2


def test_options_without_a_value_are_listed(environment, tmp_path):
    done = environment.run(["sprint-lmeval", "run"], tmp_path)
    assert done.returncode == 0 and "--model_args" in done.stdout


def test_n_by_task():
    assert [responses_by_task(text) for text in ("8", "a=8", "a=8,2", "a=1, b=2")] == [
        {EVERY_TASK: 8},
        {"a": 8},
        {"a": 8, EVERY_TASK: 2},
        {"a": 1, "b": 2},
    ]


def test_n_needs_a_task_that_takes_it():
    with pytest.raises(InputError, match="-n 4 given, but none of the tasks arc_easy takes N responses"):
        set_repeats({"arc_easy": object()}, {EVERY_TASK: 4})


def test_dry_run(environment, tmp_path):
    """It lists what would run and leaves nothing behind."""
    options = ["--limit", "3", "--batch_size", "8", "--output_path", "results", "-n", "4", "--dry-run"]
    masks = ["--model_args", "pretrained=tiny,head_masks=base:L0H1:L3H7:L0H1+L3H7:L1H1"]
    done = environment.run(["sprint-lmeval", "run", *TINY[:2], *masks, *TINY[4:], *options], tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Dry run: nothing was evaluated."
    assert "  4 candidates (base L0H1 L3H7 L0H1+L3H7), the same for every question" in lines
    assert "  rows: 3 questions x 4 responses = 12" in lines
    (time,) = (line for line in lines if line.startswith("  time: about 0:"))
    assert re.search(r"measured: (4|8) rows of \d+ tokens in [\d.]+ s, \d+ tokens a second", time)
    assert not re.search("slower|min_new_tokens|generate only", done.stderr)  # warnings of its own making
    assert list(tmp_path.iterdir()) == []


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("sprint-lmeval 0.")
