"""`sprint-lmeval score`: which of N stored answers to give, by votes, probabilities or a reward model.

In: runs with samples. Out: a file of scores beside each run's samples (runs/scores.py) and a table. Nothing is
generated. A choice is right if the verdict of the chosen response is; what N answers could give at best is Pass@N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run, read_runs, require_samples
from sprint_lmeval.runs.safe_text import aligned, one_line, p_text
from sprint_lmeval.runs.scores import MethodChoice, write_scores
from sprint_lmeval.scoring.redundancy import redundancy
from sprint_lmeval.scoring.rpc import different, path_probabilities, shares, without_improbable
from sprint_lmeval.scoring.stopping import FORMS, StoppingRule, stopping_rule
from sprint_lmeval.scoring.stored import answer_classes, stored_responses, texts_of
from sprint_lmeval.scoring.votes import AnswerClasses, best, score_weights, vote

INVERSE = "inverse perplexity"
HEADINGS = ("method", "accuracy", "of Pass@N", "over first", "95 % interval", "p")
OF_STOPPING = ("rule", "answers", "tokens", "saved", "accuracy", "over vote", "95 % interval", "p")


def score_command(
    results: Sequence[str],
    ways: str,
    model_args: str | None = None,
    reward_model: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> str:
    """Run `sprint-lmeval score`; returns what is shown.

    Args:
        results: files and folders of the harness.
        ways: names of `CHOOSERS` and rules of stopping.py, with commas.
        model_args: of the unpruned model, for `rpc`.
        reward_model: folder or hub id, for `reward`.
        device: of torch, for both.
        trust_remote_code: whether code of the reward model is run.
    """
    chosen = _checked(ways, model_args, reward_model, device, trust_remote_code)
    runs, notes = read_runs(results)
    if len(runs) == 1:
        require_samples(runs[0], notes)
    models = _models(chosen, model_args, reward_model, device, trust_remote_code)
    tables = []
    for run in runs:
        table, left_out = score_run(run, chosen, models, partly=len(runs) > 1)
        tables += [table] if table else []
        notes += left_out
    if not tables:
        raise InputError(f"none of {len(runs)} runs could be scored; the first: {notes[-1]}")
    return "\n\n".join(tables) + "".join(f"\nnote: {one_line(note)}" for note in notes)


def _checked(ways: str, model_args, reward_model, device, trust_remote_code) -> list[str]:
    """The names among the ways, once the options fit them."""
    named = list(dict.fromkeys(name.strip() for name in ways.split(",")))
    strange = [name for name in named if name not in CHOOSERS and stopping_rule(name) is None]
    if strange:
        allowed = ", ".join((*CHOOSERS, *FORMS))
        raise InputError(f"--with {strange[0]!a} given, allowed are {allowed} (several with commas)")
    for way, needed, option in (("rpc", model_args, "--model_args"), ("reward", reward_model, "--reward-model")):
        if way in named and not needed:
            raise InputError(f"--with {way} given, it needs a model: add {option}")
        if way not in named and needed:
            raise InputError(f"{option} given, which is for --with {way}")
    if device and not {"rpc", "reward"} & set(named):
        raise InputError("--device given, which is for --with rpc and --with reward")
    if trust_remote_code and "reward" not in named:
        raise InputError(
            "--trust-remote-code given, which is for --with reward (rpc: --model_args trust_remote_code=True)"
        )
    return named


def _models(ways: Sequence[str], model_args, reward_model, device, trust_remote_code) -> dict[str, object]:
    """What has weights, loaded once for all runs."""
    models: dict[str, object] = {}
    if "rpc" in ways:
        from sprint_lmeval.scoring.likelihoods import BaseModel

        models["rpc"] = BaseModel(model_args, device)
    if "reward" in ways:
        from sprint_lmeval.scoring.rewards import RewardModel

        models["reward"] = RewardModel(reward_model, device, trust_remote_code)
    return models


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
            choices += _stopped(run, classes, rule) if rule else CHOOSERS[way](run, classes, models.get(way))
        except InputError as error:
            if not partly:
                raise
            notes.append(f"{error}; left out.")
    if not choices:
        return "", notes
    first = MethodChoice("first", [0] * len(classes), {})
    path, content = write_scores(run, [first, *choices], redundancy(classes, texts_of(run)))
    return _table(run, content) + f"\n{one_line(path)}", notes


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


def _rpc(run: Run, classes: Sequence[AnswerClasses], model) -> list[MethodChoice]:
    """What the unpruned model finds probable: the best of N, votes by whole paths, perplexity consistency, and RPC."""
    rows = stored_responses(run)
    found = model.log_probabilities(rows)
    with np.errstate(all="ignore"):
        means = [row[:, 0] / row[:, 1] for row in found]  # of a token; nan for an empty response
    paths = [shares(row[:, 0]) for row in found]
    inverse = [path_probabilities(row) for row in means]  # of the perplexity
    texts = [row.responses for row in rows]
    by_name = {
        "log-probability vote": ("of the whole path", [different(*one) for one in zip(paths, texts, strict=True)]),
        "perplexity vote": (f"{INVERSE}, equal texts too", inverse),
        "perplexity consistency": (INVERSE, [different(*one) for one in zip(inverse, texts, strict=True)]),
        "rpc": (
            f"{INVERSE}, improbable paths pruned",
            [different(without_improbable(w), t) for w, t in zip(inverse, texts, strict=True)],
        ),
    }
    settings = {"scored_under": model.name, "pruned_heads": "none: this one unpruned model scores all candidates"}
    most = [best(row, values) for row, values in zip(classes, means, strict=True)]
    choices = [MethodChoice("least perplexity", most, settings)]
    for name, (what, weights) in by_name.items():
        chosen = [vote(row, w) for row, w in zip(classes, weights, strict=True)]
        choices.append(MethodChoice(name, chosen, {**settings, "weight": what}))
    return choices


def _reward(run: Run, classes: Sequence[AnswerClasses], model) -> list[MethodChoice]:
    """The response with the highest reward, and a vote weighted by the reward as a chance."""
    found = model.rewards(stored_responses(run))
    settings = {"reward_model": model.name}
    weights = [1 / (1 + np.exp(-np.clip(values, -500, 500))) for values in found]
    return [
        MethodChoice(
            "reward best of N", [best(row, values) for row, values in zip(classes, found, strict=True)], settings
        ),
        MethodChoice("reward vote", [vote(row, w) for row, w in zip(classes, weights, strict=True)], settings),
    ]


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
    return [*_majority(run, classes, None), MethodChoice(rule.name, chosen, rule.settings, used)]


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
    choice = MethodChoice(
        "checked", [index or 0 for index in chosen], {"equations": "all that were written hold"}, used
    )
    return [*_majority(run, classes, None), choice]


CHOOSERS: dict[str, Callable] = {
    "majority": _majority,
    "selector": _selector,
    "rpc": _rpc,
    "reward": _reward,
    "checked": _without_false_equation,
}


# ---- what is shown ----


def _table(run: Run, content: dict) -> str:
    solvable = 100 * float(run.correct.any(1).mean())
    title = f"{run.model_label}, {run.strategy_label}, {run.task}: {len(run.questions)} questions, N = {run.n}, "
    lines = [one_line(title) + f"Pass@N {solvable:.1f} %"]
    lines += aligned([HEADINGS, *(_cells(name, entry) for name, entry in content["methods"].items())])
    stopped = [_stopping_cells(name, entry) for name, entry in content["methods"].items() if "over_vote" in entry]
    if stopped:
        lines += [
            "stopping early, in the stored order; compared with the vote of all N:",
            *aligned([OF_STOPPING, *stopped]),
        ]
    under = {
        e["settings"].get("scored_under") for e in content["methods"].values() if isinstance(e.get("settings"), dict)
    }
    lines += [
        f"rpc and all of perplexity and log-probability: every candidate scored under the unpruned {one_line(name)}"
        for name in sorted(under - {None})
    ]
    shown = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in content["redundancy"].items()]
    return "\n".join([*lines, "redundancy: " + ", ".join(shown)])


def _cells(name: str, entry: dict) -> tuple[str, ...]:
    recovered = entry["recovered_of_pass_n"]
    share = "-" if recovered is None else f"{100 * recovered:.1f} %"
    return (one_line(name), f"{100 * entry['accuracy']:.1f} %", share, *_gain_cells("over_first", entry))


def _stopping_cells(name: str, entry: dict) -> tuple[str, ...]:
    tokens, of_all = entry.get("tokens_used"), entry.get("tokens_of_all")
    saved = f"{100 * (1 - tokens / of_all):.1f} %" if of_all else "-"
    spent = "-" if tokens is None else f"{tokens:.0f}"
    rates = (f"{entry['answers_used']:.1f}", spent, saved, f"{100 * entry['accuracy']:.1f} %")
    return (one_line(name), *rates, *_gain_cells("over_vote", entry))


def _gain_cells(name: str, entry: dict) -> tuple[str, str, str]:
    interval = f"{100 * entry[f'{name}_low']:+.1f} to {100 * entry[f'{name}_high']:+.1f}"
    return f"{100 * entry[name]:+.1f}", interval, p_text(entry[f"{name}_p"])
