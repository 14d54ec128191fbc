"""The harness model `vllm-pruned-bon`: pruned heads as LoRA adapters on vLLM, all candidates in flight together.

A subclass of the harness's `vllm` model (`lm_eval/models/vllm_causallms.py`) that takes all of its arguments, and the
strategies and store of `hf-pruned-bon`. One adapter per candidate, made when it is first asked for; the engine does the
rest: continuous batching, prefix caching, tensor, pipeline and data parallelism.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice

from sprint_lmeval.adapters.cache import AdapterCache
from sprint_lmeval.adapters.engine_check import adapter_test, judged, probes
from sprint_lmeval.adapters.maker import NOT_QUANTISED, AdapterMaker
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.checkpoints.pretrained import resolve_pretrained
from sprint_lmeval.errors import InputError, cause, show_one_sentence
from sprint_lmeval.generation.rows import Response, Row, Settings
from sprint_lmeval.models.engines.base import NOT_SENT, EngineModel
from sprint_lmeval.models.engines.engine_requests import FINISHED, Checkpoint, EngineRows, Request, step_among
from sprint_lmeval.models.engines.vllm_arguments import (
    OwnTemplate,
    check_arguments,
    harness_class,
    hub_arguments,
    modules_in_vllm,
    telling,
    template_arguments,
)
from sprint_lmeval.models.engines.vllm_lazy import EngineLater, failures, starting_later
from sprint_lmeval.names import PAPER_MODEL
from sprint_lmeval.store.database import Store
from sprint_lmeval.store.keys import model_facts
from sprint_lmeval.strategies.build import StrategyArguments

show_one_sentence()  # before the imports below, whose failure is a user's mistake
VLLM = harness_class()
from vllm.exceptions import VLLMError  # noqa: E402
from vllm.platforms import current_platform  # noqa: E402
from vllm.v1.engine.exceptions import EngineDeadError  # noqa: E402

log = logging.getLogger(f"lm_eval.{__name__}")
ENGINE = "vllm"
AHEAD = 2  # times as many requests as run at once are given to the engine, so that it never waits for one


class VLLMPrunedBestOfN(EngineModel, OwnTemplate, VLLM):
    """N greedy responses of N pruned sub-models on vLLM, or one of the baselines.

    Args:
        pretrained: folder, hub id or `tiny`; by default the paper's model. Needs safetensors files.
        head_masks, strategy, pool, strategy_seed, first, selector, selector_encoder, selector_check, priority, levels,
            fill, store: as in `hf-pruned-bon`; codes is refused.
        adapters: folder in which adapters are kept; by default a temporary one. For several machines on a shared disk.
        kwargs: every argument of the harness's `vllm` model and of vLLM's engine.

    Raises:
        InputError: on any argument that is unknown, contradictory or does not fit the model, where possible before
            the engine is started.
    """

    def __init__(
        self,
        pretrained: str = PAPER_MODEL,
        store: str | os.PathLike | None = None,
        adapters: str | None = None,
        **kwargs,
    ) -> None:
        show_one_sentence()
        chosen = StrategyArguments.taken_from(kwargs)
        kwargs.pop("device", None)  # the harness's command line gives one; vLLM looks by itself
        check_arguments(kwargs, VLLM)
        pretrained = resolve_pretrained(pretrained)
        hub = hub_arguments(kwargs)
        of_model = {**telling(kwargs), **hub}
        self._prepare(pretrained, chosen, of_model)
        self._adapters = self._adapter_cache(pretrained, hub, adapters, kwargs)
        if self.strategy.draws and current_platform.is_cpu():
            # Seeded rows whose prompt is read in parts end the engine on a CPU (vLLM 0.32: generators have no offset).
            kwargs.setdefault("enable_chunked_prefill", False)
        kept = Store.open(store) if store is not None else None
        if self._adapters:
            kwargs |= self._adapters.engine_arguments(kwargs)
            kwargs["lora_target_modules"] = modules_in_vllm({"model": pretrained, **kwargs}, self._adapters.modules)
        of_template = template_arguments(kwargs)  # now: the harness takes one out
        with failures(), starting_later() if kept is not None else nullcontext():
            super().__init__(pretrained=pretrained, **kwargs)
        self.chat_template_args = {"chat_template": self.hf_chat_template, **of_template}
        self._checkpoint = Checkpoint.of(pretrained, self._config, **hub)
        self.self_test = self._tested()
        if kept is not None:
            self._keep_in(kept, self._facts(pretrained, of_model))
        self._log_strategy(NOT_SENT, self._checkpoint.not_applied())

    def _adapter_cache(self, pretrained: str, hub: dict, folder: str | None, given: dict) -> AdapterCache | None:
        pruned = self._pruned()
        if not pruned:
            return None
        for name in ("quantization", "quantization_config"):
            if given.get(name):
                raise InputError(f"{name}={given[name]} given, {NOT_QUANTISED}")
        rank = given.get("max_lora_rank")
        return AdapterCache(AdapterMaker(pretrained, **hub), pruned, folder, int(rank) if rank else None)

    @property
    def started(self) -> bool:
        """Whether an engine runs here; replicas start with their requests."""
        return self.data_parallel_size <= 1 and not isinstance(self.model, EngineLater)

    def load_weights(self) -> None:
        """Start the engine where that was left for later (store=), and try the adapters on it."""
        if self.started or self.data_parallel_size > 1:
            return
        with failures():
            self.model = self.model.start()
        self.self_test = self._tested()
        log.info("vLLM runs: %s", self.self_test)

    def _tested(self):
        if self._adapters is None or not self.started:
            return None
        return adapter_test(self._scores, self.strategy.possible(), len(self.tokenizer))

    def _scores(self, tokens: list[int], candidate: Candidate) -> list[float]:
        """Return the log-probability of each token but the first under a candidate."""
        with self._every_request_with(candidate):
            (output,) = self._model_generate(requests=[tokens])
        return _scores_of(output)

    # ---- decoding ----

    def _answers(self, kind: EngineRows, asked: Iterator[Request]) -> Iterator[tuple[Row, Response]]:
        run = self._in_this_engine if self.data_parallel_size <= 1 else self._in_replicas
        for request, output in run(asked):
            completion = output.outputs[0]
            if completion.finish_reason not in FINISHED:
                raise InputError(
                    f"vLLM broke an answer off ({completion.finish_reason}): repeat the command; with store= it goes "
                    "on where it was"
                )
            best = [{token: of.logprob for token, of in best.items()} for best in completion.logprobs or ()]
            steps = [step_among(token, of[token], of) for token, of in zip(completion.token_ids, best, strict=False)]
            yield request.row, kind.response(request, completion.token_ids, completion.stop_reason, steps)

    def _in_this_engine(self, requests: Iterator[Request]) -> Iterator[tuple[Request, object]]:
        """Keep the engine busy and yield each request as it is finished; nothing stays in it whatever happens."""
        engine = self.model.llm_engine
        at_once = AHEAD * engine.vllm_config.scheduler_config.max_num_seqs
        running: dict[str, tuple[Request, str]] = {}  # our id -> request, the engine's id
        started = 0
        try:
            while True:
                for request in islice(requests, at_once - len(running)):
                    started += 1
                    name = f"sprint-{id(running)}-{started}"
                    running[name] = (
                        request,
                        engine.add_request(
                            name, *self._prompt(request), lora_request=self._lora(request.row.candidate)
                        ),
                    )
                if not running:
                    return
                for output in engine.step():
                    if output.finished:
                        yield running.pop(output.request_id)[0], output
        except EngineDeadError as error:
            raise InputError(
                f"vLLM's engine ended ({cause(error, 300)}): what it says above this line tells more; with "
                "store= the same command goes on where it was"
            ) from error
        finally:
            if running:
                with suppress(EngineDeadError):
                    engine.abort_request([own for _, own in running.values()], internal=True)

    def _in_replicas(self, requests: Iterator[Request]) -> list[tuple[Request, object]]:
        """The harness's own data parallelism over Ray, with adapters.

        It deals requests out in turns (the i-th goes to replica i modulo their number) and hands every replica the same
        adapters. So each run of as many requests as there are replicas has one adapter, filled up with copies of its
        last request: then the j-th adapter is that of every replica's j-th request. First come those of the test of the
        adapters, since these engines are new.
        """
        replicas, waiting = self.data_parallel_size, list(requests)
        tested = probes(self.strategy.possible(), len(self.tokenizer)) if self._adapters else []
        dealt = [(None, tokens, _scoring()) for tokens, _ in tested for _ in range(replicas)]
        adapters = [self._lora(candidate) for _, candidate in tested]
        while waiting:
            candidate = waiting[0].row.candidate
            same = [r for r in waiting[:replicas] if r.row.candidate == candidate]
            waiting = waiting[len(same) :]
            filled = [*same, *[same[-1]] * (replicas - len(same))]
            dealt += [(request, request.tokens, self._prompt(request)[1]) for request in filled]
            adapters.append(self._lora(candidate))
        outputs = self._all_at_once([tokens for _, tokens, _ in dealt], [of for *_, of in dealt], adapters)
        if tested:
            scores = [_scores_of(output) for output in outputs[: len(tested) * replicas]]
            of_each = [judged(tested, scores[replica::replicas]) for replica in range(replicas)]
            self.self_test = min(of_each, key=lambda test: test.effect)
        answers = [(request, output) for (request, *_), output in zip(dealt, outputs, strict=True) if request]
        return list({id(request): (request, output) for request, output in answers}.values())

    def _all_at_once(self, prompts: list[list[int]], parameters: list, adapters: list) -> list:
        self.lora_request = adapters if self._adapters else None
        try:
            return self._model_generate(requests=prompts, generate=True, sampling_params=parameters)
        finally:
            self.lora_request = None

    def _requests_for(self, settings: Settings) -> EngineRows:
        kind = super()._requests_for(settings)
        _sampling_parameters(kind.parameters)  # raises for values that vLLM refuses
        return kind

    def _prompt(self, request: Request) -> tuple:
        from vllm import TokensPrompt

        return TokensPrompt(prompt_token_ids=request.tokens), _sampling_parameters(request.parameters)

    def _lora(self, candidate: Candidate):
        from vllm.lora.request import LoRARequest

        if candidate == BASE and not (self._adapters and current_platform.is_cpu()):
            return None
        # On a CPU vLLM 0.32 gives rows without an adapter that of its last slot: there `base` has one of zeros.
        path = self._adapters.path(candidate)
        return LoRARequest(str(candidate), self._adapters.number(candidate), str(path))

    # ---- scoring of given continuations: one candidate only ----

    @contextmanager
    def _every_request_with(self, candidate: Candidate) -> Iterator[None]:
        self.load_weights()
        self.lora_request = self._lora(candidate)
        try:
            yield
        finally:
            self.lora_request = None

    def loglikelihood(self, requests: list, *args, **kwargs) -> list:
        with self._every_request_with(self._only_candidate()):
            return super().loglikelihood(requests, *args, **kwargs)

    def loglikelihood_rolling(self, requests: list, *args, **kwargs) -> list:
        with self._every_request_with(self._only_candidate()):
            return super().loglikelihood_rolling(requests, *args, **kwargs)

    # ---- what the results record ----

    def _facts(self, pretrained: str, of_model: dict) -> dict:
        """Return what decides a text, for the store: as for hf-pruned-bon, and the engine."""
        import vllm

        arguments = {**of_model, "dtype": self._dtype()}
        facts = model_facts(pretrained, arguments, self._checkpoint, self.tokenizer, current_platform.device_type)
        return {**facts, "engine": ENGINE, "versions": {**facts["versions"], ENGINE: vllm.__version__}}

    def _dtype(self) -> str:
        """The dtype that the engine runs in; where engines are elsewhere, what vLLM makes of what was asked for."""
        model = EngineLater(**self.model_args) if self.data_parallel_size > 1 else self.model
        return str(model.llm_engine.model_config.dtype).removeprefix("torch.")

    def get_model_info(self) -> dict:
        """Return, under `sprint`, what is needed to rerun and to trust the numbers."""
        import vllm

        names = ("tensor_parallel_size", "pipeline_parallel_size", "max_loras", "max_lora_rank")
        engine = {"name": ENGINE, "data_parallel_size": self.data_parallel_size}
        engine |= {name: self.model_args.get(name) for name in names}
        engine["adapters"] = self._adapters.made if self._adapters else 0
        sprint = self._described_with(engine, {ENGINE: vllm.__version__})
        revision = self.model_args.get("revision") or "main"
        return {"model_dtype": self._dtype(), "model_revision": revision, "sprint": sprint}


def _sampling_parameters(given: dict):
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    try:
        return SamplingParams(**given, output_kind=RequestOutputKind.FINAL_ONLY)
    except (TypeError, ValueError, VLLMError) as error:
        said = cause(error, 300)
        raise InputError(f"vLLM refuses the generation settings ({said}): change --gen_kwargs") from error


def _scoring():
    """Parameters of a request whose prompt is scored, as the harness's."""
    from vllm import SamplingParams

    return SamplingParams(temperature=0, prompt_logprobs=1, max_tokens=1, detokenize=False)


def _scores_of(output) -> list[float]:
    """Return the log-probability of each token of the prompt but the first."""
    tokens = output.prompt_token_ids
    return [of[token].logprob for token, of in zip(tokens[1:], output.prompt_logprobs[1:], strict=True)]
