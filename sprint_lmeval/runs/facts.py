"""What a results file says of one run: which model, strategy and settings, and what it measured."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path

from sprint_lmeval.candidates import MAX_CANDIDATES
from sprint_lmeval.errors import InputError
from sprint_lmeval.names import MODEL_ARGUMENTS, PAPER_MODEL
from sprint_lmeval.runs.parse_model_args import model_arguments

HOW_IT_RUNS = ("batch_size", "max_batch_size", "device", "device_map", "parallelize", "trust_remote_code")
HOW_IT_RUNS += ("add_bos_token", "gpu_memory_utilization", "tensor_parallel_size", "data_parallel_size")
HOW_IT_RUNS += ("max_model_len", "enforce_eager")
PRIVATE = ("pretrained", "token", "hf_token", "cache_dir", "store")  # model arguments: paths and secrets
RATES = ("pass@", "all@", "unbiased_pass@", "mean@", "maj@", "no_answer", "truncated", "grader_failed")
RATES += ("paper_pass@", "grading_differs")
OF_STRATEGY = ("first", "codes", "priority", "levels")  # what of a strategy's arguments its label says
MAX_NAME = 200


def is_results(value: object) -> bool:
    """Whether it has the shape of the harness's results."""
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return False
    parts = [value.get(name) for name in ("results", "configs")]
    return all(isinstance(part, dict) and all(isinstance(v, dict) for v in part.values()) for part in parts)


def passn_tasks(results: dict, file: Path) -> tuple[list[str], list[str]]:
    """Return the names of the tasks that asked for N responses and judged them with our metrics; a note on the others.

    Raises:
        InputError: there is none.
    """
    ours, others = [], []
    for task in results["configs"]:
        (ours if "pass@1" in _written(results["results"].get(task) or {}) else others).append(str(task))
    named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
    if not ours:
        raise InputError(
            f"{file} holds no *_passn task with its rates (it holds {named[:300] or 'no task'}): the report is of "
            "tasks that judge N responses"
        )
    return ours, [f"{file}: {named[:300]} left out, which are not *_passn tasks."] if others else []


def _written(of_task: dict) -> dict[str, object]:
    """What stands there by name, the filter's name dropped, number or not."""
    return {str(name).split(",")[0]: value for name, value in of_task.items() if "," in str(name)}


def metrics_of(of_task: dict) -> dict[str, float]:
    """Rates by name, the filter's name dropped; what is no finite number is left out."""
    return {
        name: float(value)
        for name, value in _written(of_task).items()
        if type(value) in (int, float) and math.isfinite(value)
    }


def facts_of_run(results: dict, task: str, file: Path) -> dict:
    """Return the facts of one task of a run.

    `settings` are what must be equal between runs (new tokens, stop strings); `sampling` (temperature, top_k, top_p;
    None where greedy) belongs to the strategy. `plain` says that the model is one of the harness's own; `asked` is a
    digest of the documents that were chosen, None where all were.

    Raises:
        InputError: the file has not the shape of a results file.
    """
    try:
        return _facts(results, task)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{file}: {error}") from None
        raise InputError(f"{file} is not the results of a run of {task!a:.80} ({error!r:.100})") from None


def _facts(results: dict, task: str) -> dict:
    config, of_task = results["config"], results["configs"][task]
    sprint = config.get("sprint") or {}
    arguments = model_arguments(config.get("model_args"))
    generation = (sprint.get("generation") or [None])[0] or _plain_generation(of_task.get("generation_kwargs") or {})
    n = of_task.get("repeats")
    metrics = _checked_rates(results["results"][task], task, n)
    counts = (results.get("n-samples") or {}).get(task) or {}
    plain = "strategy" not in sprint
    sampling = None if generation["greedy"] else {s: generation[k] for k, s in _SAMPLING.items() if generation.get(k)}
    sampling = _without_defaults(sampling)
    metadata = of_task.get("metadata") or {}
    return {
        "metrics": metrics,
        "n": n,
        "plain": plain,
        "strategy": str(sprint.get("strategy") or config.get("model") or "unknown")[:MAX_NAME],
        "selector": _short(sprint.get("selector")),
        "method": _short(sprint.get("method")),
        "learned": bool(sprint.get("learned")),
        "drawn": [f"{name} {sprint[name]!s:.20}" for name in OF_STRATEGY if sprint.get(name) not in (None, 1)],
        "seed": _seed(sprint, config, sampling),
        "task_version": (results.get("versions") or {}).get(task),
        "settings": {"max_new_tokens": generation.get("max_new_tokens"), "until": generation.get("until")},
        "sampling": sampling,
        "grader": sprint.get("grader") or metadata.get("grader"),
        "num_fewshot": (results.get("n-shot") or {}).get(task, of_task.get("num_fewshot")),
        "prompt_form": sprint.get("prompt_form"),
        "chat_template": results.get("chat_template_sha"),
        "system": results.get("system_instruction_sha"),
        "dtype": _dtype(config.get("model_dtype") or arguments.get("dtype")),
        "fingerprint": _text(sprint.get("fingerprint")),
        "selector_sha256": _text(sprint.get("selector_sha256")),
        "listed": _digest([sprint.get("candidates"), sprint.get("pool_candidates")]),
        "questions": counts.get("effective") if type(counts.get("effective")) is int else None,
        "limit": config.get("limit"),
        "asked": _digest(config.get("samples")),
        "seconds": _number(results.get("total_evaluation_time_seconds")),
        "tasks_together": len(results["configs"]),
        "reused": _reused(sprint.get("store")),
        "date": _number(results.get("date")),
        "versions": sprint.get("versions") or {"lm_eval": results.get("lm_eval_version")},
    }


def _checked_rates(of_task: dict, task: str, n: object) -> dict[str, float]:
    metrics, written = metrics_of(of_task), _written(of_task)
    unusable = next((name for name in ("pass@1", f"pass@{n}") if name in written and name not in metrics), None)
    if unusable:
        raise InputError(f"task {task!a:.80} has {unusable} {written[unusable]!a:.40}, a rate is a number from 0 to 1")
    if type(n) is not int or not 1 <= n <= MAX_CANDIDATES or f"pass@{n}" not in metrics:
        raise InputError(f"task {task!a:.80} has repeats {n!a:.40} and no pass@N of it")
    wrong = next((name for name, value in metrics.items() if name.startswith(RATES) and not 0 <= value <= 1), None)
    if wrong:
        raise InputError(f"task {task!a:.80} has {wrong} {metrics[wrong]:g}, a rate is from 0 to 1")
    return metrics


_SAMPLING = {"temperature": "T", "top_k": "top_k", "top_p": "top_p"}


def _without_defaults(sampling: dict | None) -> dict | None:
    """top_p 1 and top_k 0 or -1 are no limits."""
    if sampling is None:
        return None
    kept = {k: float(v) for k, v in sampling.items() if type(v) in (int, float) and math.isfinite(v)}
    return {k: v for k, v in kept.items() if not (k == "top_p" and v == 1) and not (k == "top_k" and v <= 0)}


def _plain_generation(kwargs: dict) -> dict:
    """The settings of another model of the harness in the names of ours."""
    temperature = kwargs.get("temperature")
    sampled = bool(kwargs.get("do_sample", bool(temperature))) and temperature != 0
    limits = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    new_tokens = next((kwargs[name] for name in limits if name in kwargs), None)
    until = kwargs.get("until")
    until = [until] if isinstance(until, str) else until
    drawn = {name: kwargs.get(name) for name in _SAMPLING}
    return {"greedy": not sampled, "max_new_tokens": new_tokens, "until": until, **drawn}


def _seed(sprint: dict, config: dict, sampling: dict | None) -> int | None:
    training = sprint.get("training")
    seed = sprint.get("strategy_seed") if "strategy" in sprint else config.get("torch_seed") if sampling else None
    if seed is None and isinstance(training, dict):
        seed = training.get("seed")
    return seed if type(seed) is int else None


def model_label(results: dict, facts: dict) -> tuple[str, str]:
    """Return the model (hub id or the folder's name), and its label: with everything that alters its answers.

    Paths and secrets among the arguments (store, cache, token) stay out.
    """
    config = results["config"]
    arguments = model_arguments(config.get("model_args"))
    given = model_name(arguments.get("pretrained"))
    if not isinstance(given, str):
        given = PAPER_MODEL if not facts["plain"] else results.get("model_name")
    model = (given if isinstance(given, str) else "unknown")[:MAX_NAME]
    unseen = {"pretrained", "dtype", *PRIVATE, *MODEL_ARGUMENTS, *HOW_IT_RUNS}
    altered = {k: v for k, v in sorted(arguments.items()) if k not in unseen and v not in (None, "", False)}
    altered.pop("revision", None) if altered.get("revision") == "main" else None
    details = [f"{k}={_short(v)}" for k, v in altered.items() if type(v) in (str, int, float, bool)]
    return model, f"{model} ({', '.join(details)})"[: 2 * MAX_NAME] if details else model


def _short(value: object) -> str | None:
    """A path is cut to its name: where a folder lies means nothing elsewhere."""
    if value is None:
        return None
    text = str(value)
    return (Path(text).name if text.startswith(("/", ".", "~")) else text)[:MAX_NAME]


def _text(value: object) -> str | None:
    return value[:MAX_NAME] if isinstance(value, str) else None


def _dtype(value: object) -> str | None:
    name = _text(value)
    return None if name in (None, "auto") else name.removeprefix("torch.")


def _reused(store: object) -> int:
    """How many responses came from a store, so that the run's time does not show what they cost."""
    reused = store.get("reused") if isinstance(store, dict) else 0
    return reused if type(reused) is int else 0


def _number(value: object) -> float | None:
    try:
        number = float(value)  # the harness writes seconds as text
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _digest(value: object) -> str | None:
    if not value or value == [None, None]:
        return None
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def run_facts(results: dict, task: str) -> dict:
    """Return the facts of a matrix from a harness run's results."""
    config, of_task = results["config"], results["configs"][task]
    sprint = config.get("sprint") or {}
    arguments = model_arguments(config.get("model_args"))
    of_sprint = ("fingerprint", "architecture", "heads_per_layer", "altered", "chat_template", "prompt_form")
    kept = {name: sprint.get(name) for name in of_sprint}
    return {
        "model": model_name(arguments.get("pretrained")),
        "model_args": {name: value for name, value in arguments.items() if name not in PRIVATE},
        "revision": config.get("model_revision"),
        **kept,
        "strategy": sprint.get("strategy"),
        "task": task,
        "task_version": (results.get("versions") or {}).get(task),
        "settings": (sprint.get("generation") or [of_task.get("generation_kwargs")])[0],
        "num_fewshot": of_task.get("num_fewshot"),
        "system_instruction": results.get("system_instruction"),
        "grader": sprint.get("grader"),
        "dtype": config.get("model_dtype"),
        "attention": sprint.get("attention"),
        "versions": sprint.get("versions"),
    }


def model_name(pretrained: object) -> object:
    """A hub id as it is; of a folder its name, since a path means nothing elsewhere."""
    if type(pretrained) in (int, float):  # the harness reads pretrained=1 as a number
        return str(pretrained)
    if not isinstance(pretrained, str):
        return pretrained
    path = Path(pretrained)
    folder = path.is_absolute() or pretrained.startswith((".", "~")) or os.path.isdir(path)
    return path.name if folder and path.name else pretrained
