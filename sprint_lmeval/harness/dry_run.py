"""What an evaluation would do: the harness's prepared model and tasks in, a text of candidates, rows and time out.

Called in place of `lm_eval.evaluator.evaluate`, with its arguments: prompts are built and gold answers are checked as
in the real run, and one batch is decoded for a few tokens to measure how fast this machine is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil

CALIBRATION_TOKENS = 32  # decoded beyond the first one to measure the time per token
AUTO_BATCH_ROWS = 64  # rows of the calibration batch where the batch size is found out during the run


@dataclass(frozen=True)
class Pace:
    """One measured batch: its rows, the time until its first token, and for each token after that."""

    rows: int
    first_s: float
    token_s: float

    def longest_s(self, rows: int, new_tokens: int) -> float:
        """Return the time of `rows` rows that all write `new_tokens` tokens."""
        return ceil(rows / self.rows) * (self.first_s + self.token_s * (new_tokens - 1))


def describe_run(lm, task_dict: dict, limit=None, samples=None, **options) -> str:
    """Return the plan of a run; takes the arguments of the harness's `evaluate`."""
    lines = ["Dry run: nothing was evaluated.", model_line(lm)]
    total_s = 0.0
    for name, task in task_dict["tasks"].items():
        build_requests(lm, name, task, limit, samples, options)
        lines += [f"{name}:", *candidate_lines(lm, task.instances), rows_line(lm, task.instances)]
        if can_be_timed(lm, task):
            pace = measure(lm, task.instances)
            rows, new_tokens = decoded_rows(lm, task.instances), new_token_limit(lm, task.instances[0])
            task_s = pace.longest_s(rows, new_tokens) / lm.world_size
            total_s += task_s
            lines.append(time_line(task_s, pace, rows, new_tokens))
        else:
            lines.append(f"  time: not estimated for {task.OUTPUT_TYPE} requests of {type(lm).__name__}")
    return "\n".join([*lines, f"in all: at most {clock(total_s)} of generation"] if total_s else lines)


def build_requests(lm, name: str, task, limit, samples, options: dict) -> None:
    """Build every prompt of `task` as the harness's `evaluate` does, for all ranks at once."""
    from lm_eval.evaluator_utils import get_sample_size

    chat = options.get("apply_chat_template")
    task.build_all_requests(
        limit=get_sample_size(task, limit),
        samples=samples.get(name) if samples is not None else None,
        rank=0,
        world_size=1,
        cache_requests=options.get("cache_requests", False),
        system_instruction=options.get("system_instruction"),
        apply_chat_template=bool(chat),
        fewshot_as_multiturn=options.get("fewshot_as_multiturn", False),
        chat_template=lm.apply_chat_template if chat else None,
        tokenizer_name=lm.tokenizer_name if chat else "",
    )


def model_line(lm) -> str:
    strategy = getattr(lm, "strategy", None)
    if strategy is None:
        return f"model: {type(lm).__name__}, without candidates"
    learned = "learned" if strategy.learned else "unlearned"
    return f"model: {lm.layout.architecture}, strategy {strategy.name} ({learned})"


def ranked(lm, instances: list) -> list[list]:
    """Return the candidates of every question, or [None] * N each for a model without candidates."""
    n = instances[0].repeats or 1
    if not hasattr(lm, "strategy") or instances[0].request_type != "generate_until":
        return [[None] * n for _ in instances]
    from sprint_lmeval.models.requests import question_of

    attempts = lm.strategy.attempts([question_of(instance) for instance in instances], n)
    return [[attempt.candidate for attempt in row] for row in attempts]


def candidate_lines(lm, instances: list) -> list[str]:
    """Return the candidates of the first question in order, and whether the others have the same."""
    lists = ranked(lm, instances)
    if lists[0][0] is None:
        return []
    same = all(candidates == lists[0] for candidates in lists)
    which = "the same for every question" if same else "of the first question; they differ between questions"
    return [f"  candidates: {' '.join(map(str, lists[0]))} ({which})"]


def rows_line(lm, instances: list) -> str:
    n = instances[0].repeats or 1
    rows, decoded = len(instances) * n, decoded_rows(lm, instances)
    shared = "" if decoded == rows else f", of which {decoded} are decoded and stand for the others"
    return f"  rows: {len(instances)} questions x {n} responses = {rows}{shared}"


def decoded_rows(lm, instances: list) -> int:
    """Return how many rows the model decodes: equal candidates of a question are decoded once, samples each."""
    lists = ranked(lm, instances)
    if lists[0][0] is None or lm.strategy.exchangeable:
        return sum(map(len, lists))
    return sum(len(set(candidates)) for candidates in lists)


def can_be_timed(lm, task) -> bool:
    from lm_eval.models.huggingface import HFLM

    return isinstance(lm, HFLM) and task.OUTPUT_TYPE == "generate_until"


def new_token_limit(lm, instance) -> int:
    return int(instance.args[1].get("max_gen_toks", lm.max_gen_toks))


def measure(lm, instances: list) -> Pace:
    """Decode the first questions for a few tokens and time it; a first, untimed call pays for set-up."""
    rows_wanted = int(lm.batch_size) if str(lm.batch_size).isdecimal() else AUTO_BATCH_ROWS
    count = 1
    while count < len(instances) and decoded_rows(lm, instances[:count]) < rows_wanted:
        count += 1
    rows = min(rows_wanted, decoded_rows(lm, instances[:count]))
    seconds_of(lm, instances[:count], rows, 1)
    first_s = seconds_of(lm, instances[:count], rows, 1)
    both_s = seconds_of(lm, instances[:count], rows, 1 + CALIBRATION_TOKENS)
    return Pace(rows, first_s, max(both_s - first_s, 0.0) / CALIBRATION_TOKENS)


def seconds_of(lm, instances: list, rows: int, new_tokens: int) -> float:
    """Return the time in which the model writes exactly `new_tokens` tokens for the first `rows` rows."""
    requests = []
    for instance in instances:
        prompt, settings = instance.args
        settings = {**settings, "until": [], "max_gen_toks": new_tokens, "min_new_tokens": new_tokens}
        requests += [replace(instance, arguments=(prompt, settings))] * (instance.repeats or 1)
    if decoded_rows(lm, instances) == len(requests):
        requests = requests[:rows]
    stored, lm.stored = getattr(lm, "stored", None), None  # a stored answer says nothing of this machine's speed
    try:
        started = time.perf_counter()
        lm.generate_until(requests, disable_tqdm=True)
        return time.perf_counter() - started
    finally:
        lm.stored = stored


def time_line(task_s: float, pace: Pace, rows: int, new_tokens: int) -> str:
    return (
        f"  time: at most {clock(task_s)}, if every response is {new_tokens} tokens long; most end earlier "
        f"({ceil(rows / pace.rows)} batches of {pace.rows} rows, measured: {pace.first_s:.2f} s to the first token, "
        f"{pace.token_s * 1e3:.0f} ms for each further one)"
    )


def clock(seconds: float) -> str:
    return str(timedelta(seconds=ceil(seconds)))
