"""The harness model `hf-pruned-bon`: requests -> strategy -> candidates -> pruned generation -> texts.

A subclass of the harness's `hf` model (`lm_eval/models/huggingface.py`) that takes all of its arguments. What differs:
the N repeats of a document get the first N candidates of a strategy, and rows of different candidates share a batch.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from sprint_lmeval.checkpoints.fingerprint import model_fingerprint
from sprint_lmeval.checkpoints.pretrained import default_device, resolve_pretrained
from sprint_lmeval.errors import InputError, cause, is_command_line, show_one_sentence
from sprint_lmeval.generation.decode import MOST_ROWS, Account, end_token_ids, generate
from sprint_lmeval.generation.fast.device_limits import slow_dtype
from sprint_lmeval.generation.fast.supported import why_not_fast
from sprint_lmeval.generation.rows import Response, Row, Settings, Successors
from sprint_lmeval.models.best_of_n import BestOfN
from sprint_lmeval.models.checks import check_before_loading, check_hf_arguments, check_selector, check_strategy
from sprint_lmeval.models.generation_settings import altered_decoding
from sprint_lmeval.models.hf_lazy import LazyWeights
from sprint_lmeval.names import PAPER_MODEL
from sprint_lmeval.pruning.heads import SUPPORTED
from sprint_lmeval.pruning.hooks import head_layout, prune_heads
from sprint_lmeval.pruning.self_test import SelfTest, self_test
from sprint_lmeval.store.database import Store
from sprint_lmeval.store.keys import altered_facts, model_facts
from sprint_lmeval.strategies.build import StrategyArguments, build_strategy
from sprint_lmeval.strategies.selected import SelectorChoice

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts
AUTO = "auto"
WRITTEN = ("reference_kept", "draft_accepted", "single")  # causes of an account that stand for new tokens


class HFPrunedBestOfN(BestOfN, LazyWeights):
    """N greedy responses of N pruned sub-models, or one of the baselines.

    Args:
        pretrained: folder, hub id, `tiny`, or a loaded transformers model; by default the paper's model.
        head_masks: candidates: `base:L5H0:L5H0+L10H3`, a .txt / .json / .yaml file, or a list.
        strategy: `fixed` (head_masks=), `selector` (selector=), `base`, `sample`, `random`, `branch` or `spread`.
        pool: candidates that `random` draws from; by default the heads of `spread`.
        strategy_seed: seed of `random` and `sample`.
        first: `greedy`: the first response of `sample` is the greedy one.
        codes: `arithmetic`: the samples of a question are decoded from evenly spread codes (arXiv 2210.15458).
        selector: a trained selector that chooses each question's candidates: folder, hub id or name of a shipped one.
        selector_encoder: folder of the selector's sentence encoder, where that is not the default one.
        selector_check: whether a selector of another model, and its own training questions, are refused.
        priority, levels, fill: of `branch`: which branches come first (`prefix`, `ratio`, `token`, `mixed`), whether
            the greedy answer branches (1) or every one (`all`), and what fills gaps (`stop`, `samples`).
        n: how many responses each question gets; by default as the tasks say.
        store: file in which responses are kept; those that are in it are not generated again.
        kwargs: every argument of the harness's `hf` model; without batch_size generation takes what `auto` takes.

    Raises:
        InputError: on any argument that is unknown, contradictory or does not fit the model, where possible before
            weights are loaded.
    """

    def __init__(
        self,
        pretrained: str | torch.nn.Module = PAPER_MODEL,
        store: str | os.PathLike | None = None,
        **kwargs,
    ) -> None:
        show_one_sentence()
        chosen = StrategyArguments.taken_from(kwargs)
        self.n, build = chosen.n, build_strategy(chosen)
        check_hf_arguments(kwargs)
        kwargs["trust_remote_code"] = bool(kwargs.get("trust_remote_code"))  # None: transformers would ask
        self._size_given = kwargs.get("batch_size") is not None
        kwargs["batch_size"] = kwargs["batch_size"] if self._size_given else AUTO
        if isinstance(pretrained, str):
            pretrained = resolve_pretrained(pretrained)
            kwargs["device"] = default_device(kwargs.get("device"))
            if kwargs["device"] == "cpu" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
                os.environ.setdefault("ACCELERATE_USE_CPU", "true")  # else accelerate sees one process of one
            check_before_loading(pretrained, build, kwargs)
        elif not isinstance(pretrained, torch.nn.Module):
            raise InputError(f"pretrained={pretrained} given, it must be a name, a folder or a loaded model")
        stored = Store.open(store) if store is not None else None
        self._wait = stored is not None
        try:
            super().__init__(pretrained=pretrained, **kwargs)
        except OSError as error:  # transformers: a tokenizer, adapter or revision that is not there
            raise InputError(f"the model could not be loaded: {cause(error, 300)}") from error
        self._take_global_rank()
        self.layout = head_layout(self.model)
        self.strategy = build([layer.heads for layer in self.layout.layers])
        if isinstance(build, SelectorChoice) and (kwargs.get("gguf_file") or not isinstance(pretrained, str)):
            check_selector(build, pretrained, kwargs, self.layout)
        check_strategy(self.layout, self.strategy)
        self.self_test = self._tested() if self.weights_loaded else None
        self._account = Account()
        self._most_rows = kwargs.get("max_batch_size")
        self._fingerprint = partial(model_fingerprint, pretrained, **kwargs)
        self._alterations = partial(altered_facts, pretrained, kwargs)
        self._altered = self._alterations()
        if stored is not None:
            self._keep_in(stored, model_facts(pretrained, kwargs, self.model, self.tokenizer, self.device.type))
        altered = altered_decoding(self.model.generation_config.to_diff_dict())
        self._log_strategy("changes greedy decoding, as in the hf model", altered)

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict, additional_config: dict | None = None) -> HFPrunedBestOfN:
        return super().create_from_arg_obj(arg_dict, _typed(additional_config))

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict | None = None) -> HFPrunedBestOfN:
        return super().create_from_arg_string(arg_string, _typed(additional_config))

    def load_weights(self) -> None:
        """Load the weights where they were left for later (store=), and test pruning on them."""
        if self.weights_loaded:
            return
        super().load_weights()
        if (self._fingerprint(), self._alterations()) != (self.stored.facts["fingerprint"], self._altered):
            raise InputError(
                "the model's files changed between the start of this run and the loading of its weights: repeat the "
                "command; what is in the store is of the earlier files"
            )
        self.layout = head_layout(self.model)
        self.self_test = self._tested()
        log.info("self-test %s", self.self_test)

    def _tested(self) -> SelfTest:
        """Show on the model that pruning does what it says; InputError where it does not."""
        if slow := slow_dtype(self.model):
            log.warning(slow)
        try:
            return self_test(self.model, self.layout)
        except RuntimeError as error:
            raise InputError(f"{error}; {SUPPORTED}") from error

    def _take_global_rank(self) -> None:
        """Rank and world size over all machines and devices, CPU included; the parent knows local GPUs only."""
        accelerator = getattr(self, "accelerator", None)
        if accelerator is not None and accelerator.num_processes > 1:
            self._rank, self._world_size = accelerator.process_index, accelerator.num_processes
            self._device = accelerator.device
            if self.device.type == "cpu":
                atexit.register(_leave_process_group)

    # ---- decoding ----

    def _generate(
        self, rows: list[Row], settings: Settings, successors: Successors | None = None
    ) -> Iterator[tuple[Row, Response]]:
        settings = replace(settings, batch_size=self._rows_per_batch(settings), roomy=self.batch_size != AUTO)
        options = {"account": self._account, "successors": successors}
        with self._precision():
            yield from generate(self.model, self.tokenizer, rows, settings, self.layout, **options)
        log.debug("decoding so far, counted:\n%s", self._account.table())

    def _ends(self, settings: Settings) -> list[int]:
        return end_token_ids(self.model, self.tokenizer, settings.until)

    def _precision(self) -> torch.autocast:
        dtype = self.mixed_precision_dtype
        return torch.autocast(device_type=self.device.type, dtype=dtype, enabled=dtype is not None)

    def _in_flight(self) -> tuple[float, float]:
        tokens = self._account.tokens
        return tokens["prompt"], sum(tokens[cause] for cause in WRITTEN)

    def _rows_per_batch(self, settings: Settings) -> int:
        """Return the batch size; for `auto` what memory takes: fast decoding sees to that by itself, pass by pass."""
        if self.batch_size != AUTO:
            return int(self.batch_size)
        self.load_weights()
        if not self.batch_sizes.get("generate"):
            by_itself = why_not_fast(self.model, self.layout, settings, self.max_length) is None
            if by_itself or self.device.type == "cpu":  # where only the end of the process shows too little memory
                rows = self._most_rows or (MOST_ROWS if by_itself else settings.batch_size)
            else:
                rows = self._detect_batch_size()
            self.batch_sizes["generate"] = int(rows)
            log.info("batch_size=auto: %s%d rows", "up to " if by_itself else "", rows)
        return self.batch_sizes["generate"]

    # ---- scoring of given continuations: one candidate only ----

    def loglikelihood(self, requests: list, *args, **kwargs) -> list:
        with self._scoring():
            return super().loglikelihood(requests, *args, **kwargs)

    def loglikelihood_rolling(self, requests: list, *args, **kwargs) -> list:
        with self._scoring():
            return super().loglikelihood_rolling(requests, *args, **kwargs)

    @contextmanager
    def _scoring(self) -> Iterator[None]:
        """Where no batch size is given, texts are scored one by one, as in the `hf` model."""
        self._only_candidate()
        self.load_weights()
        size = self.batch_size_per_gpu
        self.batch_size_per_gpu = size if self._size_given else 1
        try:
            yield
        finally:
            self.batch_size_per_gpu = size

    def _model_call(self, inps: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        possible = self.strategy.possible()
        if len(possible) != 1:
            return super()._model_call(inps, *args, **kwargs)
        with prune_heads(self.model, possible * len(inps), self.layout):
            return super()._model_call(inps, *args, **kwargs)

    # ---- what the results record ----

    def get_model_info(self) -> dict:
        """Return the parent's facts and, under `sprint`, what is needed to rerun and to trust the numbers."""
        sprint = self._described(self.model)
        info = super().get_model_info() if isinstance(self.pretrained, str) else {}
        return {**info, "sprint": sprint}


def _typed(config: dict | None) -> dict:
    """Return what the harness adds to the model arguments, without a batch size that nobody gave.

    Its command line hands on the number 1 by default, and what is typed behind --batch_size as text. A 1 without
    quotes in a file of --config is taken for that default.
    """
    config = dict(config or {})
    if config.get("batch_size") == 1 and is_command_line():
        del config["batch_size"]
    return config


def _leave_process_group() -> None:
    """End gloo's threads before Python ends.

    Otherwise a process that is done is aborted now and then (pytorch#190489), and its launcher ends the others too,
    before their results are written.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
