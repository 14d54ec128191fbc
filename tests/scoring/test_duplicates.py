"""DeepPrune and Slim-SC against plain loops, judges of pairs, and both through the commands."""

import json
from itertools import combinations

import numpy as np
import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.scoring.duplicates import greedy_clusters, sameness, stopped_chains
from sprint_lmeval.scoring.judges import Agreement
from sprint_lmeval.scoring.pairs import QuestionPairs, _folds, area_under_curve
from sprint_lmeval.selection.encoder import Encoder
from tests.shared.gate_examples import DATE, TASK, row, write_rows
from tests.shared.reward_examples import reward_by_hand, reward_folder


class Letters:
    """Stands in for the sentence encoder: how often each letter and digit is in a text."""

    name, fingerprint = "letters", "a" * 64
    asked: list[str] = []  # noqa: RUF012

    def encode(self, texts) -> np.ndarray:
        self.asked.extend(texts)
        return np.array([[text.count(c) + 1e-3 for c in "abcdefgh0123456789"] for text in texts], np.float32)


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    monkeypatch.setattr(Encoder, "find", classmethod(lambda cls, name=None: Letters()))


def clusters_by_hand(chances, threshold):
    clusters = []
    for new in range(len(chances)):
        best, value = None, threshold
        for cluster in clusters:
            members = cluster[:10]
            mean = sum(chances[new][old] for old in members) / len(members)
            if mean > value or (mean == value and best is None):
                best, value = cluster, mean
        if best is None:
            clusters.append([new])
        else:
            best.append(new)
    return clusters


def test_clusters_are_their_loop():
    draw = np.random.default_rng(0)
    seen = set()
    for threshold in (0.3, 0.5, 0.6, 0.7):
        chances = draw.random((30, 30))
        found = greedy_clusters(chances, threshold)
        assert found == clusters_by_hand(chances.tolist(), threshold)
        seen.add(len(found))
    assert len(seen) > 2


def chains_by_hand(thoughts, threshold, rule, draw):
    """Every pair of thoughts one by one."""
    out = {}
    for step in range(max(map(len, thoughts))):
        for chain in range(len(thoughts)):
            if chain in out or len(thoughts[chain]) <= step:
                continue
            nearest, other = threshold, None
            for o in range(len(thoughts)):
                if o == chain or o in out:
                    continue
                for thought in thoughts[o][: step + 1]:
                    if float(thought @ thoughts[chain][step]) > nearest:
                        nearest, other = float(thought @ thoughts[chain][step]), o
            if other is None:
                continue
            loser = chain
            if len(thoughts[other]) > step + 1:  # it still goes on
                if rule == "random":
                    loser = (chain, other)[draw.integers(2)]
                else:
                    means = []
                    for c in (chain, other):
                        cosines = [float(a @ b) for a, b in combinations(thoughts[c][: step + 1], 2)]
                        means.append(sum(cosines) / len(cosines) if cosines else 0.0)
                    loser = other if means[1] > means[0] + 1e-12 else chain
            out[loser] = (step, other if loser == chain else chain)
    return out


@pytest.mark.parametrize("rule", ["random", "diversity"])
def test_chains_are_their_loop(rule):
    draw = np.random.default_rng(1)
    seen = []
    for number in range(20):
        thoughts = [draw.normal(size=(length, 3)) for length in draw.integers(1, 6, 8)]
        thoughts = [(of / np.linalg.norm(of, axis=1, keepdims=True)).astype(np.float32) for of in thoughts]
        found = stopped_chains(thoughts, 0.9, rule, np.random.default_rng(number))
        assert found == chains_by_hand(thoughts, 0.9, rule, np.random.default_rng(number))
        seen.append(len(found))
    assert 0 < min(seen) < max(seen) < 8
    assert sameness(np.eye(3)) == sameness(np.ones((1, 3))) == 0


def test_agreement_is_counted_over_questions():
    names = [["base", "L0H0", "L0H1"], ["L0H1", "base", "base"]]
    correct = [np.array([True, False, False]), np.array([True, False, False])]
    table = Agreement.counted(names, correct)
    expected = {("base", "L0H0"): 0, ("base", "L0H1"): 0, ("L0H0", "L0H1"): 1, ("base", "base"): 1}
    for (a, b), share in expected.items():
        assert table.of([a, b])[0, 1] == table.of([b, a])[0, 1] == share
    unknown = table.of(["base", "L9H9"])[0, 1]
    assert 0 < unknown < 1


def test_area_under_curve_is_the_share_of_pairs_in_order():
    scores, truth = np.array([0.1, 0.4, 0.4, 0.9, 0.2]), np.array([False, True, False, True, True])
    pairs = [(p, n) for p in scores[truth] for n in scores[~truth]]
    assert area_under_curve(scores, truth) == pytest.approx(np.mean([(p > n) + 0.5 * (p == n) for p, n in pairs]))


# ---- through the commands ----

TEXTS = ["aaab\n1 + 2\n#### 3", "aaac\n1 + 2\n#### 3", "ffgg\n9 * 9\n#### 81", "ffgh\n9 * 9\n#### 80"]
ANSWERS = ["3", "3", "81", "80"]
LENGTHS = [10, 20, 30, 40]
TRAINING = 50  # the first question that a judge learns from


def rows(count: int, first: int = 0, **changed) -> list[dict]:
    return [
        row(i, "ccii", answers=ANSWERS, resps=[TEXTS], candidates=["base"] * 4, **{"new_tokens": LENGTHS, **changed})
        for i in range(first, first + count)
    ]


def trained(tmp_path, capsys, *options, status=0, task="tiny_train_passn", of=None, **of_results) -> str:
    write_rows(tmp_path / "train", of or rows(6, TRAINING), task, **of_results)
    command = ["train", str(tmp_path / "train"), "--method", "pairs", "-o", str(tmp_path / "judge"), *options]
    assert main(command) == status
    return capsys.readouterr()[1 if status else 0]


def scored(tmp_path, *options, status=0, of=None, **of_results) -> dict:
    write_rows(tmp_path / "run", of or rows(3), **of_results)
    assert main(["score", str(tmp_path / "run"), "--with", *options]) == status
    return {} if status else json.loads((tmp_path / "run" / f"scores_{TASK}_{DATE}.json").read_text())["methods"]


def test_a_judge_is_trained_and_prunes(tmp_path, capsys):
    said = trained(tmp_path, capsys, "--set", "prefix=4")
    assert "pairs, 6 questions, 36 pairs, 16.7 % of them alike, validation AUROC" in said
    methods = scored(tmp_path, "deepprune0.2,deepprune0.999", "--judge", str(tmp_path / "judge"))
    found = methods["deepprune0.2 by size"]
    assert found["used"] == [2] * 3 and found["chosen"] == [0] * 3  # {aaab, aaac} and {ffgg, ffgh}
    assert found["tokens"] == [10 + 4 + 30 + 4] * 3 and found["accuracy"] == 1 and "over_vote" in found
    assert found["settings"]["merged"].startswith("3 of 6 responses that were stopped end in another answer")
    assert "deepprune0.2 by cluster: 3 of 6 responses" in capsys.readouterr().out
    assert methods["deepprune0.999 by size"]["used"] == [4] * 3
    assert methods["deepprune0.999 by cluster"]["chosen"] == methods["majority"]["chosen"]


def test_any_sequence_classifier_judges(tmp_path):
    folder = reward_folder(tmp_path / "judge")
    methods = scored(tmp_path, "deepprune0.5", "--judge", folder, "--prefix", "0.5", "--device", "cpu")
    begun = [text[: round(len(text) / 2)] for text in TEXTS]
    chances = np.ones((4, 4))
    for a, b in combinations(range(4), 2):
        chances[a, b] = chances[b, a] = 1 / (1 + np.exp(-reward_by_hand(folder, begun[a], begun[b]).item()))
    kept = [cluster[0] for cluster in clusters_by_hand(chances, 0.5)]
    expected = sum(LENGTHS[i] if i in kept else LENGTHS[i] // 2 for i in range(4))
    assert methods["deepprune0.5 by size"]["used"] == [len(kept)] * 3
    assert methods["deepprune0.5 by size"]["tokens"] == [expected] * 3


def test_slim_sc_through_the_command(tmp_path):
    Letters.asked.clear()
    methods = scored(tmp_path, "slimsc,slimsc0.9999999", of=rows(3))
    assert len(Letters.asked) == len(set(Letters.asked)) == 9  # the different lines
    vectors = [Letters().encode(text.split("\n")) for text in TEXTS]
    vectors = [of / np.linalg.norm(of, axis=1, keepdims=True) for of in vectors]
    for rule in ("random", "diversity"):
        found = methods[f"slimsc {rule}"]
        for number in range(3):
            out = chains_by_hand(vectors, 0.95, rule, np.random.default_rng((0, number)))
            ends = [np.cumsum([len(line) + 1 for line in text.split("\n")]) - 1 for text in TEXTS]
            paid = [
                int(np.ceil(ends[i][out[i][0]] / len(TEXTS[i]) * LENGTHS[i])) if i in out else LENGTHS[i]
                for i in range(4)
            ]
            assert out and found["used"][number] == 4 - len(out) and found["tokens"][number] == sum(paid)
            assert found["chosen"][number] not in out
    assert methods["slimsc random"]["settings"]["merged"].endswith("end in another answer than the one they are like")


@pytest.mark.parametrize("way", ["slimsc1", "slimsc0", "slimsc1.5", "slimsc0.9.5", "deepprune2"])
def test_thresholds_out_of_range(way, tmp_path, capsys):
    options = ["--judge", str(tmp_path)] if way.startswith("deepprune") else []
    scored(tmp_path, way, *options, status=2)
    assert "a threshold lies between 0 and 1" in capsys.readouterr().err


def test_a_judge_that_does_not_fit(tmp_path, capsys):
    scored(tmp_path, "deepprune", status=2)
    assert "--with deepprune given, it needs a model: add --judge" in capsys.readouterr().err
    trained(tmp_path, capsys)
    judge = ["--judge", str(tmp_path / "judge")]
    scored(tmp_path, "deepprune", *judge, status=2, sprint={"fingerprint": "e" * 64})
    assert "was trained on responses of tiny" in capsys.readouterr().err
    scored(tmp_path, "deepprune", *judge, "--prefix", "0.5", status=2)
    assert "has learned from 0.3: leave it out" in capsys.readouterr().err
    scored(tmp_path, "deepprune", *judge, status=2, of=rows(3, new_tokens=None))
    assert "does not say how many tokens" in capsys.readouterr().err
    scored(tmp_path, "deepprune", *judge, status=2, of=rows(3, TRAINING - 1))
    assert "2 of 3 questions of" in capsys.readouterr().err
    file = tmp_path / "judge" / "config.json"
    for change in (
        {"weight": [1]},
        {"prefix": "0.3"},
        {"agreement": {"candidates": [], "shares": []}},
        {"model": 1},
        {"questions": [1]},
    ):
        kept = file.read_text()
        file.write_text(json.dumps({**json.loads(kept), **change}))
        scored(tmp_path, "deepprune", *judge, status=2)
        assert "is damaged: train it anew" in capsys.readouterr().err
        file.write_text(kept)
    file.write_text(json.dumps({**json.loads(kept), "encoder_fingerprint": "b" * 64}))
    scored(tmp_path, "deepprune", *judge, status=2)
    assert "another sentence encoder" in capsys.readouterr().err


def test_a_question_of_two_runs_is_in_one_fold():
    parts = _folds([QuestionPairs(name, [], *np.zeros((3, 0))) for name in "abcdabcd"], 3, 0)
    assert sorted(np.concatenate(parts)) == list(range(8))
    assert all(
        {index % 4 for index in part if index < 4} == {index % 4 for index in part if index > 3} for part in parts
    )


def test_runs_that_teach_nothing(tmp_path, capsys):
    assert "learns from a training task" in trained(tmp_path, capsys, status=2, task=TASK)
    wrong = {"alpha=1": "--set alpha=1", "--candidates": "--candidates heads", "--questions": "--questions 3"}
    for name, given in {**wrong, "--seed -1": "--seed -1"}.items():
        assert name in trained(tmp_path, capsys, *given.split(), status=2)
    same = [{**r, "answers": ["3"] * 4} for r in rows(3)]
    (tmp_path / "same").mkdir()
    assert "all pairs end alike, or none" in trained(tmp_path / "same", capsys, status=2, of=same)
    write_rows(tmp_path / "train" / "other", [row(i, "ci") for i in range(3)], "gsm8k_train_passn")
    assert "the runs are of different N (2, 4)" in trained(tmp_path, capsys, status=2)
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "mine").write_text("")
    assert "is there already" in trained(tmp_path, capsys, "--overwrite", status=2)
