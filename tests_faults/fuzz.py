"""Random and mutated input for everything that reads what others wrote: an error of one sentence, never a crash.

Hypothesis draws the input from a seed; the same seed draws the same input.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as draws

from sprint_lmeval.answers.verdicts import Verdict, check_answer
from sprint_lmeval.candidates import parse_candidates
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.runs.run import read_runs
from sprint_lmeval.selection.selector import Selector
from sprint_lmeval.store.database import Store
from tests.shared.environments import REPOSITORY
from tests.shared.gate_examples import write_run
from tests_faults.outcome import Outcome

SELECTOR = REPOSITORY / "selectors" / "tiny-cover"
MATRIX = REPOSITORY / "results" / "sprint" / "tiny" / "test.parquet"
LATEX = draws.lists(
    draws.sampled_from(
        r"\frac \sqrt { } ( ) [ ] ^ _ + - = , . $ \boxed{ \text{ 1 2 3 10 x \pi \cup \infty % ° : ; !".split()
    )
    | draws.text(max_size=3),
    max_size=30,
).map("".join)
NOTATION = draws.lists(draws.sampled_from("L0H0 L1H2 + : base , L H 9999 99999 .txt / \n".split(" ")), max_size=12).map(
    "".join
)


def mutated(content: bytes) -> draws.SearchStrategy[bytes]:
    """Return a file's bytes with a few of them changed, cut out or put in."""
    places = draws.integers(0, max(0, len(content) - 1))
    change = draws.tuples(
        places, draws.sampled_from(["set", "cut", "add", "end"]), draws.binary(min_size=1, max_size=8)
    )
    return draws.lists(change, min_size=1, max_size=4).map(lambda changes: _changed(content, changes))


def _changed(content: bytes, changes: list) -> bytes:
    for place, how, new in changes:
        if how == "end":
            content = content[:place]
        elif how == "cut":
            content = content[:place] + content[place + len(new) :]
        else:
            content = content[:place] + new + content[place + (len(new) if how == "set" else 0) :]
    return content


def fuzz(examples: int, number: int) -> list[Outcome]:
    """Run every target with `examples` inputs drawn from the seed `number`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        targets: dict[str, tuple[draws.SearchStrategy, Callable]] = {
            "check_answer": (draws.tuples(LATEX, draws.sampled_from(["math", "number"])), _answers),
            "candidate notation": (NOTATION | draws.text(max_size=40), _notation),
            "candidate files": (draws.sampled_from([".txt", ".json", ".yaml"]).flatmap(_file), _candidate_file(folder)),
            "store files": (mutated(_store_bytes(folder)), _store_file(folder)),
            "matrix files": (mutated(MATRIX.read_bytes()), _matrix_file(folder)),
            "selector folders": (_of_one_file(SELECTOR, "config.json", "model.safetensors"), _selector_folder(folder)),
            "results and samples": (_results(folder), _results_folder(folder)),
        }
        return [_fuzzed(f"fuzz: {name}", *target, examples, number) for name, target in targets.items()]


def _fuzzed(name: str, inputs: draws.SearchStrategy, target: Callable, examples: int, number: int) -> Outcome:
    outcome = Outcome(name, said=f"seed {number}")

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(inputs)
    def run(drawn) -> None:
        outcome.tried += 1
        target(drawn)
        outcome.survived += 1

    try:
        run()
    except Exception as error:
        outcome.failures.append(f"{type(error).__name__}: {str(error)[:200]}")
    return outcome


def _answers(drawn: tuple[str, str]) -> None:
    text, kind = drawn
    assert isinstance(check_answer(r"\boxed{" + text + "}", "7", kind), Verdict)


def _notation(text: str) -> None:
    try:
        found = parse_candidates(text)
    except ValueError as error:
        assert "\n" not in str(error), "more than one line"
    else:
        assert len(set(found)) == len(found) > 0


def _file(suffix: str) -> draws.SearchStrategy:
    content = (
        NOTATION.map(str.encode)
        | draws.binary(max_size=60)
        | draws.text("[]{}-:& *'\"L0H1\n,", max_size=60).map(str.encode)
    )
    return draws.tuples(draws.just(suffix), content)


def _candidate_file(folder: Path) -> Callable:
    def read(drawn: tuple[str, bytes]) -> None:
        path = folder / f"heads{drawn[0]}"
        path.write_bytes(drawn[1])
        try:
            parse_candidates(path)
        except ValueError as error:
            assert "\n" not in str(error), "more than one line"

    return read


def _store_bytes(folder: Path) -> bytes:
    with Store.open(folder / "whole.sqlite") as store:
        for number in range(50):
            store.put(number.to_bytes(32, "big"), _Answer(f"answer {number}"))
    return (folder / "whole.sqlite").read_bytes()


class _Answer:
    truncated, new_tokens, cut_tokens = False, 3, 0

    def __init__(self, text: str) -> None:
        self.text = text


def _store_file(folder: Path) -> Callable:
    def read(content: bytes) -> None:
        path = folder / "mutated.sqlite"
        for old in folder.glob("mutated.sqlite*"):
            old.unlink()
        path.write_bytes(content)
        try:
            with Store.open(path) as store:
                found = store.get_many([number.to_bytes(32, "big") for number in range(50)])
        except InputError:
            return
        assert all(r.text == f"answer {int.from_bytes(key, 'big')}" for key, r in found.items()), "a wrong text"

    return read


def _matrix_file(folder: Path) -> Callable:
    def read(content: bytes) -> None:
        path = folder / "mutated.parquet"
        path.write_bytes(content)
        try:
            OutcomeMatrix.load(path)
        except InputError:
            return

    return read


def _of_one_file(source: Path, *names: str) -> draws.SearchStrategy:
    return draws.sampled_from(names).flatmap(
        lambda name: draws.tuples(draws.just(name), mutated((source / name).read_bytes()))
    )


def _selector_folder(folder: Path) -> Callable:
    copy = folder / "selector"
    shutil.copytree(SELECTOR, copy)

    def read(drawn: tuple[str, bytes]) -> None:
        name, content = drawn
        (copy / name).write_bytes(content)
        try:
            Selector.from_pretrained(str(copy))
        except InputError:
            pass
        finally:
            shutil.copy(SELECTOR / name, copy / name)

    return read


def _results(folder: Path) -> draws.SearchStrategy:
    write_run(folder / "run", ["icii", "iiic", "cccc"], sprint={"strategy": "spread"})
    names = [path.name for path in (folder / "run").rglob("*.json*")]
    content = {path.name: path.read_bytes() for path in (folder / "run").rglob("*.json*")}
    odd = draws.sampled_from([b"1e999", b"9" * 400, b"NaN", b"[" * 5000, b'"\\ud800"', b"null", b"-1"])
    value = draws.tuples(draws.sampled_from(names), odd, draws.integers(0, 60))
    plain = draws.sampled_from(names).flatmap(lambda n: draws.tuples(draws.just(n), mutated(content[n])))
    return plain | value.map(lambda drawn: (drawn[0], _with_value(content[drawn[0]], *drawn[1:])))


def _with_value(content: bytes, odd: bytes, number: int) -> bytes:
    """Put an odd value in the place of the value of the `number`-th key."""
    parts = content.split(b'": ')
    at = 1 + number % max(1, len(parts) - 1)
    if at < len(parts):
        parts[at] = odd + b", " + parts[at].partition(b",")[2]
    return b'": '.join(parts)


def _results_folder(folder: Path) -> Callable:
    paths = {path.name: path for path in (folder / "run").rglob("*.json*")}
    whole = {name: path.read_bytes() for name, path in paths.items()}
    assert all(json.loads(line) for content in whole.values() for line in content.splitlines()[:1])

    def read(drawn: tuple[str, bytes]) -> None:
        name, content = drawn
        paths[name].write_bytes(content)
        try:
            read_runs([folder / "run"], [])
        except InputError as error:
            assert "\n" not in str(error), "more than one line"
        finally:
            paths[name].write_bytes(whole[name])

    return read
