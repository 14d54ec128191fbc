"""Answers that are known by hand, through the real harness: every metric is the one that a pencil gives."""

import itertools
import json
import random
from math import comb

import pytest

from sprint_lmeval.strategies.head_lists import spread_candidates
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.environments import REPOSITORY, environment_in_use
from tests.shared.scripted import evaluate, patched

CANDIDATES = ["base", "L0H0", "L0H1", "L1H0", "L1H1", "L2H0"]
GRID = [  # question -> the letters of the six candidates
    "cxxync",
    "xccynn",
    "xxyncn",
    "nnnnnn",
    "yxyxxn",
]
BY_HAND = {
    "pass@1": 1 / 5,
    "pass@2": 2 / 5,
    "pass@3": 2 / 5,
    "pass@4": 2 / 5,
    "pass@5": 3 / 5,
    "pass@6": 3 / 5,
    "mean@6": 5 / 30,
    "maj@6": (0.5 + 1) / 5,  # the first question's vote is a tie of right and wrong
    "no_answer": 12 / 30,
    "truncated": 0.0,
    "grader_failed": 0.0,
    "distinct_answers": 11 / 5,
    "distinct_texts": 16 / 5,
    "all@6": 0.0,
    "tokens_per_answer": 5.0,
}
VERDICT = {"c": "correct", "x": "incorrect", "y": "incorrect", "n": "no_answer"}
SAMPLED = {"temperature": 0.6, "do_sample": True}


def by_candidate(number: int, candidate: str, sample: int) -> str:
    return GRID[number][CANDIDATES.index(candidate)]


def by_sample(number: int, candidate: str, sample: int) -> str:
    assert candidate == "base"
    return GRID[number][sample]


def run(n: int = 6, script=by_candidate, masks=CANDIDATES, **options) -> tuple[dict, list[dict]]:
    options = {"head_masks": masks} | options if masks else options
    with patched(script):
        return evaluate(n, **options)


def test_the_table_is_the_one_by_hand():
    metrics, samples = run()
    assert metrics == pytest.approx(BY_HAND)
    for number, sample in enumerate(samples):
        assert sample["candidates"] == CANDIDATES
        assert sample["verdicts"] == [VERDICT[letter] for letter in GRID[number]]
        assert [a is None for a in sample["answers"]] == [letter == "n" for letter in GRID[number]]


def test_the_order_of_the_list_is_the_order_of_the_attempts():
    turned = CANDIDATES[::-1]
    metrics, samples = run(masks=turned)
    assert [sample["candidates"] for sample in samples] == [turned] * 5
    expected = {f"pass@{k}": sum("c" in row[::-1][:k] for row in GRID) / 5 for k in range(1, 7)}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    for name in ("mean@6", "maj@6", "no_answer", "distinct_answers"):
        assert metrics[name] == pytest.approx(BY_HAND[name]), name


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_attempts_are_the_first_ones(n):
    metrics, samples = run(n)
    _, all_samples = run()
    for few, many in zip(samples, all_samples, strict=True):
        for name in ("candidates", "verdicts", "answers", "new_tokens"):
            assert few[name] == many[name][:n], name
    assert {f"pass@{k}": metrics[f"pass@{k}"] for k in range(1, n + 1)} == pytest.approx(
        {f"pass@{k}": BY_HAND[f"pass@{k}"] for k in range(1, n + 1)}
    )


def test_a_limit_takes_the_first_questions():
    metrics, samples = run(limit=3)
    assert len(samples) == 3
    assert (metrics["pass@1"], metrics["pass@2"], metrics["pass@6"]) == pytest.approx((1 / 3, 2 / 3, 1))
    assert metrics["maj@6"] == pytest.approx(1.5 / 3)


def test_examples_before_the_question_change_no_figure():
    metrics, _ = run(task="tiny_passn_fewshot")
    assert metrics == pytest.approx(BY_HAND)


def test_questions_in_another_order_give_the_same_figures():
    metrics, samples = run(samples=[4, 2, 0, 3, 1])
    assert sorted(sample["doc_id"] for sample in samples) == [0, 1, 2, 3, 4]
    assert metrics == pytest.approx(BY_HAND)


def test_samples_have_the_unbiased_estimate_too():
    metrics, samples = run(script=by_sample, masks=None, strategy="sample", gen_kwargs=SAMPLED)
    for k in range(1, 7):
        draws = [list(itertools.combinations(row, k)) for row in GRID]
        expected = sum(sum("c" in draw for draw in drawn) / comb(6, k) for drawn in draws) / 5
        assert metrics[f"unbiased_pass@{k}"] == pytest.approx(expected), k
        assert metrics[f"pass@{k}"] == pytest.approx(BY_HAND[f"pass@{k}"]), k
    assert [sample["candidates"] for sample in samples] == [["base"] * 6] * 5


def test_base_answers_once_and_stands_for_all():
    with patched(by_candidate) as decoded:
        metrics, _ = evaluate(6, strategy="base")
    assert len(decoded) == 5
    assert {metrics[f"pass@{k}"] for k in range(1, 7)} == {metrics["mean@6"]} == {1 / 5}
    assert metrics["no_answer"] == pytest.approx(1 / 5) and metrics["distinct_answers"] == pytest.approx(4 / 5)


@pytest.mark.parametrize("seed", [0, 1])
def test_random_heads_are_drawn_from_the_pool_and_judged_as_drawn(seed):
    pool = ":".join(CANDIDATES)
    metrics, samples = run(masks=None, strategy="random", pool=pool, strategy_seed=seed)
    assert all(sorted(sample["candidates"]) == sorted(CANDIDATES) for sample in samples)
    assert len({tuple(sample["candidates"]) for sample in samples}) > 1, "each question has a draw of its own"
    for number, sample in enumerate(samples):
        letters = [by_candidate(number, name, 0) for name in sample["candidates"]]
        assert sample["verdicts"] == [VERDICT[letter] for letter in letters]
    for name in ("pass@6", "mean@6", "maj@6", "no_answer", "distinct_answers"):
        assert metrics[name] == pytest.approx(BY_HAND[name]), name


def test_spread_goes_round_the_layers_behind_base():
    """A head of layer l and number h is right on question q where l + 2 h = q; base never is."""

    def script(number: int, candidate: str, sample: int) -> str:
        if candidate == "base":
            return "x"
        layer, head = map(int, candidate[1:].split("H"))
        return "c" if layer + 2 * head == number else "x"

    metrics, samples = run(8, script, masks=None, strategy="spread")
    order = [(layer, head) for head in (0, 1) for layer in range(4)][:7]
    assert samples[0]["candidates"] == ["base", *(f"L{layer}H{head}" for layer, head in order)]
    assert samples[0]["candidates"][1:] == [str(c) for c in spread_candidates([8] * 4)[:7]]
    first = {q: next(k for k, (layer, head) in enumerate(order, 2) if layer + 2 * head == q) for q in range(5)}
    for k in range(1, 9):
        assert metrics[f"pass@{k}"] == pytest.approx(sum(at <= k for at in first.values()) / 5), k


def test_a_selector_ranks_and_its_order_counts():
    config = json.loads((REPOSITORY / "selectors" / "tiny-cover" / "config.json").read_text())
    names = config["candidates"]

    def script(number: int, candidate: str, sample: int) -> str:
        return "c" if names.index(candidate) % 5 == number else "y"

    metrics, samples = run(4, script, masks=None, selector="tiny-cover")
    assert len({tuple(sample["candidates"]) for sample in samples}) == 1, "set cover has one order for all questions"
    ranked = samples[0]["candidates"]
    for k in range(1, 5):
        solved = {names.index(name) % 5 for name in ranked[:k]}
        assert metrics[f"pass@{k}"] == pytest.approx(len(solved & set(range(5))) / 5), k


# ---- a run that is stopped, goes on, or is repeated ----


@pytest.mark.parametrize("stopped_after", [0, 1, 17, 29])
def test_a_stopped_run_goes_on_and_ends_with_the_same_table(tmp_path, stopped_after):
    options = {"head_masks": CANDIDATES, "store": str(tmp_path / "answers.sqlite")}
    with patched(by_candidate, most=stopped_after) as first, pytest.raises(KeyboardInterrupt):
        evaluate(6, **options)
    with patched(by_candidate) as second:
        metrics, _ = evaluate(6, **options)
    assert len(first) == stopped_after and len(second) == 30 - stopped_after
    assert not set(first) & set(second)
    assert metrics == pytest.approx(BY_HAND)
    with patched(by_candidate) as third:
        again, _ = evaluate(6, **options)
    assert third == [] and again == pytest.approx(BY_HAND)


def test_other_strategies_reuse_what_is_stored(tmp_path):
    store = str(tmp_path / "answers.sqlite")
    run(store=store)
    with patched(by_candidate) as decoded:
        metrics, _ = evaluate(3, head_masks=CANDIDATES[3:], store=store)
        evaluate(6, strategy="base", store=store)
    assert decoded == []
    assert [metrics[f"pass@{k}"] for k in (1, 2, 3)] == pytest.approx([0, 1 / 5, 2 / 5])


# ---- what holds for any answers ----


@pytest.mark.parametrize("seed", range(6))
def test_more_attempts_never_solve_fewer(seed):
    draw = random.Random(seed)
    grid = ["".join(draw.choice("cxxyn") for _ in CANDIDATES) for _ in range(5)]
    metrics, _ = run(script=lambda number, candidate, sample: grid[number][CANDIDATES.index(candidate)])
    passed = [metrics[f"pass@{k}"] for k in range(1, 7)]
    assert passed == sorted(passed)
    assert passed == pytest.approx([sum("c" in row[:k] for row in grid) / 5 for k in range(1, 7)])
    assert metrics["mean@6"] == pytest.approx(sum(row.count("c") for row in grid) / 30)
    assert metrics["mean@6"] <= passed[-1]


def test_base_writes_what_the_harness_s_hf_model_writes_in_the_same_run():
    """No script here: both models decode, in the whole harness, and every text and verdict agrees."""
    ours = evaluate(1, limit=8, strategy="base")[1]
    theirs = evaluate(1, limit=8, model="hf", pretrained=str(MODEL_FOLDER), dtype="float32")[1]
    assert [sample["resps"] for sample in ours] == [sample["resps"] for sample in theirs]
    assert [sample["verdicts"] for sample in ours] == [sample["verdicts"] for sample in theirs]


# ---- two processes ----

SCRIPT = """
import sys
sys.path.insert(0, {repository!r})
from tests.scripted.test_known_answers import by_candidate
from tests.shared.scripted import patched
from lm_eval.__main__ import cli_evaluate
with patched(by_candidate):
    cli_evaluate()
"""


def test_two_processes_give_the_same_table(tmp_path):
    environment = environment_in_use(tmp_path)
    (tmp_path / "six.yaml").write_text("group: six\ntask:\n  - task: tiny_passn\n    repeats: 6\n")
    (tmp_path / "script.py").write_text(SCRIPT.format(repository=str(REPOSITORY)))
    launcher = "python -m torch.distributed.run --standalone --nproc_per_node 2 script.py".split()
    model = f"pretrained=tiny,dtype=float32,head_masks={':'.join(CANDIDATES)}"
    arguments = "--tasks six --include_path . --limit 5 --batch_size 8 --device cpu --output_path out".split()
    done = environment.run([*launcher, "--model", "hf-pruned-bon", "--model_args", model, *arguments], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = tmp_path.glob("out/*/results_*.json")
    found = json.loads(results.read_text())["results"]["tiny_passn"]
    assert {name: found[f"{name},first_n"] for name in BY_HAND} == pytest.approx(BY_HAND)
