"""`score --with calculator`: sums put right one after the other, and the model that goes on, here the embedded one."""

import json

import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.runs.run import read_runs
from sprint_lmeval.runs.scores import scores_path
from sprint_lmeval.scoring.calculator import MOST, corrected, put_right
from sprint_lmeval.tiny.problems import problems
from tests.shared.gate_examples import row, write_rows

GREEDY = " 4 * 5 = 20\n4 * 7 = 28\n20 + 28 = 48\n150 - 48 = 102\n#### 102"  # the embedded model's, of its first problem
WRONG = " 4 * 5 = 20\n4 * 7 = 27\n20 + 27 = 47\n150 - 47 = 103\n#### 103"


def write(folder):
    problem = problems("train")[0]
    rows = [row(number, "ic", candidates=["base", "L0H0"]) for number in range(2)]
    for one in rows:
        one["doc"]["question"], one["doc"]["answer"] = problem.question, str(problem.answer)
        one["arguments"]["gen_args_0"]["arg_0"] = problem.prompt
        one["resps"], one["answers"] = [[WRONG, GREEDY]], ["103", "102"]
    return write_rows(folder, rows)


def test_text_and_value():
    assert put_right("so 9 * 8 = $71, and 71 + 1 = 73") == "so 9 * 8 = $72"
    assert put_right("x = 9 *8 =71") == "x = 9 *8 =72" and put_right("9 * 8 = 72") is None


class Stutter:
    """Writes a false sum every time: what is put right has an end."""

    calls = 0

    def continued(self, contexts, until, max_new_tokens):
        self.calls += 1
        assert (until, max_new_tokens) == (["\n\n"], 160)
        return [", 1 + 1 = 3" for _ in contexts]


def test_it_goes_on_from_each_value_and_ends(tmp_path):
    run, model = read_runs([write(tmp_path)]).runs[0], Stutter()
    texts = corrected(["p", "q"], ["no sum", "2 + 2 = 5 and more"], run, model)
    assert texts == ["no sum", "2 + 2 = 4" + ", 1 + 1 = 2" * (MOST - 1) + ", 1 + 1 = 3"] and model.calls == MOST


def test_the_command(tmp_path, capsys):
    arguments = ["score", str(write(tmp_path)), "--with", "calculator", "--model_args", "pretrained=tiny"]
    for ways in (arguments, [*arguments[:3], "checked"]):  # the second keeps what the first chose
        assert main(ways) == 0
        assert "calculator: done by the computer: a bound, and no fair rival" in capsys.readouterr().out
        found = json.loads(scores_path(read_runs([tmp_path]).runs[0].samples_path).read_text())["methods"]
        assert found["calculator"]["verdicts"] == [1, 1] and found["calculator"]["accuracy"] == 1
        assert found["first"]["accuracy"] == 0 and found["calculator"]["over_first"] == 1


@pytest.mark.parametrize(
    ("changed", "more", "said"),
    [
        ({"candidates": ["L0H0", "base"]}, ["--model_args", "pretrained=tiny"], "begins with answers of L0H0"),
        ({"unbiased_pass@1": 0.5}, ["--model_args", "pretrained=tiny"], "begins with samples"),
        ({}, [], "--with calculator given, it needs a model: add --model_args"),
    ],
)
def test_mistakes(tmp_path, capsys, changed, more, said):
    rows = [row(number, "ic", **{"candidates": ["base", "L0H0"], **changed}) for number in range(2)]
    assert main(["score", str(write_rows(tmp_path, rows)), "--with", "calculator", *more]) == 2
    assert said in capsys.readouterr().err
