"""How far a run is: a bar in a terminal, elsewhere a line every half minute."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from tqdm import tqdm

EVERY_S = 0.5  # a bar is drawn anew
LINES_EVERY_S = 30.0  # and where there is no terminal, written as a line
LEFT_FROM = 0.1  # share of the answers to generate from which on the time left is shown


class Progress(tqdm):
    """Answers that are there, of all that were asked for, and new tokens per second.

    Rate and time left are those of generation: answers that a store had count in neither. What is read before the first
    token is in the time. It draws itself while no answer ends, from a thread of its own.

    Args:
        total: answers asked for.
        reused: answers that were there before.
        hidden: whether nothing is drawn.
        in_flight: how many tokens of prompts are read and how many are written, those of unfinished answers included.
    """

    monitor_interval = 0  # no thread of tqdm's beside ours

    def __init__(self, total: int, reused: int, hidden: bool, in_flight: Callable[[], tuple[float, float]]) -> None:
        self.tokens, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._in_flight, self._before = in_flight, in_flight()
        terminal = sys.stderr.isatty()
        self._pause_s = EVERY_S if terminal else LINES_EVERY_S
        shape = "|{bar}|" if terminal else ""
        super().__init__(
            total=total,
            initial=reused,
            disable=hidden,
            desc="pruned responses",
            file=None if terminal else _Lines(),
            bar_format=f"{{desc}}: {{percentage:3.0f}}%{shape} {{n_fmt}}/{{total_fmt}} answers [{{elapsed}}{{speed}}]",
            miniters=sys.maxsize,  # an answer draws nothing
        )
        if not hidden:
            self._thread.start()

    def add(self, answers: int, tokens: int) -> None:
        """Count a finished row: the answers that it stands for, and its new tokens."""
        self.tokens += tokens
        self.update(answers)

    def _draw(self) -> None:
        while not self._ended.wait(self._pause_s):
            self.refresh()

    def close(self) -> None:
        """End the thread and wait for it: one that still frees tensors when Python ends makes C++ abort the process."""
        self._ended.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        super().close()

    @property
    def format_dict(self) -> dict:
        shown = super().format_dict
        new, asked = self.n - self.initial, self.total - self.initial
        read, written = (now - before for now, before in zip(self._in_flight(), self._before, strict=True))
        return {**shown, "speed": speed(new, asked, shown["elapsed"], max(self.tokens, written), read)}


def speed(new: int, asked: int, seconds: float, tokens: float, read: float = 0) -> str:
    """Return the rate (before the first new token, what is read), and the time left once it is known.

    Args:
        new: answers generated so far, of those `asked` to be generated.
        seconds: since the first of them was begun.
        tokens: new tokens so far.
        read: tokens of prompts.
    """
    said = f", {read:,.0f} tokens of prompts read" if read else ""
    if tokens and seconds:
        said = f", {tokens / seconds:,.0f} tokens/s"
    if 0 < asked * LEFT_FROM <= new < asked:
        said += f", {tqdm.format_interval(seconds * (asked - new) / new)} left"
    return said


class _Lines:
    """A stream on which each state of a bar becomes a line."""

    def write(self, text: str) -> None:
        if text := text.strip("\r\n "):
            sys.stderr.write(f"{text}\n")

    def flush(self) -> None:
        sys.stderr.flush()
