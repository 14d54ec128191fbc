"""Verdicts in a store: the same judgement without the worker processes, and only of the same grader."""

import pickle

import pytest

from sprint_lmeval.answers import verdicts as answers
from sprint_lmeval.answers.verdicts import Judgement, Verdict, judge_responses
from sprint_lmeval.models.requests import ResponseText
from sprint_lmeval.store import judgements as kept_judgements
from sprint_lmeval.store.database import Store
from sprint_lmeval.store.judgements import KeptJudgements

BOXES = [r"\sqrt{8}", r"2\sqrt2", r"\sqrt{2}+\sqrt{2}", r"\frac{\sqrt3}{2}", r"\sqrt{3}/2", r"\sin(1)", "nothing", ""]
RESPONSES = [rf"so \boxed{{{box}}}" if box else "no box" for box in BOXES]


@pytest.fixture
def memory(tmp_path):
    with Store.open(tmp_path / "store") as store:
        yield KeptJudgements(store)


@pytest.fixture
def jobs(monkeypatch):
    """What goes to the worker processes."""
    sent, pool = [], answers.pool()

    class Counted:
        each = staticmethod(pool.each)

        def run(self, job):
            sent.append(job)
            return pool.run(job)

    monkeypatch.setattr(answers, "pool", lambda: Counted())
    return sent


def test_a_second_judging_needs_no_worker_and_says_the_same(memory, jobs):
    plain = judge_responses(RESPONSES, r"2\sqrt{2}", "math")
    first = judge_responses(RESPONSES, r"2\sqrt{2}", "math", memory)
    assert plain == first
    before = len(jobs)
    assert judge_responses(RESPONSES, r"2\sqrt{2}", "math", memory) == first
    assert before > 0 and len(jobs) == before


def test_what_is_known_serves_other_sets_of_the_same_answers(memory, jobs):
    judge_responses(RESPONSES, r"\sqrt{11}", "math", memory)
    before = len(jobs)
    part = [RESPONSES[place] for place in (0, 2, 3, 5)]
    found = judge_responses(part, r"\sqrt{11}", "math", memory)
    assert len(jobs) == before
    assert found == judge_responses(part, r"\sqrt{11}", "math")


def test_unknown_ones_among_known_ones_are_compared(memory):
    known = [RESPONSES[place] for place in (0, 3, 5)]
    judge_responses(known, r"\sqrt{11}", "math", memory)
    found = judge_responses(RESPONSES, r"\sqrt{11}", "math", memory)
    assert found == judge_responses(RESPONSES, r"\sqrt{11}", "math")


def test_another_gold_or_grader_is_judged_anew(memory, jobs, monkeypatch):
    judge_responses(RESPONSES[:2], r"2\sqrt{2}", "math", memory)
    assert judge_responses(RESPONSES[:2], r"\sqrt{7}", "math", memory).verdicts == [Verdict.incorrect] * 2
    before = len(jobs)
    monkeypatch.setattr(kept_judgements, "GRADER", {**answers.GRADER, "sprint_lmeval_grader": "0"})
    judge_responses(RESPONSES[:2], r"2\sqrt{2}", "math", memory)
    assert len(jobs) > before


def test_failures_are_tried_again(memory, jobs, monkeypatch):
    run = answers.pool().run
    monkeypatch.setattr(type(answers.pool()), "run", lambda self, job: {"timeout": True})
    assert judge_responses([RESPONSES[5]], r"\sqrt{7}", "math", memory).verdicts == [Verdict.timeout]
    monkeypatch.setattr(type(answers.pool()), "run", lambda self, job: run(job))
    assert judge_responses([RESPONSES[5]], r"\sqrt{7}", "math", memory).verdicts == [Verdict.incorrect]


def test_numbers_are_kept_too(memory, monkeypatch):
    texts = ["#### 4", "#### 5", "the answer is 4.5", "nothing"]
    first = judge_responses(texts, "4", "number", memory)
    monkeypatch.setattr(answers, "_judge", lambda asked: pytest.fail("judged again"))
    assert judge_responses(texts, "4", "number", memory) == first
    assert first == Judgement(["4", "5", "4.5", None], first.verdicts, [0, 1, 2, None])


def test_a_response_carries_the_store_in_its_process_only(memory):
    text = ResponseText("a", candidate="base", truncated=False, new_tokens=1, judgements=memory)
    assert text.judgements is memory
    copy = pickle.loads(pickle.dumps(text))
    assert copy.judgements is None and copy.candidate == "base"
