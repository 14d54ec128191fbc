"""Rules that stop early, against plain loops over the answers, and through the command."""

import json
import random
from collections import Counter
from itertools import product

import pytest
from scipy.integrate import quad

from sprint_lmeval.cli import main
from sprint_lmeval.errors import InputError
from sprint_lmeval.scoring.stopping import stopping_rule
from sprint_lmeval.scoring.votes import vote
from tests.shared.gate_examples import DATE, TASK, row, write_rows


def drawn(count: int = 300, n: int = 16) -> list[list[int | None]]:
    """Answers of many questions, easy and hard ones, some without an answer."""
    draw, rows = random.Random(0), []
    for number in range(count):
        weights = [draw.random() ** (1 + number % 7) for _ in range(4)]
        rows.append(draw.choices([0, 1, 2, None], weights, k=n))
    return rows


def agreed(answers, count):
    for used in range(1, len(answers) + 1):
        seen = Counter(a for a in answers[:used] if a is not None)
        if any(votes >= count for votes in seen.values()):
            return used
    return len(answers)


def adaptive(answers, level):
    """As its authors: the integral of x^a (1 - x)^b above 1/2, as a share of all of it."""
    for used in range(1, len(answers) + 1):
        most = Counter(a for a in answers[:used] if a is not None).most_common(2)
        if not most:
            continue
        a, b = most[0][1], most[1][1] if len(most) > 1 else 0
        above, whole = (quad(lambda x: x**a * (1 - x) ** b, low, 1)[0] for low in (0.5, 0))  # noqa: B023
        if above / whole >= level:
            return used
    return len(answers)


def escaped(answers, window):
    used = 0
    while used + window <= len(answers):
        inside, used = answers[used : used + window], used + window
        if len(set(inside)) == 1 and None not in inside:
            return used
    return len(answers)


def unchangeable(answers):
    """Whatever is still to come, tried out."""
    for used in range(1, len(answers) + 1):
        known = answers[:used]
        voted = vote(known)
        kinds = {a for a in answers if a is not None} | {None, 99}
        ends = product(kinds, repeat=len(answers) - used)
        if voted is not None and all(known[voted] == ([*known, *end])[vote([*known, *end])] for end in ends):
            return used
    return len(answers)


@pytest.mark.parametrize(
    ("name", "loop"),
    [
        ("agree2", lambda row: agreed(row, 2)),
        ("agree4", lambda row: agreed(row, 4)),
        ("asc", lambda row: adaptive(row, 0.95)),
        ("asc0.95", lambda row: adaptive(row, 0.95)),
        ("asc0.8", lambda row: adaptive(row, 0.8)),
        ("esc", lambda row: escaped(row, 5)),
        ("esc3", lambda row: escaped(row, 3)),
        ("esc16", lambda row: escaped(row, 16)),
    ],
)
def test_rules_are_their_loops(name, loop):
    rows = drawn()
    found = [stopping_rule(name).used(row) for row in rows]
    assert found == [loop(row) for row in rows]
    assert 2 <= min(found) < max(found) == 16 or name == "esc16"


def test_lossless_stops_where_nothing_can_change_the_vote_and_not_later():
    rows = drawn(60, 6)
    found = [stopping_rule("lossless").used(row) for row in rows]
    assert found == [unchangeable(row) for row in rows] and min(found) == 3


def test_lossless_never_changes_the_vote():
    rows = drawn(1000)
    used = [stopping_rule("lossless").used(row) for row in rows]
    assert all(vote(row) == vote(row[:count]) for row, count in zip(rows, used, strict=True)) and min(used) == 8


@pytest.mark.parametrize(
    ("answers", "used"),
    [([0, 0, 0, 0], 4), ([0, 0, 0, 1, 0], 5), ([None, 0, None, 0, 0, 0], 6), ([None] * 4, 4), ([], 0)],
)
def test_four_equal_answers_are_enough_for_asc(answers, used):
    assert stopping_rule("asc").used(answers) == used


@pytest.mark.parametrize("name", ["majority", "", "agree4x", "lossless2", "Agree4", " asc", "asc,esc", "agree-4"])
def test_other_names_are_no_rules(name):
    assert stopping_rule(name) is None


@pytest.mark.parametrize("name", ["agree", "agree1", "agree0", "esc1", "agree4.5", "esc" + "9" * 5000])
def test_numbers_out_of_range(name):
    with pytest.raises(InputError, match="a whole number from 2 up"):
        stopping_rule(name)


@pytest.mark.parametrize("name", ["asc1", "asc0.5", "asc95", "asc.", "asc0.9.5", "asc0"])
def test_chances_out_of_range(name):
    with pytest.raises(InputError, match=r"between 0\.5 and 1"):
        stopping_rule(name)


ROWS = [  # the right answer is 1
    row(0, "cccccc", answers=["1"] * 6, new_tokens=[10] * 6),
    row(1, "iccccc", answers=["2", "1", "1", "1", "1", "1"], new_tokens=[1, 2, 3, 4, 5, 6]),
    row(2, "iicccc", answers=["2", "2", "1", "1", "1", "1"], new_tokens=[7] * 6),
    row(3, "nncicc", answers=[None, None, "1", "2", "1", "1"], new_tokens=[5] * 6),
]


def scored(folder, *options, rows=ROWS, status=0, **of_results):
    write_rows(folder, rows, **of_results)
    assert main(["score", str(folder), "--with", *options]) == status
    return status or json.loads((folder / f"scores_{TASK}_{DATE}.json").read_text())["methods"]


def test_through_the_command(tmp_path, capsys):
    methods = scored(tmp_path, "agree2,lossless")
    assert list(methods) == ["first", "majority", "agree2", "lossless"]
    agree = methods["agree2"]
    assert (agree["used"], agree["chosen"]) == ([2, 3, 2, 5], [0, 1, 0, 2])
    assert agree["answers_used"] == 3.0 and agree["tokens_used"] == (20 + 6 + 14 + 25) / 4
    assert agree["tokens_of_all"] == (60 + 21 + 42 + 30) / 4
    assert (agree["accuracy"], agree["over_vote"]) == (0.75, -0.25) and agree["over_vote_low"] <= -0.25
    assert methods["lossless"]["over_vote"] == 0 and methods["lossless"]["chosen"] == methods["majority"]["chosen"]
    assert "used" not in methods["majority"] and "over_vote" not in methods["first"]
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("what it costs"))
    assert lines[start + 1].split()[:5] == ["method", "answers", "tokens", "saved", "accuracy"]
    assert lines[start + 2].split()[:7] == ["agree2", "3.0", "16", "57.5", "%", "75.0", "%"]


def test_rules_are_kept_with_what_is_added_later(tmp_path, capsys):
    before = scored(tmp_path, "agree2")
    assert main(["score", str(tmp_path), "--with", "asc0.8"]) == 0
    methods = json.loads((tmp_path / f"scores_{TASK}_{DATE}.json").read_text())["methods"]
    assert methods["agree2"] == before["agree2"] and methods["asc0.8"]["settings"] == {"chance": "0.8"}


@pytest.mark.parametrize("used", [[0] * 4, [7] * 4, [2.0] * 4, [2], "2", [True] * 4])
def test_changed_counts_are_refused(used, tmp_path, capsys):
    scored(tmp_path, "agree2")
    file = tmp_path / f"scores_{TASK}_{DATE}.json"
    found = json.loads(file.read_text())
    found["methods"]["agree2"]["used"] = used
    file.write_text(json.dumps(found))
    assert main(["score", str(tmp_path), "--with", "majority"]) == 2
    assert "is not as sprint-lmeval score writes it" in capsys.readouterr().err


def test_without_lengths_there_are_no_tokens(tmp_path, capsys):
    methods = scored(tmp_path, "agree2", rows=[{**r, "new_tokens": None} for r in ROWS])
    assert "tokens_used" not in methods["agree2"] and methods["agree2"]["answers_used"] == 3.0
    assert "agree2      3.0       -      -" in capsys.readouterr().out


def test_what_cannot_be_stopped_is_one_sentence(tmp_path, capsys):
    scored(tmp_path / "a", "agree9", status=2)
    assert "has N = 6, and agree9 needs 9 answers or more" in capsys.readouterr().err
    scored(tmp_path / "b", "asc", status=2, sprint={"strategy": "base"})
    assert "one response stands for all N" in capsys.readouterr().err
    scored(tmp_path / "c", "agree", status=2)
    assert "--with 'agree' given, needed is a whole number" in capsys.readouterr().err


# ---- checked: the first answer whose sums hold ----

TEXTS = [
    ["2 + 2 = 5\n#### 5", "2 + 2 = 4\n#### 4", "2 + 2 = 4 = 8 / 2\n#### 4"],
    ["3 * 3 = 9\n#### 9", "3 * 3 = 8\n#### 8", "#### 9"],
    ["1 + 1 = 3\n#### 3", "1 + 1 = 4\n#### 4", "1 + 1 = 5\n#### 5"],
    ["5 - 2 = 3", "5 - 2 = 4\n#### 4", "5 - 2 = 3\n#### 3"],  # the first one has no answer
]
ANSWERS = [["5", "4", "4"], ["9", "8", "9"], ["3", "4", "5"], [None, "4", "3"]]
VERDICTS = ["icc", "cic", "iii", "nic"]
CHECKED = [
    row(i, letters, answers=answers, resps=[texts], new_tokens=[10, 20, 30])
    for i, (letters, answers, texts) in enumerate(zip(VERDICTS, ANSWERS, TEXTS, strict=True))
]


def test_checked_is_the_first_answer_without_a_false_equation(tmp_path, capsys):
    checked = scored(tmp_path, "checked", rows=CHECKED)["checked"]
    assert checked["chosen"] == [1, 0, 0, 2] and checked["used"] == [2, 1, 3, 3]
    assert checked["accuracy"] == 0.75 and checked["tokens_used"] == (30 + 10 + 60 + 60) / 4
    assert "checked" in capsys.readouterr().out


def test_checked_needs_the_texts(tmp_path, capsys):
    rows = [{k: v for k, v in r.items() if k != "resps"} for r in CHECKED]
    scored(tmp_path, "checked", rows=rows, status=2)
    assert "its responses were not kept, and --with checked reads them" in capsys.readouterr().err
