"""`sprint-lmeval score`: which of N stored answers to give, by votes, probabilities or a reward model.

In: runs with samples. Out: a file of scores beside each run's samples (score_files.py) and a table. Nothing is
generated. A choice is right if the verdict of the chosen response is; what N answers could give at best is Pass@N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run, read_runs, require_samples
from sprint_lmeval.runs.safe_text import aligned, one_line, p_text
from sprint_lmeval.runs.scores import Choice, write_scores
from sprint_lmeval.scoring.redundancy import redundancy
from sprint_lmeval.scoring.rpc import different, path_probabilities, shares, without_improbable
from sprint_lmeval.scoring.stored import answer_classes, asked, texts_of
from sprint_lmeval.scoring.votes import Groups, best, score_weights, vote

WAYS = ("majority", "selector", "rpc", "reward")
INVERSE = "inverse perplexity"
HEADINGS = ("method", "accuracy", "of Pass@N", "over first", "95 % interval", "p")


def score_command(options) -> str:
    """Run `sprint-lmeval score`; returns what is shown."""
    ways = _ways(options)
    notes: list[str] = []
    runs = read_runs(options.results, notes)
    if len(runs) == 1:
        require_samples(runs[0], notes)
    models = _models(ways, options)
    shown = [score_run(run, ways, models, notes if len(runs) > 1 else None) for run in runs]
    found = [table for table in shown if table]
    if not found:
        raise InputError(f"none of {len(runs)} runs could be scored; the first: {notes[-1]}")
    return "\n\n".join(found) + "".join(f"\nnote: {one_line(note)}" for note in notes)


def _ways(options) -> list[str]:
    ways = list(dict.fromkeys(name.strip() for name in options.ways.split(",")))
    strange = [name for name in ways if name not in WAYS]
    if strange:
        raise InputError(f"--with {strange[0]!a} given, allowed are {', '.join(WAYS)} (several with commas)")
    for way, needed, option in (
        ("rpc", options.model_args, "--model_args"),
        ("reward", options.reward_model, "--reward-model"),
    ):
        if way in ways and not needed:
            raise InputError(f"--with {way} given, it needs a model: add {option}")
        if way not in ways and needed:
            raise InputError(f"{option} given, which is for --with {way}")
    if options.device and not {"rpc", "reward"} & set(ways):
        raise InputError("--device given, which is for --with rpc and --with reward")
    if options.trust_remote_code and "reward" not in ways:
        raise InputError(
            "--trust-remote-code given, which is for --with reward (rpc: --model_args trust_remote_code=True)"
        )
    return ways


def _models(ways: Sequence[str], options) -> dict[str, object]:
    """What has weights, loaded once for all runs."""
    models: dict[str, object] = {}
    if "rpc" in ways:
        from sprint_lmeval.scoring.likelihoods import BaseModel

        models["rpc"] = BaseModel(options.model_args, options.device)
    if "reward" in ways:
        from sprint_lmeval.scoring.rewards import RewardModel

        models["reward"] = RewardModel(options.reward_model, options.device, options.trust_remote_code)
    return models


def score_run(run: Run, ways: Sequence[str], models: dict[str, object], left_out: list[str] | None = None) -> str:
    """Score one run, write its file, return its table; "" where nothing could be chosen.

    Args:
        run: with samples.
        ways: of choosing.
        models: what they need.
        left_out: takes a sentence for every way that the run does not hold the data for; None: that is an error.
    """
    choices: list[Choice] = []
    try:
        groups = answer_classes(run)
        choices.append(Choice("first", [0] * len(groups), {}))
        for way in ways:
            choices += _chosen(way, run, groups, models.get(way), left_out)
    except InputError as error:
        if left_out is None:
            raise
        left_out.append(f"{error}; left out.")
    if len(choices) < 2:
        return ""
    path, content = write_scores(run, choices, redundancy(groups, texts_of(run)))
    return _table(run, content) + f"\n{one_line(path)}"


def _chosen(way: str, run: Run, groups: Sequence[Groups], model: object, left_out: list[str] | None) -> list[Choice]:
    try:
        return CHOOSERS[way](run, groups, model)
    except InputError as error:
        if left_out is None:
            raise
        left_out.append(f"{error}; left out.")
        return []


# ---- ways of choosing ----


def _majority(run: Run, groups: Sequence[Groups], _: object) -> list[Choice]:
    return [Choice("majority", [vote(row) for row in groups], {})]


def _selector(run: Run, groups: Sequence[Groups], _: object) -> list[Choice]:
    if run.scores is None:
        raise InputError(
            f"{run.samples_path} holds no scores of a selector (strategy {one_line(run.strategy)}): --with selector is "
            "for runs with selector="
        )
    weights, how = score_weights(run.scores)
    chosen = [vote(row, w) for row, w in zip(groups, weights, strict=True)]
    return [Choice("selector", chosen, {"weight": how, "selector": run.selector})]


def _rpc(run: Run, groups: Sequence[Groups], model) -> list[Choice]:
    """What the unpruned model finds probable: the best of N, votes by whole paths, perplexity consistency, and RPC."""
    rows = asked(run)
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
    most = [best(row, values) for row, values in zip(groups, means, strict=True)]
    choices = [Choice("least perplexity", most, settings)]
    for name, (what, weights) in by_name.items():
        chosen = [vote(row, w) for row, w in zip(groups, weights, strict=True)]
        choices.append(Choice(name, chosen, {**settings, "weight": what}))
    return choices


def _reward(run: Run, groups: Sequence[Groups], model) -> list[Choice]:
    """The response with the highest reward, and a vote weighted by the reward as a chance."""
    found = model.rewards(asked(run))
    settings = {"reward_model": model.name}
    weights = [1 / (1 + np.exp(-np.clip(values, -500, 500))) for values in found]
    return [
        Choice("reward best of N", [best(row, values) for row, values in zip(groups, found, strict=True)], settings),
        Choice("reward vote", [vote(row, w) for row, w in zip(groups, weights, strict=True)], settings),
    ]


CHOOSERS: dict[str, Callable] = {"majority": _majority, "selector": _selector, "rpc": _rpc, "reward": _reward}


# ---- what is shown ----


def _table(run: Run, content: dict) -> str:
    solvable = 100 * float(run.correct.any(1).mean())
    title = f"{run.model_label}, {run.strategy_label}, {run.task}: {len(run.questions)} questions, N = {run.n}, "
    lines = [one_line(title) + f"Pass@N {solvable:.1f} %"]
    lines += aligned([HEADINGS, *(_cells(name, entry) for name, entry in content["methods"].items())])
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
    interval = f"{100 * entry['over_first_low']:+.1f} to {100 * entry['over_first_high']:+.1f}"
    share = "-" if recovered is None else f"{100 * recovered:.1f} %"
    return (
        one_line(name),
        f"{100 * entry['accuracy']:.1f} %",
        share,
        f"{100 * entry['over_first']:+.1f}",
        interval,
        p_text(entry["over_first_p"]),
    )
