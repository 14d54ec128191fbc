"""The paper's experiment, whole: sweep, train, evaluate, report. One command, which goes on where it was stopped.

    make paper                                                        # the paper's model on MATH500, as in the paper
    make paper MODEL=tiny TASK=tiny_passn QUESTIONS=40 LAYERS=1,3
    python results/paper/paper.py --help

1. sweep: every head of the layers and base, on training and on test questions -> train.parquet, test.parquet
2. train: sprint, cover, top and coverage, and the pool of random heads -> selectors/
3. evaluate: Pass@1 to 16 on the test questions: those, base, samples at three temperatures, a greedy answer before
   samples, arithmetic samples, branches -> runs/, one folder each; answers of the sweep are reused
4. report: report/ (`sprint-lmeval report`) and README.md with the three claims (page.py)

Every step is a command that is printed before it runs, and that anybody can run by hand. A step whose output is there
is not done again; answers are in one store beside the folder, so a larger QUESTIONS asks only for what is new.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from page import write_page

from sprint_lmeval import autoload
from sprint_lmeval.cli import main as command
from sprint_lmeval.errors import InputError, end
from sprint_lmeval.harness.sweep import heads_of
from sprint_lmeval.names import PAPER_MODEL
from sprint_lmeval.passn.documents import task_documents
from sprint_lmeval.selection.draw import DRAWS, drawn_questions
from sprint_lmeval.strategies.head_lists import every_head, parse_layers

N = 16
ENGINES = {"hf": "hf-pruned-bon", "vllm": "vllm-pruned-bon", "server": "server-pruned-bon"}
TRAINING = {"math500": "math_train", "gsm8k": "gsm8k_train", "tiny": "tiny_train"}
METHODS = ("sprint", "coverage", "cover", "top")
SAMPLES = {f"sample T {t}": ("strategy=sample", f"temperature={t}") for t in (0.1, 0.6, 0.9)}
SAMPLES |= {"greedy, then T 0.6": ("strategy=sample,first=greedy", "temperature=0.6")}
NOT_ON_ENGINES = {"arithmetic T 0.6": ("strategy=sample,codes=arithmetic", "temperature=0.6")}
AS_THE_PAPER = ",top_k=40,top_p=0.95"  # of samples, in its repository; for the tasks with its prompts
BYTES_OF_ANSWER, BYTES_OF_TOKEN = 120, 3  # in the store
MEASURED = re.compile(r"measured: (\d+) rows of (\d+) tokens in ([\d.]+) s")


class Step(NamedTuple):
    """A command of `sprint-lmeval`, and the file or folder that is there once it is done."""

    arguments: list[str]
    output: Path

    @property
    def done(self) -> bool:
        return self.output.is_file() or any(self.output.rglob("*.json"))


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default=PAPER_MODEL, help="hub id, folder, or tiny")
    options.add_argument("--task", default="math500_passn_paper", help="of test questions (math500, gsm8k or tiny)")
    options.add_argument("--questions", type=int, default=1500, help="for training")
    options.add_argument("--test", type=int, help="test questions (default: as many, at most 500)")
    options.add_argument("--layers", help="as of `sprint-lmeval sweep` (default: the paper's five, in proportion)")
    options.add_argument("--engine", choices=ENGINES, default="hf")
    options.add_argument("--draw", choices=DRAWS, default="uniform", help="of training questions")
    options.add_argument("--args", default="", help="more model arguments: dtype=float16,base_url=...")
    options.add_argument("--options", default="", help="more options of lm_eval: '--batch_size 64 --device cuda'")
    options.add_argument("--out", type=Path, help="folder (default: output/paper/ and what was asked for)")
    options.add_argument("--estimate", action="store_true", help="say what it takes, and stop")
    return options


class Experiment:
    """What was asked for, as steps.

    Attributes:
        folder: of everything; `store` beside it serves larger draws of the same model and task, too.
        numbers: of the test questions among the task's documents.
        candidates: how many a question is asked with in the sweeps.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        family, _, form = given.task.partition("_passn")
        if family not in TRAINING:
            allowed = ", ".join(f"{name}_passn" for name in TRAINING)
            raise InputError(f"TASK={given.task} given, which has no training form here: give one of {allowed}")
        self.train_task, self.form = f"{TRAINING[family]}_passn{form}", form
        self.test = given.test or min(500, given.questions)
        self.numbers = drawn_questions(task_documents(given.task)["question"], self.test, 0)
        heads = heads_of({"pretrained": given.model})
        self.candidates = len(every_head(heads, parse_layers(given.layers, heads)))
        if self.candidates < N:
            raise InputError(
                f"LAYERS={given.layers} given, {self.candidates} candidates, at least {N}: give more layers"
            )
        named = f"{Path(given.model).name}-{given.task}"
        self.folder = given.out or Path("output/paper") / f"{named}-{given.questions}"
        self.store = self.folder.parent / f"{named}.sqlite"

    # ---- the commands ----

    def model(self, more: str = "") -> list[str]:
        """Return options for the model, the same in every step."""
        arguments = ",".join(filter(None, (f"pretrained={self.given.model}", self.given.args, more)))
        chat = [] if self.form == "_fewshot" else ["--apply_chat_template"]
        named = ["--model", ENGINES[self.given.engine], "--model_args", arguments]
        return [*named, *chat, *shlex.split(self.given.options)]

    def sweeps(self) -> Iterator[Step]:
        asked = {"train": (self.train_task, self.given.questions, self.given.draw)}
        asked |= {"test": (self.given.task, self.test, "uniform")}
        layers = ["--layers", self.given.layers] if self.given.layers else []
        for name, (task, questions, draw) in asked.items():
            output = self.folder / f"{name}.parquet"
            chosen = [*layers, "--questions", str(questions), "--draw", draw, "--store", str(self.store)]
            yield Step(["sweep", *self.model(), "--tasks", task, *chosen, "-o", str(output)], output)

    def trainings(self) -> Iterator[Step]:
        matrix = str(self.folder / "train.parquet")
        for method in (*METHODS, "pool"):
            output = self.folder / "selectors" / (f"{method}.txt" if method == "pool" else method)
            yield Step(["train", matrix, "--method", method, "-o", str(output)], output)

    def strategies(self) -> dict[str, tuple[str, str]]:
        """Return name -> (model arguments, generation settings)."""
        chosen = {"base": ("strategy=base", "")}
        chosen |= {name: (f"selector={self.folder}/selectors/{name}", "") for name in METHODS}
        chosen |= {"random": (f"strategy=random,pool={self.folder}/selectors/pool.txt", "")}
        chosen |= SAMPLES | {"branch": ("strategy=branch", "")}
        return chosen | (NOT_ON_ENGINES if self.given.engine == "hf" else {})

    def evaluations(self) -> Iterator[Step]:
        samples = json.dumps({self.given.task: self.numbers})
        for name, (arguments, settings) in self.strategies().items():
            output = self.folder / "runs" / name
            if settings:
                settings += f",do_sample=true{AS_THE_PAPER if self.form == '_paper' else ''}"
            drawn = ["--gen_kwargs", settings] if settings else []
            options = [*self.model(f"{arguments},store={self.store}"), "--tasks", self.given.task, "--samples", samples]
            yield Step(["run", *options, *drawn, "--log_samples", "--output_path", str(output)], output)

    def report(self) -> Step:
        folder = self.folder / "report"
        read = [str(self.folder / "runs"), "--matrix", str(self.folder / "test.parquet")]
        return Step(["report", *read, "-o", str(folder)], folder / "index.html")

    # ---- what it takes ----

    def estimate(self) -> str:
        """Return answers, disk and time in words; time and length are those of a trial, where one can be timed."""
        swept = (self.given.questions + self.test) * self.candidates
        drawn = self.test * (N * (len(self.strategies()) - len(METHODS) - 3) + 1)  # base, random, and one that shares
        answers = swept + drawn
        said = [f"{swept:,} answers in the sweeps ({self.candidates} candidates), {drawn:,} more to evaluate"]
        rows, tokens, seconds = self.measured()
        if seconds:
            from sprint_lmeval.harness.dry_run import clock

            size = answers * (BYTES_OF_ANSWER + BYTES_OF_TOKEN * tokens)
            size += len(self.strategies()) * self.test * N * tokens * 4 * BYTES_OF_TOKEN  # samples hold each text twice
            said += [f"about {size / 1e6:,.0f} MB of disk in {self.folder.parent}"]
            said += [f"about {clock(answers * seconds / rows)} of generation ({rows} answers took {seconds:.0f} s)"]
        else:
            said += [f"disk: {BYTES_OF_ANSWER} bytes an answer and {BYTES_OF_TOKEN} a token; time: see docs/scale.md"]
        return "; ".join(said)

    def measured(self) -> tuple[int, int, float]:
        """Return rows, tokens of one and seconds of a trial; zeros where it cannot be timed."""
        if self.given.engine != "hf":
            return 0, 0, 0.0
        batch = [] if "--batch_size" in self.given.options else ["--batch_size", "auto"]
        trial = ["run", "--dry-run", *self.model(), *batch, "--tasks", self.train_task, "--limit", "64"]
        found = MEASURED.search(in_child(trial, quiet=True))
        return (int(found[1]), int(found[2]), float(found[3])) if found else (0, 0, 0.0)


# ---- running steps ----


def in_child(arguments: list[str], quiet: bool = False) -> str:
    """Run one command in a process of its own, whose memory is free again behind it; returns what it printed, if quiet.

    Raises:
        SystemExit: the command failed; it has said why.
    """
    receiving, sending = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_called, args=(arguments, sending if quiet else None))
    child.start()
    sending.close()
    said = ""
    try:
        with suppress(EOFError):  # it ended early
            said = receiving.recv() if quiet else ""
        child.join()
    finally:
        child.terminate()
        child.join()
    if child.exitcode:
        sys.exit(child.exitcode)
    return said


def _called(arguments: list[str], sending) -> None:
    if sending is None:
        sys.exit(command(arguments))
    with redirect_stdout(StringIO()) as said:
        try:
            status = command(arguments)
        except SystemExit as ended:  # a dry run ends the program
            status = ended.code
    sending.send(said.getvalue())
    sys.exit(status)


def by_itself(arguments: list[str]) -> None:
    """Run one command from the start: engines do not bear to be forked."""
    done = subprocess.run([sys.executable, "-m", "sprint_lmeval", *arguments])
    if done.returncode:
        sys.exit(done.returncode)


def only_our_tasks() -> None:
    """Let the harness index our tasks alone: to read its own 15,000 files takes longer than a small step."""
    from lm_eval import tasks

    real, ours = tasks.TaskManager, {"include_path": str(autoload.tasks_folder()), "include_defaults": False}
    tasks.TaskManager = lambda **options: real(**(options | ours))


def do(step: Step, run: Callable[[list[str]], object]) -> None:
    if step.done:
        print(f"# {step.output} is there", flush=True)
        return
    print(f"$ sprint-lmeval {shlex.join(step.arguments)}", flush=True)
    run(step.arguments)


def same_as_before(experiment: Experiment) -> None:
    """Keep the settings in the folder. Raises InputError where it holds an experiment with other ones."""
    given = {k: v for k, v in vars(experiment.given).items() if k not in ("out", "estimate", "options")}
    file = experiment.folder / "settings.json"
    experiment.folder.mkdir(parents=True, exist_ok=True)
    before = json.loads(file.read_text()) if file.exists() else given
    differing = [f"{name} {before.get(name)}" for name in given if given[name] != before.get(name)]
    if differing:
        raise InputError(f"{experiment.folder} holds an experiment with {', '.join(differing)}: give another OUT=")
    file.write_text(json.dumps(given, indent=1) + "\n")


def main(arguments: list[str]) -> int:
    experiment = Experiment(parser().parse_args(arguments))
    same_as_before(experiment)
    run = in_child if experiment.given.engine == "hf" else by_itself
    if run is in_child:
        only_our_tasks()
        import sprint_lmeval.models.hf  # noqa: F401  once, for all children
    steps = [*experiment.sweeps(), *experiment.trainings(), *experiment.evaluations(), experiment.report()]
    if experiment.given.estimate or not all(step.done for step in steps):
        print(f"# {experiment.estimate()}", flush=True)
    if experiment.given.estimate:
        return 0
    for step in steps:
        do(step, run)
    folder = experiment.folder
    write_page(folder)
    print(f"# {folder / 'README.md'} has the claims, {folder / 'report' / 'index.html'} everything to explore")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the command that is running ends as well
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except InputError as error:
        end(f"error: {error}")
        sys.exit(2)
