"""The card of a selector: its configuration in, the README.md of its folder out."""

from __future__ import annotations

from sprint_lmeval.selection.methods.registry import METHODS

SHOWN = (1, 2, 4, 8, 16)
RANKING = """
    from sprint_lmeval import Selector
    Selector.from_pretrained("FOLDER").rank(["A question"], n=16)
"""


def card(config: dict) -> str:
    """Return the card as Markdown with the hub's header."""
    model, training, method = config["model"], config["training"], config["method"]
    heads = config["candidates"]
    command = f"--model_args pretrained={model.get('name')},selector=FOLDER --tasks {training['evaluate']}"
    return f"""---
library_name: sprint-lmeval
tags: [attention-heads, pruning, best-of-n, sprint-lmeval, {method}]
---

# {method}: {_title(config)}

Method `{method}`: {METHODS[method].summary}.

    lm_eval --model hf-pruned-bon {command}
{RANKING if METHODS[method].ranks else ""}
## Trained on

| | |
|---|---|
{_rows(_training(config))}

## On the validation part

{training["folds"]} folds of the training questions, each ordered by a fit on the others. The setting was chosen on
these figures, so they are a little too good; figures on test problems are the ones that count.

{_figures(config["validation"])}

## Limits

- For this model and these candidates only: `{_short(heads)}`. Another model, also another quantisation
  of the same, is refused at load.
- For problems like those of {training.get("task")}; prompt form, few-shot examples and chat template as in training.
- Its training questions are kept as 8-byte hashes, and an evaluation that contains one of them is refused.
- Pass@N is what a perfect choice among N answers would reach.

## Setting

| option | value |
|---|---|
{_rows(config["setting"])}
"""


def _title(config: dict) -> str:
    name = config["model"].get("name")
    if METHODS[config["method"]].ranks:
        return f"which of {len(config['candidates'])} pruned sub-models of {name} answer a question"
    return f"where the greedy answers of {name} branch"


def _training(config: dict) -> dict:
    model, training, encoder = config["model"], config["training"], config["encoder"]
    return {
        "model": f"{model.get('name')} ({model.get('architecture')}, revision {model.get('revision')})",
        "weights": f"fingerprint `{str(model.get('fingerprint'))[:16]}`",
        "questions": f"{training['questions']} of {training.get('task')}, split {training['split']}; "
        f"{training['unsolved']} of them solved by no candidate",
        "outcome matrix": f"sha256 `{training['matrix_sha256'][:16]}`",
        "encoder": f"{encoder['name']} (fingerprint `{encoder['fingerprint'][:16]}`), frozen" if encoder else "none",
        "seed": training["seed"],
        "setting chosen by": f"mean of Pass@1..{training['objective']} on the validation part",
        "versions": ", ".join(f"{name} {version}" for name, version in config["versions"].items()),
    }


def _rows(facts: dict) -> str:
    return "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts.items()) or "| none | |"


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _figures(validation: dict) -> str:
    shown = [k for k in SHOWN if f"pass@{k}" in validation]
    head = "| " + " | ".join(f"Pass@{k}" for k in shown) + " |\n|" + "---|" * len(shown)
    return head + "\n| " + " | ".join(f"{100 * validation[f'pass@{k}']:.1f}" for k in shown) + " |"


def _short(names: list[str]) -> str:
    return ":".join(names if len(names) <= 12 else [*names[:12], "..."])
