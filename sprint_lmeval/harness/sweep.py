"""`sprint-lmeval sweep`: every head of the chosen layers, and base, over the questions of one task -> outcome matrix.

In: options of `lm_eval run` for model and task, layers or candidates, and which questions. Out: a matrix file. It is a
harness run with all those candidates at once, whose responses go through a store beside the matrix: killed at any
moment and started again it goes on where it was, and what it generated serves every later evaluation with `store=`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sprint_lmeval import __version__, autoload
from sprint_lmeval.candidates import BASE, Candidate, parse_candidates, some_of
from sprint_lmeval.errors import InputError, show_one_sentence
from sprint_lmeval.harness.command_line import evaluate_replaced_by, harness_sentence, quick_index
from sprint_lmeval.harness.one_at_a_time import alone_with
from sprint_lmeval.harness.run import EVERY_TASK, set_repeats
from sprint_lmeval.harness.sweep_options import check_names, harness_config
from sprint_lmeval.outcomes.from_samples import fields_of_rows
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.outcomes.parquet import check_output
from sprint_lmeval.runs.facts import PRIVATE, run_facts
from sprint_lmeval.selection.draw import drawn_questions
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.strategies.head_lists import every_head, parse_layers


@dataclass(frozen=True)
class Plan:
    """What a sweep was asked for.

    Attributes:
        output: the matrix file.
        store: the responses; None: beside the matrix.
        layers: `all`, numbers and ranges such as `4,8,12` or `0-7`, None: those of `spread`.
        candidates: a list or file of candidates, in place of every head of the layers; None: these.
        questions: how many, None: all.
        seed: of the draw of questions; a larger draw holds a smaller one of the same seed.
        draw: `uniform` or `diverse` (selection/draw.py).
        texts: whether the matrix keeps the problems' texts.
        overwrite: whether a matrix that is there is replaced.
    """

    output: Path
    store: Path | None = None
    layers: str | None = None
    candidates: str | None = None
    questions: int | None = None
    seed: int = 0
    draw: str = "uniform"
    texts: bool = True
    overwrite: bool = False

    @property
    def store_file(self) -> Path:
        return self.store or self.output.with_suffix(".answers.sqlite")


def sweep(plan: Plan, options: list[str]) -> str | None:
    """Run a sweep and write its matrix; returns what was done, or None in a process that is not the first.

    Args:
        plan: what to sweep.
        options: of `lm_eval run`: model, model_args, tasks, batch_size, device, num_fewshot, ...

    Raises:
        InputError: on options that contradict a sweep, and whatever `hf-pruned-bon` refuses.
    """
    show_one_sentence()
    autoload.register()
    config = harness_config(options)
    check_names(config.model, config.model_args)
    heads = heads_of(config.model_args)
    candidates = swept_candidates(plan, heads)
    check_files(plan)
    if plan.draw == "diverse":
        Encoder.find()  # one that is missing shows before the model is looked at
    with alone_with(plan.store_file):
        finished = finished_matrix(plan, candidates)
        results = evaluated(config, candidates, plan, generating=finished is None)
        if results is None:
            return None
        matrix = matrix_of(results, config, plan, candidates)
        if finished is None:
            matrix.save(plan.output, overwrite=plan.overwrite)
        elif matrix.digest != finished.digest:
            raise another_is_there(plan)
    return described(matrix, results, plan)


def swept_candidates(plan: Plan, heads: list[int]) -> list[Candidate]:
    """Return base and every head of the layers, or base and the candidates that were listed."""
    if plan.candidates is None:
        return every_head(heads, parse_layers(plan.layers, heads))
    if plan.layers is not None:
        raise InputError("--layers and --candidates given: a sweep takes one of the two")
    try:
        listed = parse_candidates(plan.candidates)
    except ValueError as error:
        raise InputError(f"--candidates: {error}") from None
    return [BASE, *(candidate for candidate in listed if candidate != BASE)]


def check_files(plan: Plan) -> None:
    """Raise InputError where the matrix could not be written, before any answer is generated."""
    output, store = plan.output, plan.store_file
    if plan.overwrite or not output.exists():
        check_output(output, plan.overwrite)
    if output.resolve() == store.resolve() or (output.exists() and store.exists() and output.samefile(store)):
        raise InputError(f"-o {output} is the file of the responses too (--store): give two names")


# ---- a matrix that is there already ----


def another_is_there(plan: Plan) -> InputError:
    return InputError(
        f"{plan.output} is there already, and is not the matrix of this sweep: give another -o, or --overwrite to "
        "replace a matrix"
    )


def finished_matrix(plan: Plan, candidates: list[Candidate]) -> OutcomeMatrix | None:
    """Return the matrix that this sweep may have written before, None where there is nothing yet.

    A command that was killed just behind its last write is repeated by whoever killed it. Whether the matrix is of this
    very sweep shows when it is made again from the responses in the store, without generating any.

    Raises:
        InputError: something else is there.
    """
    if plan.overwrite or not plan.output.exists():
        return None
    try:
        matrix = OutcomeMatrix.load(plan.output)
    except InputError:
        raise another_is_there(plan) from None
    drawn = matrix.facts.get("seed"), matrix.facts.get("draw", "uniform")
    if list(matrix.candidates) != candidates or drawn != (plan.seed, plan.draw) or not plan.store_file.exists():
        raise another_is_there(plan)
    return matrix


def heads_of(model_args: dict) -> list[int]:
    """Return the number of heads of each layer, from the model's configuration."""
    from sprint_lmeval.checkpoints.pretrained import config_heads, resolve_pretrained
    from sprint_lmeval.names import PAPER_MODEL

    arguments = {"pretrained": PAPER_MODEL, **model_args}
    layout = config_heads(resolve_pretrained(str(arguments.pop("pretrained"))), **arguments)
    return [layer.heads for layer in layout.layers]


def evaluated(config, candidates: list[Candidate], plan: Plan, generating: bool = True) -> dict | None:
    """Run the harness with all candidates on the drawn questions; returns its results with samples.

    Raises:
        InputError: a response is missing, and `generating` is False.
    """
    from lm_eval import simple_evaluate

    with harness_sentence(), quick_index(config.tasks):
        tasks = config.process_tasks(config.metadata)
    model_args = {**config.model_args, "head_masks": [str(c) for c in candidates], "store": str(plan.store_file)}
    with evaluate_replaced_by(lambda real: on_drawn_questions(real, candidates, plan, generating)):
        return simple_evaluate(
            model=config.model,
            model_args=model_args,
            tasks=config.tasks,
            num_fewshot=config.num_fewshot,
            batch_size=config.batch_size,
            max_batch_size=config.max_batch_size,
            device=config.device,
            bootstrap_iters=0,
            system_instruction=config.system_instruction,
            apply_chat_template=config.apply_chat_template,
            fewshot_as_multiturn=config.fewshot_as_multiturn,
            gen_kwargs=config.gen_kwargs,
            task_manager=tasks,
            verbosity=config.verbosity,
            confirm_run_unsafe_code=config.confirm_run_unsafe_code,
        )


def on_drawn_questions(evaluate: Callable, candidates: list[Candidate], plan: Plan, generating: bool) -> Callable:
    """Return the harness's `evaluate` for one task, with N = all candidates and the drawn questions."""

    def none_is_missing() -> None:
        raise another_is_there(plan)

    def evaluate_drawn(lm, task_dict, **options):
        tasks = task_dict["tasks"]
        if len(tasks) != 1:
            raise InputError(f"tasks {', '.join(tasks)} given, a matrix is of one: name one *_passn task")
        set_repeats(tasks, {EVERY_TASK: len(candidates)})
        if not generating:
            lm.load_weights = none_is_missing  # called before the first row is generated
        (task,) = tasks.values()
        task.drawn = drawn_questions([doc["question"] for doc in task.eval_docs], plan.questions, plan.seed, plan.draw)
        if lm.rank == 0:
            count = len(task.drawn)
            what = f"{count} questions x {some_of(candidates)} = {count * len(candidates)} answers"
            print(f"sweep: {what}, kept in {plan.store_file}; then the matrix, {plan.output}", file=sys.stderr)
        return evaluate(lm=lm, task_dict=task_dict, **options)

    return evaluate_drawn


def matrix_of(results: dict, config, plan: Plan, candidates: list[Candidate]) -> OutcomeMatrix:
    """Return the matrix of a finished run, with the facts of the run and of the sweep."""
    ((task, samples),) = results["samples"].items()
    facts = {
        **run_facts(results, task),
        "model_args": {k: v for k, v in config.model_args.items() if k not in PRIVATE},
        "source": "sweep",
        "layers": sorted({layer for candidate in candidates for layer, _ in candidate.heads}),
        "questions": len(samples),
        "seed": plan.seed,
        "draw": plan.draw,
        "system_instruction": config.system_instruction,
        "sprint_lmeval": __version__,
    }
    facts["split"] = "+".join(sorted({str(sample["doc"].get("split") or "") for sample in samples}))
    matrix = OutcomeMatrix(**fields_of_rows(samples, json.loads(json.dumps(facts, default=str))))
    return matrix if plan.texts else matrix.without_texts()


def described(matrix: OutcomeMatrix, results: dict, plan: Plan) -> str:
    """Return what was swept, in two lines."""
    store = results["config"]["sprint"]["store"]
    solved, base = matrix.correct.any(axis=1).mean(), matrix.correct[:, matrix.candidates.index(BASE)].mean()
    return (
        f"{plan.output}: {len(matrix.questions)} questions x {len(matrix.candidates)} candidates "
        f"({store['generated']} answers generated, {store['reused']} from {plan.store_file})\n"
        f"base solves {base:.1%}, at least one candidate {solved:.1%}\n"
    )
