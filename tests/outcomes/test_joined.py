"""Matrices of different questions become one: `sprint-lmeval matrix A B -o C`."""

import numpy as np
import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.outcomes.joined import join
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from tests.shared.selector_examples import FACTS, matrix

SETTINGS = FACTS["settings"]
PARTS = ("verdicts", "truncated", "new_tokens")


def saved(folder, name: str, made: OutcomeMatrix) -> str:
    made.save(folder / name)
    return str(folder / name)


def test_one_matrix_stays_as_it_is():
    assert join([matrix()]).questions == matrix().questions


def test_the_parts_of_a_matrix_make_it_again_whatever_the_order_of_candidates(tmp_path):
    whole = matrix(90)
    first = whole.select(questions=range(60))
    second = whole.select(questions=range(60, 90), candidates=list(reversed(whole.candidates)))
    paths = [saved(tmp_path, "a.parquet", first), saved(tmp_path, "b.parquet", second)]
    assert main(["matrix", *paths, "-o", str(tmp_path / "c.parquet")]) == 0
    joined = OutcomeMatrix.load(tmp_path / "c.parquet")
    assert (joined.questions, joined.candidates) == (whole.questions, whole.candidates)
    assert all(np.array_equal(getattr(joined, part), getattr(whole, part)) for part in PARTS)


def test_the_joined_matrix_says_how_many_questions_it_has_and_of_which_draw():
    facts = {"questions": 60, "seed": 0, "draw": "uniform", "layers": [1]}
    joined = join([matrix(60, **facts), matrix(30, first=60, **facts, task="other")])
    assert joined.facts["questions"] == 90 and joined.facts["seed"] == 0
    assert joined.facts["task"] == "other+tiny_train_passn"
    drawn_otherwise = join([matrix(60, **facts), matrix(30, first=60, **facts | {"seed": 1})])
    assert "seed" not in drawn_otherwise.facts and drawn_otherwise.facts["draw"] == "uniform"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: matrix(30, first=60, fingerprint="cd"), "has fingerprint cd, and "),
        (lambda: matrix(30, first=60, dtype="torch.float16"), "has dtype torch.float16, and "),
        (
            lambda: matrix(30, first=60, settings=SETTINGS | {"max_new_tokens": 7}),
            "has settings {'max_new_tokens': 7}, and ",
        ),
        (lambda: matrix(30, first=60).select(candidates=matrix().candidates[:3]), "has other candidates than "),
        (lambda: matrix(30, first=59), "is in the matrix twice"),
    ],
)
def test_matrices_that_do_not_belong_together_are_refused(tmp_path, capsys, other, said):
    paths = [saved(tmp_path, "a.parquet", matrix(60)), saved(tmp_path, "b.parquet", other())]
    assert main(["matrix", *paths, "-o", str(tmp_path / "c.parquet")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "c.parquet").exists()
