"""`sprint-lmeval score`: which of N stored answers to give, by votes, probabilities or a reward model.

In: runs with samples. Out: a file of scores beside each run's samples (runs/scores.py) and a table. Nothing is
generated, but by `calculator`. A choice is right if the verdict of the chosen response is; what N answers could give at
best is Pass@N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run, read_runs, require_samples
from sprint_lmeval.runs.safe_text import one_line
from sprint_lmeval.runs.scores import MethodChoice, write_scores
from sprint_lmeval.scoring.calculator import put_sums_right
from sprint_lmeval.scoring.confidence import Confidence, choose_by_confidence
from sprint_lmeval.scoring.duplicates import (
    DeepPrune,
    Embeddings,
    SlimSC,
    choose_by_clusters,
    choose_by_thoughts,
    threshold_of,
)
from sprint_lmeval.scoring.judges import PREFIX, read_judge
from sprint_lmeval.scoring.likelihoods import BaseModel
from sprint_lmeval.scoring.process_rewards import ProcessRewardModel, StepRewards, choose_by_steps
from sprint_lmeval.scoring.rewards import RewardModel, choose_by_reward
from sprint_lmeval.scoring.rpc import choose_by_probability
from sprint_lmeval.scoring.stopping import FORMS, StoppingRule, stopping_rule
from sprint_lmeval.scoring.stored import Prefix, answer_classes, texts_of
from sprint_lmeval.scoring.table import score_table
from sprint_lmeval.scoring.votes import AnswerClasses, redundancy, score_weights, vote


@dataclass(frozen=True)
class ScoreOptions:
    """Options of the command beside the ways of choosing.

    Attributes:
        model_args: of the unpruned model.
        reward_model: folder or hub id.
        device: of torch, for every model.
        trust_remote_code: whether code of the reward model is run.
        step_marks: step tag, good and bad label of a process reward model of the marker form.
        prefix: what is written of a response before it may be rejected: a share, or tokens.
        keep: the share of the prefixes that are written to the end.
        judge: folder or hub id of what says whether two responses will end alike.
        encoder: folder of another sentence encoder.
    """

    model_args: str | None = None
    reward_model: str | None = None
    device: str | None = None
    trust_remote_code: bool = False
    step_marks: list[str] | None = None
    prefix: float | None = None
    keep: float | None = None
    judge: str | None = None
    encoder: str | None = None


USES = {  # option -> the ways that read it
    "model_args": ("rpc", "confidence", "calculator"),
    "reward_model": ("reward", "prm"),
    "device": ("rpc", "confidence", "calculator", "reward", "prm", "deepprune"),
    "trust_remote_code": ("reward", "prm", "deepprune"),
    "step_marks": ("prm",),
    "prefix": ("prm", "deepprune"),
    "keep": ("prm",),
    "judge": ("deepprune",),
    "encoder": ("deepprune", "slimsc"),
}
NEEDED = ("model_args", "reward_model", "judge")  # without which these ways have no model
KEEP = 0.5
NUMBERED = {
    "confidence": "confidenceW",
    "deepprune": "deeppruneT",
    "slimsc": "slimscT",
}  # ways whose name may end in a number


def score_command(results: Sequence[str], ways: str, options: ScoreOptions) -> str:
    """Run `sprint-lmeval score`; returns what is shown.

    Args:
        results: files and folders of the harness.
        ways: names of `CHOOSERS` and rules of stopping.py, with commas.
        options: what they need.
    """
    chosen = _checked(ways, options)
    runs, notes = read_runs(results)
    if len(runs) == 1:
        require_samples(runs[0], notes)
    models = _models(chosen, options, runs)
    tables = []
    for run in runs:
        table, left_out = score_run(run, chosen, models, partly=len(runs) > 1)
        tables += [table] if table else []
        notes += left_out
    if not tables:
        raise InputError(f"none of {len(runs)} runs could be scored; the first: {notes[-1]}")
    return "\n\n".join(tables) + "".join(f"\nnote: {one_line(note)}" for note in notes)


def kind_of(way: str) -> str:
    """Return the name in `CHOOSERS` of a way, such as `confidence` of `confidence64`."""
    plain = way.rstrip("0123456789.")
    return plain if plain in NUMBERED else way


def _checked(ways: str, options: ScoreOptions) -> list[str]:
    """The names among the ways, once the options fit them."""
    named = list(dict.fromkeys(name.strip() for name in ways.split(",")))
    kinds = {kind_of(way) for way in named}
    strange = [way for way in named if kind_of(way) not in CHOOSERS and stopping_rule(way) is None]
    if strange:
        allowed = ", ".join((*CHOOSERS, *NUMBERED.values(), *FORMS))
        raise InputError(f"--with {strange[0]!a} given, allowed are {allowed} (several with commas)")
    for name, users in USES.items():
        option = "--" + (name if name == "model_args" else name.replace("_", "-"))
        given = getattr(options, name) not in (None, False)
        if given and not kinds & set(users):
            raise InputError(f"{option} given, which is for --with {' and '.join(users)}")
        if name in NEEDED and not given and kinds & set(users):
            raise InputError(f"--with {min(kinds & set(users))} given, it needs a model: add {option}")
    return named


def _models(ways: Sequence[str], options: ScoreOptions, runs: Sequence[Run]) -> dict[str, object]:
    """What each way needs beside the run; weights are loaded once for all runs."""
    kinds = {kind_of(way): way for way in ways}
    models: dict[str, object] = {}
    if set(USES["model_args"]) & set(kinds):
        base = BaseModel(options.model_args, options.device)
        models = {way: Confidence.named(way, base) for way in ways if kind_of(way) == "confidence"}
        models |= {"rpc": base, "calculator": base}
        if any(run.samples and base.kept(run) is None for run in runs):
            base.model  # noqa: B018  a mistake in its arguments stops all runs
    of_rewards = (options.reward_model, options.device, options.trust_remote_code)
    if "prm" in kinds:
        early = _early_rejection(options)
        models["prm"] = StepRewards(ProcessRewardModel(*of_rewards, options.step_marks), *early)
    if "reward" in kinds:
        models["reward"] = RewardModel(*of_rewards)
    return models | _of_duplicates(ways, options)


def _of_duplicates(ways: Sequence[str], options: ScoreOptions) -> dict[str, object]:
    limits = {kind: {w: threshold_of(w, kind) for w in ways if kind_of(w) == kind} for kind in ("deepprune", "slimsc")}
    found: dict[str, object] = {}
    embeddings = Embeddings(options.encoder)
    if limits["deepprune"]:
        given = None if options.prefix is None else Prefix.parsed(options.prefix)
        judge, own = read_judge(options.judge, embeddings, options.device, options.trust_remote_code)
        if given and own and given != own:
            raise InputError(
                f"--prefix {given} given, and --judge {options.judge} has learned from {own}: leave it out"
            )
        prefix = given or own or Prefix(PREFIX)
        found |= {way: DeepPrune(way, judge, limit, prefix) for way, limit in limits["deepprune"].items()}
    if limits["slimsc"]:
        embeddings.encoder  # noqa: B018  a missing one stops all runs
        found |= {way: SlimSC(way, embeddings, limit) for way, limit in limits["slimsc"].items()}
    return found


def _early_rejection(options: ScoreOptions) -> tuple[Prefix | None, float]:
    if options.keep is not None and (options.prefix is None or not 0 < options.keep < 1):
        raise InputError(f"--keep {options.keep:g} given, it is a share between 0 and 1, and goes with --prefix")
    return options.prefix is not None and Prefix.parsed(options.prefix) or None, options.keep or KEEP


def score_run(run: Run, ways: Sequence[str], models: dict[str, object], partly: bool = False) -> tuple[str, list[str]]:
    """Score one run and write its file; returns its table, "" where nothing could be chosen, and notes.

    Args:
        run: with samples.
        ways: of choosing.
        models: what they need.
        partly: a way that the run does not hold the data for is left out, with a note; else that is an error.
    """
    choices: list[MethodChoice] = []
    notes: list[str] = []
    try:
        classes = answer_classes(run)
    except InputError as error:
        if not partly:
            raise
        return "", [f"{error}; left out."]
    for way in ways:
        try:
            rule = stopping_rule(way)
            choices += _stopped(run, classes, rule) if rule else CHOOSERS[kind_of(way)](run, classes, models.get(way))
        except InputError as error:
            if not partly:
                raise
            notes.append(f"{error}; left out.")
    if not choices:
        return "", notes
    if any(choice.used for choice in choices):  # whose costs are compared with the vote of all
        choices = [*_majority(run, classes, None), *choices]
    first = MethodChoice("first", [0] * len(classes), {})
    path, content = write_scores(run, [first, *choices], redundancy(classes, texts_of(run)))
    return score_table(run, content) + f"\n{one_line(path)}", notes


# ---- ways of choosing ----


def _majority(run: Run, classes: Sequence[AnswerClasses], _: object) -> list[MethodChoice]:
    return [MethodChoice("majority", [vote(row) for row in classes], {})]


def _selector(run: Run, classes: Sequence[AnswerClasses], _: object) -> list[MethodChoice]:
    if run.scores is None:
        raise InputError(
            f"{run.samples_path} holds no scores of a selector (strategy {one_line(run.strategy)}): --with selector is "
            "for runs with selector="
        )
    weights, how = score_weights(run.scores)
    chosen = [vote(row, w) for row, w in zip(classes, weights, strict=True)]
    return [MethodChoice("selector", chosen, {"weight": how, "selector": run.selector})]


def _stopped(run: Run, classes: Sequence[AnswerClasses], rule: StoppingRule) -> list[MethodChoice]:
    """The vote among the answers that a rule asks for, and that of all, which it is compared with."""
    if run.flat:
        raise InputError(
            f"{run.samples_path}: one response stands for all N, so there is nothing for {rule.name} to stop"
        )
    if run.n < rule.least:
        raise InputError(f"{run.samples_path} has N = {run.n}, and {rule.name} needs {rule.least} answers or more")
    used = [rule.used(row) for row in classes]
    chosen = [vote(row[:count]) for row, count in zip(classes, used, strict=True)]
    return [MethodChoice(rule.name, chosen, rule.settings, used)]


def _without_false_equation(run: Run, classes: Sequence[AnswerClasses], _: object) -> list[MethodChoice]:
    """The first answer whose text holds no false equation, else the first response; none behind it is asked for."""
    from sprint_lmeval.answers.equations import false_equations

    chosen = []
    for number, row in enumerate(classes):
        texts = run.responses(number)
        if texts is None:
            raise InputError(f"{run.samples_path}: its responses were not kept, and --with checked reads them")
        good = (i for i, text in enumerate(texts) if row[i] is not None and not false_equations(text))
        chosen.append(next(good, None))
    used = [run.n if index is None else index + 1 for index in chosen]
    settings = {"equations": "all that were written hold"}
    return [MethodChoice("checked", [index or 0 for index in chosen], settings, used)]


CHOOSERS: dict[str, Callable] = {
    "majority": _majority,
    "selector": _selector,
    "rpc": choose_by_probability,
    "reward": choose_by_reward,
    "checked": _without_false_equation,
    "calculator": put_sums_right,
    "confidence": choose_by_confidence,
    "prm": choose_by_steps,
    "deepprune": choose_by_clusters,
    "slimsc": choose_by_thoughts,
}
