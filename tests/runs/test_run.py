"""Runs read from what the harness wrote, and everything that is refused or left out."""

import json
import re
import shutil
from math import comb

import numpy as np
import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.passn.metrics import all_at_k, pass_at_k, unbiased_pass_at_k
from sprint_lmeval.runs.run import read_runs
from tests.shared.gate_examples import DATE, TASK, results, row, write_rows, write_run, write_sampled

VERDICTS = ["ci", "ii", "nc"]
OTHER_DATE = "2026-02-02T03-04-05.678901"


def one_run(folder):
    (run,) = read_runs([folder]).runs
    return run


def plain_row(number, letters):
    """A row of the harness's own model: neither candidates nor truncation are known."""
    made = row(number, letters)
    for name in ("candidates", "truncated_rows", "new_tokens"):
        del made[name]
    return made


def write_plain(folder, verdicts, **kwargs):
    """A run of the harness's `hf` model."""
    rows = [plain_row(number, letters) for number, letters in enumerate(verdicts)]
    path = write_rows(folder, rows)
    (file,) = folder.glob("results_*.json")
    text = json.loads(file.read_text())
    text["config"] = {"model": "hf", "model_args": "pretrained=org/model,dtype=float32", "torch_seed": 7}
    text["configs"][TASK]["generation_kwargs"] = {"max_gen_toks": 160, "until": ["\n\n"], "do_sample": False, **kwargs}
    file.write_text(json.dumps(text))
    return path


def test_a_run_holds_what_its_files_say(tmp_path):
    run = one_run(write_run(tmp_path, VERDICTS))
    assert (run.model, run.task, run.strategy, run.n) == ("tiny", TASK, "fixed", 2)
    assert [q.id for q in run.questions] == ["test-0", "test-1", "test-2"]
    assert run.correct.tolist() == [[True, False], [False, False], [False, True]]
    assert run.candidates[0] == ["base", "L0H0"] and run.answers[2] == [None, "1"]
    assert run.new_tokens.tolist() == [[9, 9]] * 3 and run.truncated.tolist() == [[0, 0]] * 3
    assert run.metrics["pass@2"] == pytest.approx(2 / 3)
    assert run.facts["settings"] == {"max_new_tokens": 160, "until": ["\n\n"]}
    assert run.responses(1) == ["it is 1 0 #### 0", "it is 1 1 #### 1"]


def test_questions_are_in_the_order_of_their_ids_whatever_the_file_has(tmp_path):
    rows = [row(number, "ci") for number in (10, 2, 1)]
    run = one_run(write_rows(tmp_path, rows))
    assert [q.id for q in run.questions] == ["test-1", "test-2", "test-10"]
    assert run.responses(2)[0] == "it is 10 0 #### 0"


def test_runs_of_the_plain_hf_model(tmp_path):
    run = one_run(write_plain(tmp_path, VERDICTS))
    assert (run.model, run.strategy, run.candidates, run.flat) == ("org/model", "hf", None, True)
    assert (run.truncated == -1).all() and (run.new_tokens == -1).all()
    assert run.facts["dtype"] == "float32"


def test_runs_of_the_plain_vllm_model(tmp_path):
    folder = write_plain(tmp_path, VERDICTS)
    (file,) = folder.glob("results_*")
    arguments = {"pretrained": "org/model", "dtype": "auto", "gpu_memory_utilization": 0.5}
    text = json.loads(file.read_text()) | {"config": {"model": "vllm", "model_args": arguments}}
    file.write_text(json.dumps(text))
    run = one_run(folder)
    assert (run.model_label, run.strategy, run.facts["dtype"], run.flat) == ("org/model", "vllm", None, True)


def test_rates_are_those_of_the_metrics(tmp_path):
    """What the samples say is what the harness averages, by the same names."""
    for name, write in (("ranked", write_run), ("sampled", write_sampled)):
        run = one_run(write(tmp_path / name, ["cci", "iii", "ccc", "icn"]))
        solved, found = run.correct.sum(1), run.samples.rates()
        for k in (1, 2, 3):
            assert found[f"pass@{k}"] == np.mean([pass_at_k(row, k) for row in run.correct.tolist()])
            if name == "sampled":
                assert found[f"unbiased_pass@{k}"] == np.mean([unbiased_pass_at_k(3, c, k) for c in solved])
                assert found[f"all@{k}"] == pytest.approx(np.mean([comb(c, k) / comb(3, k) for c in solved]))
            else:
                assert found[f"all@{k}"] == np.mean([all_at_k(row, k) for row in run.correct.tolist()])


def test_plain_samples_are_not_flat_and_have_a_seed(tmp_path):
    run = one_run(write_plain(tmp_path, VERDICTS, do_sample=True, temperature=0.6))
    assert (run.flat, run.seed, run.strategy_label) == (False, 7, "hf (T 0.6, seed 7)")


def test_absent_samples_are_fine(tmp_path):
    write_run(tmp_path, VERDICTS)
    next(tmp_path.glob("samples_*")).unlink()
    (run,), notes = read_runs([tmp_path])
    assert run.samples is None and run.questions == () and run.metrics["pass@1"] == pytest.approx(1 / 3)
    assert notes == []


def test_samples_without_documents_and_without_a_date(tmp_path):
    """As results/ holds them: no problem texts."""
    write_run(tmp_path, VERDICTS)
    (samples,), (file,) = tmp_path.glob("samples_*"), tmp_path.glob("results_*")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    kept = [{"id": r["doc"]["id"], **{k: r[k] for k in ("doc_hash", "verdicts", "answers")}} for r in rows]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in kept))
    file.rename(tmp_path / "results.json")
    samples.unlink()
    run = one_run(tmp_path)
    assert run.correct.sum() == 2 and run.questions[0].text == "" and run.responses(0) is None


def test_a_samples_file_may_be_given(tmp_path):
    write_run(tmp_path, VERDICTS)
    (samples,) = tmp_path.glob("samples_*")
    assert one_run(samples).n == 2
    next(tmp_path.glob("results_*")).unlink()
    with pytest.raises(InputError, match=r"samples_.* was given, and the results_.* not beside it"):
        read_runs([samples])


def test_texts_of_any_script(tmp_path):
    doc = {"id": "问题-1", "question": "Сколько будет 2+2? 二加二", "answer": "４", "subject": "算术"}
    changed = {0: {"doc": doc, "resps": [["答案是 ٤", "<b>4</b>\u2028"]], "answers": ["٤", "4"]}}
    run = one_run(write_run(tmp_path, VERDICTS, changed=changed))
    question = next(q for q in run.questions if q.id == "问题-1")
    assert (question.subject, question.gold) == ("算术", "４")
    assert run.responses(run.questions.index(question)) == ["答案是 ٤", "<b>4</b>\u2028"]


def test_arguments_that_alter_a_model_are_in_its_label_and_places_are_not(tmp_path):
    arguments = {
        "pretrained": "/home/somebody/model",
        "load_in_4bit": True,
        "store": "/tmp/x.sqlite",
        "token": "secret",
    }
    run = one_run(write_run(tmp_path, VERDICTS, model_args=arguments))
    assert run.model_label == "model (load_in_4bit=True)"


# ---- bad input: one sentence that names the file ----


def damage(folder, how):
    (samples,), (file,) = folder.glob("samples_*"), folder.glob("results_*")
    text, lines = json.loads(file.read_text()), samples.read_text().splitlines(keepends=True)
    if how == "results cut":
        file.write_text(file.read_text()[:200])
    elif how == "foreign JSON":
        file.write_text('{"what": ["else"]}')
    elif how == "results a list":
        file.write_text("[1, 2]")
    elif how == "deep":
        file.write_text("[" * 100_000)
    elif how == "another task":
        text["results"] = {"arc_easy": {"acc,none": 0.5}}
        text["configs"] = {"arc_easy": {"task": "arc_easy"}}
        file.write_text(json.dumps(text))
    elif how == "no N":
        text["configs"][TASK]["repeats"] = "2"
        file.write_text(json.dumps(text))
    elif how == "no rate":
        text["results"][TASK]["pass@2,first_n"] = 1.5
        file.write_text(json.dumps(text))
    elif how == "odd parts":
        text["n-samples"] = 5
        file.write_text(json.dumps(text))
    elif how == "samples cut":
        samples.write_text("".join(lines)[:-50])
    elif how == "line missing":
        samples.write_text("".join(lines[:-1]))
    elif how == "twice":
        samples.write_text("".join([*lines, lines[0]]))
    elif how == "empty":
        samples.write_text("")
    elif how == "edited":
        samples.write_text("".join(lines).replace('"incorrect"', '"correct"'))
    elif how.startswith("other "):
        text["results"][TASK][f"{how[6:]},first_n"] = 0.99
        file.write_text(json.dumps(text))
    elif how == "odd verdict":
        samples.write_text("".join(lines).replace('"incorrect"', '"right"'))
    elif how == "mixed N":
        first = row(0, "cii")
        samples.write_text("".join([json.dumps(first) + "\n", *lines[1:]]))
    elif how == "lists":
        samples.write_text("".join(lines).replace('"new_tokens": [9, 9]', '"new_tokens": [9]'))
    elif how == "foreign rows":
        samples.write_text('{"a": 1}\n' * 3)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("results cut", r"results_.*is not JSON .*not written to its end"),
        ("foreign JSON", r"results_.*JSON of something else"),
        ("results a list", r"results_.*JSON of something else"),
        ("deep", r"results_.*is not JSON"),
        ("another task", r"results_.*holds no \*_passn task .*arc_easy"),
        ("no N", r"results_.*repeats '2'"),
        ("no rate", r"results_.*has pass@2 1.5, a rate is from 0 to 1"),
        ("odd parts", r"results_.*is not the results of a run of 'tiny_passn'"),
        ("samples cut", r"samples_.*line 3: not JSON"),
        ("line missing", r"samples_.*has 2 questions, and its run had 3"),
        ("twice", r"samples_.*question 'test-0' is in it twice"),
        ("empty", r"samples_.*is empty"),
        ("edited", r"samples_.* gives pass@1 .* says"),
        ("other maj@2", r"samples_.* gives maj@2 .* says 0.99"),
        ("other all@2", r"samples_.* gives all@2 0.0000, .* says 0.99"),
        ("other no_answer", r"samples_.* gives no_answer 0.\d+, .* says 0.99"),
        ("other truncated", r"samples_.* gives truncated 0.0000, .* says 0.99"),
        ("other grader_failed", r"samples_.* gives grader_failed .* says 0.99"),
        ("odd verdict", r"samples_.*'right' stands among its verdicts"),
        ("mixed N", r"samples_.*2, 3 responses; all of one run have the same N"),
        ("lists", r"samples_.*lists have 1, 2 entries"),
        ("foreign rows", r"samples_.*line 1: no list of verdicts"),
    ],
)
def test_a_named_file_that_cannot_be_used(tmp_path, how, sentence):
    folder = write_run(tmp_path / "run", VERDICTS)
    damage(folder, how)
    with pytest.raises(InputError, match=sentence):
        read_runs([*folder.glob("results_*")])


@pytest.mark.parametrize("how", ["results cut", "foreign JSON", "another task", "samples cut", "edited", "mixed N"])
def test_one_bad_file_among_many_is_told(tmp_path, how):
    write_run(tmp_path / "good", VERDICTS)
    damage(write_run(tmp_path / "bad", VERDICTS, model_args={"pretrained": "other"}), how)
    runs, notes = read_runs([tmp_path])
    assert len(notes) == 1 and "bad" in notes[0]
    assert [r.model for r in runs if r.samples] == ["tiny"]
    if how in ("samples cut", "mixed N"):
        assert [r.model for r in runs] == ["other", "tiny"] and "by its results only" in notes[0]


def test_other_json_in_a_folder_is_told_in_one_sentence(tmp_path):
    write_run(tmp_path, VERDICTS)
    for name in "abcde":
        (tmp_path / f"{name}.json").write_text('{"x": 1}')
    (tmp_path / "selector").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "selector" / name).write_text("{}")
    notes = read_runs([tmp_path]).notes
    assert len(notes) == 1 and "(5 JSON files in all): no results of lm_eval" in notes[0]


def test_samples_without_their_results_are_told(tmp_path):
    write_run(tmp_path / "whole", VERDICTS)
    next(write_run(tmp_path / "half", VERDICTS).glob("results_*")).unlink()
    runs, notes = read_runs([tmp_path])
    assert len(runs) == 1
    assert len(notes) == 1 and "half" in notes[0] and "the results of its run are not beside it" in notes[0]
    with pytest.raises(InputError, match=r"no results .* \(1 file left out; the first: .*samples_tiny_passn"):
        read_runs([tmp_path / "half"])


def test_nothing_to_report(tmp_path):
    with pytest.raises(InputError, match=r"absent does not exist"):
        read_runs([tmp_path / "absent"])
    with pytest.raises(InputError, match=r"no results of a \*_passn task there"):
        read_runs([tmp_path])


def test_an_empty_name_is_not_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(write_run(tmp_path, VERDICTS))
    assert len(read_runs(["."]).runs) == 1
    with pytest.raises(InputError, match="'' given, needed is the name of a file or folder"):
        read_runs([""])


# ---- twins ----


def test_a_copy_of_a_run_is_left_out_and_told(tmp_path):
    shutil.copytree(write_run(tmp_path / "a", VERDICTS), tmp_path / "b")
    runs, notes = read_runs([tmp_path])
    assert [r.path.parent.name for r in runs] == ["a"]
    assert len(notes) == 1 and "is the same run as" in notes[0] and str(tmp_path / "b") in notes[0]


def test_a_path_given_twice_is_read_once(tmp_path):
    write_run(tmp_path, VERDICTS)
    runs, notes = read_runs([tmp_path, tmp_path])
    assert len(runs) == 1
    assert len(notes) == 1 and "given twice" in notes[0]


def test_of_a_rerun_with_other_results_the_newest_stays(tmp_path):
    for name, verdicts, date in (("old", ["ci", "ii"], 1.0), ("new", ["cc", "ii"], 2.0)):
        folder = write_run(tmp_path / name, verdicts)
        (file,) = folder.glob("results_*")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"date": date}))
    (run,), notes = read_runs([tmp_path / "new", tmp_path / "old"])
    assert run.path.parent.name == "new" and "an older run, with other results" in notes[0]


def test_runs_that_differ_in_seed_or_n_are_no_twins(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"{seed}", VERDICTS, sprint={"strategy": "random", "strategy_seed": seed})
    write_run(tmp_path / "n", ["c", "i", "i"], sprint={"strategy": "random", "strategy_seed": 0})
    runs, notes = read_runs([tmp_path])
    assert [run.strategy_label for run in runs] == ["random", "random (seed 1)", "random"]
    assert notes == []


def test_samples_of_another_kind_are_no_twins_and_are_named(tmp_path):
    for number, given in enumerate(({}, {"first": "greedy"}, {"first": "greedy", "codes": "arithmetic"})):
        write_run(tmp_path / f"{number}", VERDICTS, sprint={"strategy": "sample", "strategy_seed": 0, **given})
    runs, notes = read_runs([tmp_path])
    assert [run.strategy_label for run in runs] == [
        "sample",
        "sample (first greedy)",
        "sample (first greedy, codes arithmetic)",
    ]
    assert notes == []


def test_several_tasks_of_one_file(tmp_path):
    rows = [row(number, letters) for number, letters in enumerate(VERDICTS)]
    text = results(rows)
    second = results(rows, task="gsm8k_passn")
    for part in ("results", "configs", "versions", "n-shot", "n-samples"):
        text[part] |= second[part]
    text["results"]["arc_easy"], text["configs"]["arc_easy"] = {"acc,none": 0.5}, {}
    (tmp_path / f"results_{DATE}.json").write_text(json.dumps(text))
    runs, notes = read_runs([tmp_path])
    assert {run.task for run in runs} == {TASK, "gsm8k_passn"}
    assert len(notes) == 1 and "arc_easy left out" in notes[0]


def test_a_value_that_is_no_number_is_no_metric(tmp_path):
    write_run(tmp_path, VERDICTS)
    (file,) = tmp_path.glob("results_*")
    file.write_text(file.read_text().replace('"maj@2,first_n": 0.0', '"maj@2,first_n": NaN'))
    assert np.isfinite(list(one_run(tmp_path).metrics.values())).all() and "maj@2" not in one_run(tmp_path).metrics


@pytest.mark.parametrize(("name", "value"), [("pass@1", "NaN"), ("pass@2", "Infinity"), ("pass@1", '"N/A"')])
def test_a_rate_that_is_no_number_is_named(tmp_path, name, value):
    write_run(tmp_path, VERDICTS)
    (file,) = tmp_path.glob("results_*")
    file.write_text(re.sub(f'("{name},first_n": )[0-9.]+', rf"\g<1>{value}", file.read_text()))
    said = str(json.loads(value))
    with pytest.raises(InputError, match=rf"'tiny_passn' has {name} '?{said}'?, a rate is a number from 0 to 1"):
        read_runs([file])
