"""What a bar says, and when."""

import io
import threading
import time

import pytest

from sprint_lmeval.models import progress
from sprint_lmeval.models.progress import Progress, speed


@pytest.mark.parametrize(
    ("new", "asked", "seconds", "tokens", "said"),
    [
        (0, 232, 0.0, 0, ""),
        (0, 232, 420.0, 0, ""),
        (0, 232, 60.0, 2460, ", 41 tokens/s"),
        (23, 232, 60.0, 2460, ", 41 tokens/s"),  # 9.9 %
        (24, 240, 60.0, 2460, ", 41 tokens/s, 09:00 left"),
        (120, 240, 1800.0, 3_600_000, ", 2,000 tokens/s, 30:00 left"),
        (240, 240, 60.0, 2460, ", 41 tokens/s"),
        (0, 0, 1.0, 0, ""),
    ],
)
def test_time_left_is_shown_from_a_tenth_on(new, asked, seconds, tokens, said):
    assert speed(new, asked, seconds, tokens) == said


@pytest.mark.parametrize(
    ("tokens", "read", "said"),
    [(0, 0, ""), (0, 12_345.6, ", 12,346 tokens of prompts read"), (30, 500, ", 3 tokens/s")],
)
def test_before_the_first_token_there_is_what_is_read(tokens, read, said):
    assert speed(0, 10, 10.0, tokens, read) == said


def nothing() -> tuple[float, float]:
    return 0, 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_are_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINES_EVERY_S", 0.05)
    with Progress(200, 100, hidden=False, in_flight=nothing) as bar:
        time.sleep(0.3)  # no answer ends, and lines come all the same
        for _ in range(100):
            bar.add(1, 5)
    written = capsys.readouterr().err
    assert "\r" not in written
    first, *middle, last = written.splitlines()
    assert first.startswith("pruned responses:  50% 100/200 answers [00:00")
    assert last.startswith("pruned responses: 100% 200/200 answers [00:0") and "tokens/s" in last
    assert len(middle) >= 3 and all("left" not in line for line in middle)


def test_the_thread_has_ended_when_the_bar_is_closed(monkeypatch):
    """Python may end right behind it, and a thread that is then inside of PyTorch aborts the process."""
    slow = threading.Event()
    monkeypatch.setattr(progress, "LINES_EVERY_S", 0.01)
    with Progress(2, 0, hidden=False, in_flight=lambda: (slow.wait(0.3), 0)) as bar:
        time.sleep(0.1)
    assert not bar._thread.is_alive()


def test_answers_draw_nothing_between_two_lines(capsys):
    with Progress(1000, 0, hidden=False, in_flight=nothing) as bar:
        for _ in range(1000):
            bar.add(1, 5)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_in_a_terminal_there_is_a_bar(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with Progress(10, 0, hidden=False, in_flight=nothing) as bar:
        bar.add(10, 50)
    assert stream.getvalue().count("\r") >= 2 and "100%|####" in stream.getvalue()


def test_hidden(capsys):
    with Progress(10, 0, hidden=True, in_flight=nothing) as bar:
        bar.add(10, 50)
    assert capsys.readouterr().err == ""


def test_tokens_of_unfinished_answers_count(capsys):
    counted = [100, 50]
    with Progress(10, 0, hidden=False, in_flight=lambda: tuple(counted)) as bar:
        assert bar.format_dict["speed"] == "", "what was counted before is not of this run"
        counted[0] += 77
        assert bar.format_dict["speed"] == ", 77 tokens of prompts read"
        counted[1] += 10**6
        assert bar.format_dict["speed"].endswith(" tokens/s")


def test_reused_answers_are_not_in_the_rate(capsys):
    with Progress(1000, 900, hidden=False, in_flight=nothing) as bar:
        bar.add(5, 50)
        assert "left" not in bar.format_dict["speed"], "5 of the 100 that are generated"
        bar.add(5, 50)
        assert "left" in bar.format_dict["speed"]
