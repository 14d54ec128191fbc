"""What a page knows from its start: tasks, curves, verdicts, leaderboard, heads."""

import pytest

from sprint_lmeval.report.leaderboard import leaderboard
from sprint_lmeval.report.page.data import core_data, heads_data
from sprint_lmeval.report.page.mathematics import Mathematics
from sprint_lmeval.runs.comparable import comparable_groups
from sprint_lmeval.runs.run import read_runs
from sprint_lmeval.runs.scores import read_scores
from tests.shared.gate_examples import with_scores, write_run, write_sampled
from tests.shared.matrix_examples import SOLVED, matrix
from tests.shared.page_examples import BETTER, VERDICTS, write_runs

LETTERS = str.maketrans("cin", "012")


def data_of(folder, matrices=(), separate=False) -> dict:
    rows = leaderboard(comparable_groups(read_runs([folder]).runs, separate))
    return core_data(rows, matrices, Mathematics())


@pytest.fixture
def data(tmp_path):
    return data_of(write_runs(tmp_path))


def columns(data) -> dict[str, list]:
    labels = [column["label"] for column in data["leaderboard"]["columns"]]
    return dict(zip(labels, zip(*data["leaderboard"]["rows"], strict=True), strict=True))


def test_runs_with_their_verdicts_and_curves(data):
    assert data["summary"] == "3 runs of 2 models on tiny_passn, 12 questions"
    by_label = {run["label"]: run for run in data["runs"]}
    run = by_label["org/small: coverage"]
    places = {question["id"]: place for place, question in enumerate(data["tasks"][0]["questions"])}
    for number, letters in enumerate(BETTER):
        place = run["questions"].index(places[f"test/{number}"])
        assert run["verdicts"][place] == letters.translate(LETTERS)
    assert run["curve"] == pytest.approx([2 / 12, 11 / 12, 11 / 12, 1], abs=1e-5)
    assert run["tokens"] == [10, 30, 60, 100]
    assert all(low <= rate <= high for low, rate, high in zip(run["low"], run["curve"], run["high"], strict=True))
    assert by_label["org/small: spread"]["verdicts"][0] == VERDICTS[0].translate(LETTERS)


def test_questions(data):
    question = data["tasks"][0]["questions"][0]
    assert (question["id"], question["subject"], question["level"]) == ("test/0", "Algebra", 1)
    assert [type(piece) for piece in question["pieces"]] == [str, list, str, list, str]
    assert question["gold"] == ["9"]


def test_leaderboard_columns(data):
    table = columns(data)
    assert "Task" not in table  # there is one
    assert table["Strategy"][table["Difference"].index("best baseline")] == "spread"
    chosen = table["Strategy"].index("coverage")
    difference, low, high, p, corrected, baseline, n = table["Difference"][chosen]
    assert table["Pass@4"][chosen] == 1 and (baseline, n) == ("spread", 4)
    assert difference > 0 and low <= difference <= high and p <= corrected <= 1
    kinds = {column["label"]: column["kind"] for column in data["leaderboard"]["columns"]}
    assert kinds["Pass@4"] == kinds["Mean"] == "percent"
    assert kinds["N"] == "number" and kinds["Difference"] == "difference"
    rare = [column["label"] for column in data["leaderboard"]["columns"] if column["rare"]]
    assert rare == ["Mean", "N", "Questions"]


def test_the_best_strategy_is_told_in_words(data):
    [sentence] = data["best"]  # of the model with several runs
    assert sentence.startswith(
        "org/small on tiny_passn: coverage is best, Pass@4 100.0 % (95 %: 100.0 to 100.0); that is "
    )
    assert " points to the best baseline, spread (95 %: +" in sentence and " / " in sentence


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (["cc", "ii"], ["ii", "ii"], "spread is best, Pass@2 50.0 % (95 %: 0.0 to 100.0); the best selector, "),
        (
            ["ii", "ii"],
            ["ci", "ii"],
            "s (sprint) is best, Pass@2 50.0 % (95 %: 0.0 to 100.0); that is +50.0 ",
        ),
        (["ii", "ii"], ["ii", "ii"], "no strategy solves a question at N = 2."),
        (["ci", "ii"], ["ic", "ii"], "spread is best"),  # the learned one is only as good
    ],
)
def test_a_baseline_that_is_best_is_named(tmp_path, first, second, said):
    learned = {"strategy": "selector", "selector": "s", "method": "sprint", "learned": True}
    write_run(tmp_path / "a", first, sprint={"strategy": "spread"})
    write_run(tmp_path / "b", second, sprint=learned)
    [sentence] = data_of(tmp_path)["best"]
    assert sentence.startswith(f"tiny on tiny_passn: {said}")
    assert ("which may be chance" in sentence) != said.startswith("no strategy")


def test_scores_are_columns(tmp_path):
    run = with_scores(write_run(tmp_path, ["ic", "ii"]))
    rows = leaderboard(comparable_groups([run]), {(run.path, run.task): read_scores(run)})
    table = columns(core_data(rows, [], Mathematics()))
    assert table["Majority"] == (0.0,) and table["majority vote"] == (0.5,)  # ties split; the first of equals
    assert table["majority vote / Pass@N"] == (0.75,) and table["rpc"] == (0.25,)
    notes = core_data(rows, [], Mathematics())["leaderboard"]["notes"]
    assert any(note.endswith("All candidates scored under the unpruned whole/model: rpc.") for note in notes)


def test_what_an_estimate_is_and_at_which_n_is_told(tmp_path):
    write_sampled(tmp_path / "a", ["ci", "ii"])
    write_run(tmp_path / "b", ["iicc", "iiii"], sprint={"strategy": "spread"})
    data = data_of(tmp_path)
    best, compared = columns(data)["Difference"]
    assert (best, compared[5:]) == ("best baseline", ["sample (T 0.6)", 2])
    assert any("Of independent samples Pass@N is the unbiased estimate" in x for x in data["leaderboard"]["notes"])


def test_a_text_that_one_of_two_files_lacks_is_shown(tmp_path):
    write_run(tmp_path / "a", ["ci"], sprint={"strategy": "spread"})
    write_run(tmp_path / "b", ["cc"], sprint={"strategy": "base"}, changed={0: {"doc": {"id": "test-0"}}})
    [task] = data_of(tmp_path)["tasks"]
    assert [question["pieces"] for question in task["questions"]] == [["What is 0 + 1?"]]


def test_groups_of_one_task_are_numbered(tmp_path):
    write_run(tmp_path / "a", ["ci", "ii"], sprint={"strategy": "spread"})
    write_run(tmp_path / "b", ["ci"], sprint={"strategy": "base"})
    data = data_of(tmp_path, separate=True)
    assert [task["name"] for task in data["tasks"]] == ["tiny_passn (group 1)", "tiny_passn (group 2)"]
    assert sorted(columns(data)["Task"]) == ["tiny_passn (group 1)", "tiny_passn (group 2)"]
    assert [run["task"] for run in data["runs"]] == [0, 1]
    assert data["summary"] == "2 runs of 1 model on tiny_passn, 2 questions"  # of which both groups have one


def test_a_run_without_samples_has_a_curve_only(tmp_path):
    write_run(tmp_path, ["ci", "ic"])
    next(tmp_path.glob("samples*")).unlink()
    data = data_of(tmp_path)
    [run] = data["runs"]
    assert run["verdicts"] is None and run["low"] is None and run["curve"] == [0.5, 1.0]
    assert data["tasks"][0]["questions"] == []


def test_heads_by_subject():
    heads = heads_data(matrix(SOLVED))
    assert heads["label"] == "m, t_passn, test" and heads["left_out"] == 0
    assert (heads["subjects"], heads["counts"]) == (("all", "sums", "算术"), (4, 2, 2))
    assert (heads["layers"], heads["heads"]) == ((0, 2), (0, 1))
    assert heads["base"] == [0.5, 0.5, 0.5]
    assert heads["rates"][0] == [[0.5, 0.5], [0.25, 0.5]]
    assert heads["gains"][0] == [[0.0, 0.0], [-0.25, 0.0]]


def test_heads_that_were_not_run_and_several_at_once():
    heads = heads_data(matrix(["c-i", "i-c", "c-c", "i-c"], ("base", "L0H0", "L0H1+L2H1")))
    assert heads["rates"][0] == [[None]] and heads["left_out"] == 1
    assert heads_data(matrix(["cc", "ii", "ic", "ci"], ("base", "L0H1+L2H1"))) is None
