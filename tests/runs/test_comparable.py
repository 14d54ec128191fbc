"""What may be compared, and by what name a difference is refused."""

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.comparable import comparable_groups
from sprint_lmeval.runs.run import read_runs
from tests.shared.gate_examples import row, write_rows, write_run

VERDICTS = ["ci", "ii", "nc"]
OTHER = {"pretrained": "other"}
LIMIT = {"generation": [{"greedy": True, "max_new_tokens": 320, "until": ["\n\n"]}]}
STOP = {"generation": [{"greedy": True, "max_new_tokens": 160, "until": ["###"]}]}
WARM = {"strategy": "sample", "generation": [{"greedy": False, "temperature": 0.6, "max_new_tokens": 160}]}


def grouped(tmp_path, separate=False):
    return comparable_groups(read_runs([tmp_path]).runs, separate)


def differing_prompts(tmp_path, model):
    write_run(tmp_path / "a", VERDICTS)
    rows = [row(number, letters, prompt_hash="e" * 64) for number, letters in enumerate(VERDICTS)]
    write_rows(tmp_path / "b", rows, sprint={"strategy": "spread"}, model_args={"pretrained": model})


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ({"sprint": LIMIT}, r"limit of new tokens \(160 and 320\)"),
        ({"sprint": STOP}, "stop strings"),
        (
            {"sprint": {"grader": {"sympy": "1.15.0"}}},
            r"grader \(sprint_lmeval_grader 1, sympy 1.14.0 and sympy 1.15.0\)",
        ),
    ],
)
def test_differences_between_models_are_refused_by_name(tmp_path, second, named):
    write_run(tmp_path / "a", VERDICTS)
    write_run(tmp_path / "b", VERDICTS, model_args=OTHER, **second)
    with pytest.raises(InputError, match=rf"a/results_.* and .*b/results_.* cannot be compared .*{named}.*--strict"):
        grouped(tmp_path)
    first, other = grouped(tmp_path, separate=True)
    assert [run.model for run in first.runs + other.runs] == ["tiny", "other"] and "differ in" in other.differs


def test_the_task_version(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    folder = write_run(tmp_path / "b", VERDICTS, model_args=OTHER)
    (file,) = folder.glob("results_*")
    file.write_text(file.read_text().replace('"versions": {"tiny_passn": 1.0}', '"versions": {"tiny_passn": 2.0}'))
    with pytest.raises(InputError, match=r"task version \(1.0 and 2.0\)"):
        grouped(tmp_path)


def test_another_number_of_documents(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    write_run(tmp_path / "b", VERDICTS[:2], model_args=OTHER)
    with pytest.raises(InputError, match=r"number of documents \(3 and 2\)"):
        grouped(tmp_path)


def test_as_many_but_other_documents(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    write_rows(tmp_path / "b", [row(number + 1, "ci") for number in range(3)], model_args=OTHER)
    with pytest.raises(InputError, match=r"documents \(the first: test-3 is in the second only\)"):
        grouped(tmp_path)


def test_a_document_of_the_same_name_with_other_contents(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    write_run(tmp_path / "b", VERDICTS, changed={1: {"doc_hash": "b" * 64}}, model_args=OTHER)
    with pytest.raises(InputError, match="test-1 has other contents"):
        grouped(tmp_path)


def test_prompts_must_be_equal_within_a_model_only(tmp_path):
    differing_prompts(tmp_path / "one", "tiny")
    with pytest.raises(InputError, match="prompts of tiny"):
        grouped(tmp_path / "one")
    differing_prompts(tmp_path / "two", "other")
    (group,) = grouped(tmp_path / "two")
    assert group.models == ["tiny", "other"]


def test_the_form_of_prompts_tells_where_samples_are_absent(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    folder = write_run(tmp_path / "b", VERDICTS, sprint={"strategy": "spread", "prompt_form": "e" * 64})
    next(folder.glob("samples_*")).unlink()
    with pytest.raises(InputError, match="form of the prompts of tiny"):
        grouped(tmp_path)


def test_temperature_and_n_belong_to_the_strategy(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    write_run(tmp_path / "b", ["c", "i", "i"], sprint=WARM)
    (group,) = grouped(tmp_path)
    assert (len(group.runs), group.common_n) == (2, 1)


def test_one_response_that_stands_for_all_does_not_lower_the_common_n(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    write_run(tmp_path / "b", ["c", "i", "i"], sprint={"strategy": "base"})
    assert grouped(tmp_path)[0].common_n == 2


def test_other_documents_of_other_tasks_are_groups_of_their_own(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    write_run(tmp_path / "b", VERDICTS[:2], task="gsm8k_passn")
    assert [group.task for group in grouped(tmp_path)] == ["gsm8k_passn", "tiny_passn"]


def test_runs_that_would_bear_one_name_are_told_apart(tmp_path):
    for name, heads in (("a", ["L0H0"]), ("b", ["L0H1"])):
        write_run(tmp_path / name, VERDICTS, sprint={"candidates": heads})
    write_run(tmp_path / "e", VERDICTS, model_args=OTHER)
    labels = [run.strategy_label for run in grouped(tmp_path)[0].runs]
    assert len(set(labels[:2])) == 2 and all(label.startswith("fixed (list ") for label in labels[:2])
    assert labels[-1] == "fixed"


def test_reruns_with_another_limit_are_numbered_or_named(tmp_path):
    for name, limit in (("a", 3.0), ("b", None)):
        write_run(tmp_path / name, VERDICTS, limit=limit)
    assert [run.strategy_label for run in grouped(tmp_path)[0].runs] == ["fixed (limit 3.0)", "fixed"]


def test_runs_that_differ_in_nothing_that_is_named_are_numbered(tmp_path):
    write_run(tmp_path, VERDICTS)
    runs = read_runs([tmp_path]).runs * 3
    labels = [run.strategy_label for run in comparable_groups(runs)[0].runs]
    assert labels == ["fixed (run 1)", "fixed (run 2)", "fixed (run 3)"]


def test_models_of_one_name_with_other_weights_are_told_apart(tmp_path):
    write_run(tmp_path / "a", VERDICTS)
    write_run(tmp_path / "b", VERDICTS, sprint={"fingerprint": "a" * 64})
    write_run(tmp_path / "c", VERDICTS, model_dtype="torch.bfloat16", sprint={"fingerprint": "a" * 64})
    write_run(tmp_path / "d", VERDICTS, model_dtype="torch.float32", sprint={"fingerprint": "a" * 64})
    labels = [run.model_label for run in grouped(tmp_path)[0].runs]
    assert labels == [
        "tiny [weights ffffffff]",
        "tiny [weights aaaaaaaa]",
        "tiny [weights aaaaaaaa, bfloat16]",
        "tiny [weights aaaaaaaa, float32]",
    ]
