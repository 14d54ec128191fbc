"""What an evaluation would do: the harness's prepared model and tasks in, a text of candidates, rows and time out.

Called in place of `lm_eval.evaluator.evaluate`, with its arguments: prompts are built and gold answers are checked as
in the real run, and the first questions are answered to measure how fast this machine is. Their answers are not kept.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil

from sprint_lmeval.candidates import some_of

TRIAL_S = 30.0  # at most about so long is spent on a task's trial, where its first question takes less
TRIAL_ROWS = 256  # rows of a trial where no batch size is given


@dataclass(frozen=True)
class Trial:
    """Rows that were decoded as the run decodes them, the tokens that they wrote, and the seconds that it took."""

    rows: int
    new_tokens: int
    seconds: float

    def seconds_of(self, rows: int, smaller: Trial) -> float:
        """Return the time of `rows` rows: what a row more took in this trial than in a smaller one counts for each."""
        each = self.seconds / self.rows
        if self.rows > smaller.rows:  # half of it at least, since another program may have held up the smaller one
            each = max(each / 2, (self.seconds - smaller.seconds) / (self.rows - smaller.rows))
        return self.seconds + (rows - self.rows) * each


def describe_run(lm, task_dict: dict, limit=None, samples=None, **options) -> str:
    """Return the plan of a run; takes the arguments of the harness's `evaluate`."""
    lines = ["Dry run: nothing was evaluated.", model_line(lm)]
    total_s = 0.0
    for name, task in task_dict["tasks"].items():
        build_requests(lm, name, task, limit, samples, options)
        lines += [f"{name}:", *candidate_lines(lm, task.instances), rows_line(lm, task.instances)]
        if can_be_timed(lm, task):
            first, trial = measured(lm, task.instances)
            task_s = trial.seconds_of(decoded_rows(lm, task.instances), first) / lm.world_size
            total_s += task_s
            lines.append(time_line(task_s, trial))
        else:
            lines.append(f"  time: not estimated for {task.OUTPUT_TYPE} requests of {type(lm).__name__}")
    return "\n".join([*lines, f"in all: about {clock(total_s)} of generation"] if total_s else lines)


def build_requests(lm, name: str, task, limit, samples, options: dict) -> None:
    """Build every prompt of `task` as the harness's `evaluate` does, for all ranks at once."""
    chat = options.get("apply_chat_template")
    task.build_all_requests(
        limit=limit and (ceil(len(task.eval_docs) * limit) if limit < 1 else int(limit)),
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
    return [f"  {some_of(lists[0])}, {which}"]


def rows_line(lm, instances: list) -> str:
    n = instances[0].repeats or 1
    rows, decoded = len(instances) * n, decoded_rows(lm, instances)
    shared = "" if decoded == rows else f", of which {decoded} are decoded and stand for the others"
    return f"  rows: {len(instances)} questions x {n} responses = {rows}{shared}"


def decoded_rows(lm, instances: list) -> int:
    """Return how many rows the model decodes: samples and branches each, other equal candidates of a question once."""
    lists = ranked(lm, instances)
    if lists[0][0] is None or lm.strategy.name in ("sample", "branch"):
        return sum(map(len, lists))
    return sum(len(set(candidates)) for candidates in lists)


def can_be_timed(lm, task) -> bool:
    from lm_eval.models.huggingface import HFLM

    return isinstance(lm, HFLM) and task.OUTPUT_TYPE == "generate_until"


def measured(lm, instances: list) -> tuple[Trial, Trial]:
    """Answer the first question, then as many others as fill two batches and fit into TRIAL_S; returns both trials."""
    answered(lm, instances[:1], max_gen_toks=1)  # pays for what is done once
    first = answered(lm, instances[:1])
    wanted = 2 * int(lm.batch_size) if str(lm.batch_size).isdecimal() else TRIAL_ROWS
    more = min(ceil(wanted / first.rows), int(TRIAL_S / first.seconds))
    return first, answered(lm, instances[1 : 1 + more]) if more and instances[1:] else first


def answered(lm, instances: list, **settings: int) -> Trial:
    """Decode all rows of some questions with their own generation settings, but for those given."""
    requests = []
    for instance in instances:
        arguments = (instance.args[0], {**instance.args[1], **settings})
        requests += [replace(instance, arguments=arguments)] * (instance.repeats or 1)
    stored, lm.stored = getattr(lm, "stored", None), None  # a stored answer says nothing of this machine's speed
    try:
        started = time.perf_counter()
        responses = lm.generate_until(requests, disable_tqdm=True)
        seconds = time.perf_counter() - started
    finally:
        lm.stored = stored
    rows = decoded_rows(lm, instances)
    tokens = [getattr(r, "new_tokens", None) or len(lm.tok_encode(r)) for r in responses]
    return Trial(rows, round(sum(tokens) * rows / len(tokens)), seconds)


def time_line(task_s: float, trial: Trial) -> str:
    return (
        f"  time: about {clock(task_s)} (measured: {trial.rows} rows of {trial.new_tokens / trial.rows:.0f} tokens in "
        f"{trial.seconds:.1f} s, {trial.new_tokens / trial.seconds:.0f} tokens a second)"
    )


def clock(seconds: float) -> str:
    return str(timedelta(seconds=ceil(seconds)))
