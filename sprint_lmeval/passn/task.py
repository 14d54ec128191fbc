"""The task class behind every `*_passn` YAML: N responses per document, judged together.

In: documents of `documents.py` (question, answer, ...) and what the YAML says. Out: the metrics of `metrics.py`.
It is the harness's task for generation; the YAML stays the place of prompts, limits and N.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

try:
    from lm_eval.api.task import GenerateTask as HarnessTask  # lm_eval 0.5
except ImportError:
    from lm_eval.api.task import ConfigurableTask as HarnessTask

from sprint_lmeval.answers.verdicts import GRADER, check_golds, judge_responses, paper_verdicts
from sprint_lmeval.errors import InputError, show_one_sentence
from sprint_lmeval.passn.metrics import (
    QuestionRow,
    aggregations,
    kept_lists,
    mean_metrics,
    paper_metrics,
    question_metrics,
)

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts
INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."  # of the YAML's prompts


class PassNTask(HarnessTask):
    """N responses per question (`repeats`), verdicts against the document's `answer`.

    `metadata.answer_kind` of the YAML is `math` (symbolic equality) or `number`. With `metadata.paper_grading`
    responses are judged by the paper's grader as well; the metrics of ours stay what they are. A sweep sets `drawn`,
    the numbers of its documents, since lm_eval 0.5.0.dev1 miscounts those that its option `samples` names.
    """

    drawn: list[int] | None = None

    def __init__(self, config: dict) -> None:
        show_one_sentence()
        config = {key: value for key, value in config.items() if key != "class"}
        asked = config.get("metadata", {}).get("n")  # a model argument: the harness passes them to every task
        name, n = ("repeats", config.get("repeats", 1)) if asked is None else ("n", asked)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise InputError(f"task {config.get('task')}: {name}={n} given, N must be a whole number above 0")
        config["repeats"] = n
        self._rows: list[QuestionRow] = []
        # The harness looks metrics up by name unless a task judges for itself, as this class does.
        super().__init__(config={**config, "process_results": f"{__name__}.PassNTask.process_results"})

    def aggregation(self) -> dict:
        return super().aggregation() if self.predicts_only else aggregations(self.config.repeats, self.paper_grading)

    def higher_is_better(self) -> dict:
        return (
            super().higher_is_better() if self.predicts_only else mean_metrics(self.config.repeats, self.paper_grading)
        )

    @property
    def predicts_only(self) -> bool:
        """Whether `--predict_only` was given: the harness then puts one metric, `bypass`, in place of all."""
        has_metric = getattr(self, "_has_metric", None)  # lm_eval 0.5
        return has_metric("bypass") if has_metric else "bypass" in self._metric_fn_list

    @property
    def answer_kind(self) -> str:
        return self.config.metadata["answer_kind"]

    @property
    def paper_grading(self) -> bool:
        return bool(self.config.metadata.get("paper_grading"))

    def download(self, dataset_kwargs: dict | None = None, **kwargs) -> None:
        """Take the documents as the harness does, without its advice on arguments, of which our data sets have none."""
        if self.config.custom_dataset is None:
            super().download(dataset_kwargs, **kwargs)
        else:
            self.dataset = self.config.custom_dataset(**(self.config.metadata or {}), **(dataset_kwargs or {}))

    def build_all_requests(self, *, cache_requests: bool = False, chat_template=None, **kwargs) -> None:
        if cache_requests:
            raise InputError(
                "--cache_requests given: its key knows neither generation settings nor repeats, so a changed run "
                "would reuse old requests; leave it out"
            )
        _refuse_too_many_shots(self)
        chat_template = chat_template and instructed_once(chat_template, self.config.task)
        super().build_all_requests(cache_requests=False, chat_template=chat_template, **kwargs)
        self._refuse_bad_golds([instance.doc for instance in self.instances])

    def doc_iterator(self, *, samples=None, **kwargs):
        return super().doc_iterator(samples=samples or self.drawn, **kwargs)

    def _refuse_bad_golds(self, docs: list[dict]) -> None:
        """A gold that cannot be judged would score every response wrong: reported before anything is generated."""
        for doc, problem in zip(docs, check_golds([doc["answer"] for doc in docs], self.answer_kind), strict=True):
            if problem:
                raise InputError(f"task {self.config.task}, document {doc['id']}: {problem}")

    def process_results(self, doc: dict, results: list) -> dict:
        """Judge the N responses of one document; padding of a data-parallel rank is cut off."""
        if self.predicts_only:
            return {"bypass": 999}
        n = self.config.repeats
        responses = results[0] if isinstance(results[0], (list, tuple)) else results
        if len(responses) < n:
            raise InputError(
                f"task {self.config.task}, document {doc['id']}: {len(responses)} responses, {n} were asked for"
            )
        responses = list(responses[:n])
        memory = getattr(responses[0], "judgements", None)
        judgement = judge_responses(responses, doc["answer"], self.answer_kind, memory)
        metrics = question_metrics(judgement, responses, self._exchangeable(responses))
        lists = kept_lists(judgement, responses)
        if self.paper_grading:
            paper = paper_verdicts(responses, doc["answer"], self.answer_kind, memory)
            metrics |= paper_metrics(judgement.verdicts, paper)
            lists["paper_verdicts"] = [verdict.value for verdict in paper]
        self._rows.append(QuestionRow(metrics, lists))
        return self._rows[-1]

    def process_instances(self) -> None:
        """Judge all documents. Only lm_eval 0.5 calls this; it copies the metrics of a row and drops the lists."""
        self._rows.clear()
        super().process_instances()
        if self._rows:
            (scorer,) = self._scorers
            scorer._reduced_docs = dict(zip(scorer._reduced_docs, self._rows, strict=True))

    def _exchangeable(self, responses: list[str]) -> bool:
        """Whether the N are independent samples: our model says so; another one samples where it was asked to."""
        reported = [getattr(r, "exchangeable", None) for r in responses]
        if None not in reported:
            return all(reported)
        settings = self.config.generation_kwargs or {}
        return bool(settings.get("do_sample")) and float(settings.get("temperature") or 0) > 0

    def dump_config(self) -> dict:
        """Return the configuration that results record: the same text in every run, functions by their names."""
        config = _named(super().dump_config())
        return {**config, "metadata": {**(config.get("metadata") or {}), "grader": GRADER}}


def instructed_once(render: Callable[..., str], task: str) -> Callable[..., str]:
    """Return a chat template that leaves INSTRUCTION out of the questions where it says it by itself (Qwen2.5-Math)."""
    said = None  # the same for all prompts of a task

    def rendered(messages: list[dict], **options) -> str:
        nonlocal said
        shorter = [{**m, "content": m["content"].replace(f"\n\n{INSTRUCTION}", "")} for m in messages]
        if said is None:
            said = shorter != messages and INSTRUCTION in render(shorter, **options)
            if said:
                log.warning(
                    "task %s: the model's chat template says %r by itself, so the questions do not say it again; "
                    "--system_instruction TEXT puts TEXT in the place of the template's",
                    task,
                    INSTRUCTION,
                )
        return render(shorter if said else messages, **options)

    return rendered


def _refuse_too_many_shots(task: PassNTask) -> None:
    available = len(task.fewshot_docs() or [])
    asked = task.config.num_fewshot or 0
    if asked > available:
        name = task.config.task
        raise InputError(f"--num_fewshot {asked} given, task {name} has {available} examples: ask for fewer")


def _named(value: object) -> object:
    if isinstance(value, dict):
        return {key: _named(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner) for inner in value]
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else value
