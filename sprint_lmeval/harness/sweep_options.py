"""What `sprint-lmeval sweep` takes of the options of `lm_eval run`, and why it refuses the others."""

from __future__ import annotations

import inspect

from sprint_lmeval import autoload
from sprint_lmeval.errors import InputError
from sprint_lmeval.harness.command_line import harness_sentence, parsed
from sprint_lmeval.names import MODEL_ARGUMENTS

MODEL = "hf-pruned-bon"
MODELS = tuple(autoload.MODELS)  # all of them prune heads
NOTHING_SENT = "a sweep writes a matrix and reports to no service"
NOT_HERE = {  # option of `lm_eval run`, or key of its --config -> why a sweep refuses it; every other one is heeded
    "limit": "--questions N chooses how many",
    "samples": "--questions N with --seed chooses which",
    "output_path": "-o FILE names the matrix",
    "log_samples": "the matrix holds the verdicts, and --store the responses",
    "use_cache": "--store keeps the responses",
    "cache_requests": "--store keeps the responses, and prompts are made anew",
    "predict_only": "verdicts are what a matrix holds",
    "check_integrity": "check the task with `sprint-lmeval run`",
    "write_out": "print prompts with `sprint-lmeval run`",
    "show_config": "the facts of the matrix hold the settings",
    "seed": "--seed N draws the questions, and the harness keeps its own seeds",
    "wandb_args": NOTHING_SENT,
    "wandb_config_args": NOTHING_SENT,
    "trackio_args": NOTHING_SENT,
    "hf_hub_log_args": NOTHING_SENT,
}


def harness_config(options: list[str]):
    """Return the harness's own configuration of a run. Raises InputError for what a sweep decides by itself."""
    from lm_eval.config.evaluate_config import EvaluatorConfig

    _, arguments = parsed(options)
    with harness_sentence():
        in_file = EvaluatorConfig.load_yaml_config(arguments.config) if arguments.config else {}
        given = {name: value for name, value in {**in_file, **_typed(arguments)}.items() if value is not None}
        refuse_what_a_sweep_decides(given)
        arguments.model = given.get("model", MODEL)
        config = EvaluatorConfig.from_cli(arguments)
    config.model_args = config.model_args or {}
    for name in MODEL_ARGUMENTS:
        if name in config.model_args:
            raise InputError(f"{name}= given among the model arguments, which a sweep sets by itself: leave it out")
    return config


def _typed(arguments) -> dict:
    return {name: value for name, value in vars(arguments).items() if value is not None}


def refuse_what_a_sweep_decides(given: dict) -> None:
    """Look through what was typed, or stands in the file of --config."""
    if given.get("model", MODEL) not in MODELS:
        allowed = " or ".join(MODELS)
        raise InputError(f"--model {given['model']} given, a sweep prunes heads: --model {allowed}, or leave it out")
    for name, remedy in NOT_HERE.items():
        if name in given and given[name] not in ({}, []) and given[name] is not False:
            raise InputError(f"--{name} given, which has no place in a sweep: {remedy}")
    if not any(given.get("tasks") or ()):
        raise InputError("no --tasks given: name one *_passn task, such as tiny_train_passn")


def check_names(model: str, given: dict) -> None:
    """Raise InputError for an argument that the model does not take: `pretraind=` must not mean the default model."""
    from sprint_lmeval.models.as_typed import check_as_typed
    from sprint_lmeval.models.checks import check_hf_arguments, refuse_unknown

    check_as_typed(given)
    others = {name: value for name, value in given.items() if name not in ("pretrained", "adapters")}
    if model == MODEL:
        check_hf_arguments({name: value for name, value in given.items() if name != "pretrained"})
    elif model == "vllm-pruned-bon":
        from sprint_lmeval.models.engines.vllm_arguments import check_arguments, harness_class

        check_arguments(others, harness_class())
    else:
        from sprint_lmeval.models.engines.server import ServerPrunedBestOfN

        own = inspect.signature(ServerPrunedBestOfN.__init__).parameters
        refuse_unknown(others, own, own, "nothing else")
