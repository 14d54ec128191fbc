"""The task class behind every `*_passn` YAML: N responses per document, judged together.

In: documents of `documents.py` (question, answer, ...) and what the YAML says. Out: the metrics of `metrics.py`.
It is the harness's `ConfigurableTask`; the YAML stays the place of prompts, limits and N.
"""

from __future__ import annotations

from lm_eval.api.task import ConfigurableTask

from sprint_lmeval.answers.verdicts import GRADER, check_golds, judge_responses
from sprint_lmeval.errors import InputError, show_one_sentence
from sprint_lmeval.passn.metrics import QuestionRow, aggregations, kept_lists, mean_metrics, question_metrics


class PassNTask(ConfigurableTask):
    """N responses per question (`repeats`), verdicts against the document's `answer`.

    `metadata.answer_kind` of the YAML is `math` (symbolic equality) or `number`.
    """

    def __init__(self, config: dict) -> None:
        show_one_sentence()
        config = {key: value for key, value in config.items() if key != "class"}
        asked = config.get("metadata", {}).get("n")  # a model argument: the harness passes them to every task
        name, n = ("repeats", config.get("repeats", 1)) if asked is None else ("n", asked)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise InputError(f"task {config.get('task')}: {name}={n} given, N must be a whole number above 0")
        config["repeats"] = n
        # The harness looks metrics up by name unless a task judges for itself, as this class does.
        super().__init__(config={**config, "process_results": f"{__name__}.PassNTask.process_results"})

    def aggregation(self) -> dict:
        return super().aggregation() if self.predicts_only else aggregations(self.config.repeats)

    def higher_is_better(self) -> dict:
        return super().higher_is_better() if self.predicts_only else mean_metrics(self.config.repeats)

    @property
    def predicts_only(self) -> bool:
        """Whether `--predict_only` was given: the harness then puts one metric, `bypass`, in place of all."""
        return "bypass" in self._metric_fn_list

    @property
    def answer_kind(self) -> str:
        return self.config.metadata["answer_kind"]

    def build_all_requests(self, *, cache_requests: bool = False, **kwargs) -> None:
        if cache_requests:
            raise InputError(
                "--cache_requests given: its key knows neither generation settings nor repeats, so a changed run "
                "would reuse old requests; leave it out"
            )
        _refuse_too_many_shots(self)
        super().build_all_requests(cache_requests=False, **kwargs)
        self._refuse_bad_golds([instance.doc for instance in self.instances])

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
        return QuestionRow(metrics, kept_lists(judgement, responses))

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
