"""Word problems for the embedded model: the name of a split in, problems out. Standard library only.

Three kinds of text, disjoint from one another: `problems("train")` (for sweeps and selectors), `problems("test")` (for
figures), and `stream(seed)`, endless, on which the model itself was trained. The model has seen neither split, so its
accuracy on both is alike. Everything follows from a written seed; Python's hash seed plays no part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from random import Random

from sprint_lmeval.tiny.families import FAMILIES, Working

PROMPT = "Question: {question}\nAnswer:"
SIZES = {"train": 1_600, "test": 5_000}


@dataclass(frozen=True)
class Problem:
    id: str
    subject: str  # the family's name
    question: str
    solution: str  # worked steps, one a line, then "#### answer"
    answer: int

    @property
    def prompt(self) -> str:
        return PROMPT.format(question=self.question)

    @property
    def completion(self) -> str:
        """What the model should write after the prompt, but for the end token."""
        return " " + self.solution


def problems(split: str) -> list[Problem]:
    """The problems of "train" or "test", families in turn, no question twice in or across the splits."""
    if split not in SIZES:
        raise ValueError(f"split {split!r} given, allowed are {', '.join(map(repr, SIZES))}")
    return list(_splits()[split])


def stream(seed: str) -> Iterator[Problem]:
    """Endless problems for training the model, each question new within this stream and in neither split."""
    held_out = {problem.question for split in _splits().values() for problem in split}
    return _unique(f"stream-{seed}", held_out)


@cache
def _splits() -> dict[str, tuple[Problem, ...]]:
    seen: set[str] = set()
    return {split: tuple(islice(_unique(split, seen), size)) for split, size in SIZES.items()}


def _unique(name: str, seen: set[str]) -> Iterator[Problem]:
    """Families in turn, each question added to `seen` and left out when it is there already."""
    rng = Random(f"sprint-lmeval tiny {name}")  # a string seed goes through SHA-512, never through hash()
    subjects = list(FAMILIES)
    for number in count():
        subject = subjects[number % len(subjects)]
        problem = _draw(rng, f"{name}-{number:05d}", subject)
        while problem.question in seen:
            problem = _draw(rng, problem.id, subject)
        seen.add(problem.question)
        yield problem


def _draw(rng: Random, identifier: str, subject: str) -> Problem:
    working = Working()
    question = FAMILIES[subject](rng, working)
    answer = int(working.lines[-1].rpartition(" ")[2])
    return Problem(identifier, subject, question, "\n".join((*working.lines, f"#### {answer}")), answer)
