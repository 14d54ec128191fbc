"""The harness model `hf-pruned-bon`: requests -> strategy -> candidates -> pruned generation -> texts.

A subclass of the harness's `hf` model (`lm_eval/models/huggingface.py`) that takes all of its arguments. What differs:
the N repeats of a document get the first N candidates of a strategy, and rows of different candidates share a batch.
"""

from __future__ import annotations

import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from jinja2 import TemplateError
from lm_eval.models.utils import handle_stop_sequences
from tqdm import tqdm

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError, show_one_sentence
from sprint_lmeval.fast_way import obstacle
from sprint_lmeval.generation import MOST_ROWS, Response, Row, Settings, generate
from sprint_lmeval.hf_arguments import check_arguments, default_device
from sprint_lmeval.hf_checks import check_before_loading, check_selector, check_strategy, passed_self_test
from sprint_lmeval.hf_record import RunRecord
from sprint_lmeval.hf_requests import positions_of, question_of
from sprint_lmeval.hf_settings import altered_decoding, read_settings, recorded
from sprint_lmeval.kept_judgements import KeptJudgements
from sprint_lmeval.lazy_weights import LazyWeights
from sprint_lmeval.pretrained import PAPER_MODEL, resolve_pretrained
from sprint_lmeval.pruning import head_layout, prune_heads
from sprint_lmeval.response_text import ResponseText
from sprint_lmeval.selector_strategy import Selected, chosen_selector
from sprint_lmeval.store import Store
from sprint_lmeval.store_keys import altered_facts, fingerprint_of, model_facts
from sprint_lmeval.stored_rows import StoredRows
from sprint_lmeval.strategies import Sampled, Unpruned, build_strategy

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts


class HFPrunedBestOfN(LazyWeights):
    """N greedy responses of N pruned sub-models, or one of the baselines.

    Args:
        pretrained: folder, hub id, `tiny`, or a loaded transformers model; by default the paper's model.
        head_masks: candidates: `base:L5H0:L5H0+L10H3`, a .txt / .json / .yaml file, or a list.
        strategy: `fixed` (with head_masks), `selector` (with selector), `base`, `sample`, `random` or `spread`.
        pool: candidates that `random` draws from; by default the heads of `spread`.
        strategy_seed: seed of `random` and `sample`.
        selector: a trained selector that chooses each question's candidates: folder, hub id or name of a shipped one.
        selector_encoder: folder of the selector's sentence encoder, where that is not the default one.
        selector_check: whether a selector of another model, and its own training questions, are refused.
        store: file in which responses are kept; those that are in it are not generated again.
        kwargs: every argument of the harness's `hf` model.

    Raises:
        InputError: on any argument that is unknown, contradictory or does not fit the model, where possible before
            weights are loaded.
    """

    stored: StoredRows | None = None
    _judgements: KeptJudgements | None = None

    def __init__(
        self,
        pretrained: str | torch.nn.Module = PAPER_MODEL,
        head_masks: str | list | None = None,
        strategy: str | None = None,
        pool: str | list | None = None,
        strategy_seed: int = 0,
        selector: str | None = None,
        selector_encoder: str | None = None,
        selector_check: bool = True,
        store: str | os.PathLike | None = None,
        **kwargs,
    ) -> None:
        show_one_sentence()
        check_arguments(kwargs)
        others = {"head_masks": head_masks, "pool": pool}
        chosen = chosen_selector(strategy, selector, selector_encoder, selector_check, others)
        build = chosen or build_strategy(strategy, head_masks, pool, strategy_seed)
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
            raise InputError(f"the model could not be loaded: {' '.join(str(error).split())[:300]}") from error
        self._take_global_rank()
        self.layout = head_layout(self.model)
        self.strategy = build([layer.heads for layer in self.layout.layers])
        if chosen and (kwargs.get("gguf_file") or not isinstance(pretrained, str)):
            check_selector(chosen, pretrained, kwargs, self.layout)
        check_strategy(self.layout, self.strategy)
        self.self_test = passed_self_test(self.model, self.layout) if self.weights_loaded else None
        self._record = RunRecord()
        self._most_rows = kwargs.get("max_batch_size")
        self._fingerprint = partial(fingerprint_of, pretrained, kwargs if isinstance(pretrained, str) else {})
        self._altered = altered_facts(pretrained, kwargs)
        if stored is not None:
            facts = model_facts(pretrained, kwargs, self.model, self.tokenizer, self.device.type)
            self.stored, self._judgements = StoredRows(stored, facts), KeptJudgements(stored)
        self._log_strategy()

    def load_weights(self) -> None:
        """Load the weights where they were left for later (store=), and test pruning on them."""
        if self.weights_loaded:
            return
        super().load_weights()
        self.layout = head_layout(self.model)
        self.self_test = passed_self_test(self.model, self.layout)
        log.info("self-test %s", self.self_test)

    def _take_global_rank(self) -> None:
        """Rank and world size over all machines and devices, CPU included; the parent knows local GPUs only."""
        accelerator = getattr(self, "accelerator", None)
        if accelerator is not None and accelerator.num_processes > 1:
            self._rank, self._world_size = accelerator.process_index, accelerator.num_processes
            self._device = accelerator.device

    def _log_strategy(self) -> None:
        described = self.strategy.described()
        if self.strategy.name == "spread":
            log.warning("no head_masks given: strategy `spread`, an unlearned order of heads; this is not SPRINT")
        altered = altered_decoding(self.model.generation_config.to_diff_dict())
        if altered:
            log.warning("the checkpoint's generation_config changes greedy decoding, as in the hf model: %s", altered)
        log.info("strategy %s on %s, self-test %s", described, self.layout.architecture, self.self_test)

    # ---- the harness's calls ----

    def set_cache_hook(self, cache_hook) -> None:
        if getattr(cache_hook, "dbdict", None) is not None:
            raise InputError(
                "--use_cache given: its key knows neither candidate nor repeat, so N responses would become one text; "
                "leave it out"
            )
        super().set_cache_hook(cache_hook)

    def apply_chat_template(self, *args, **kwargs) -> str:
        self._record.chat_template = True
        return super().apply_chat_template(*args, **kwargs)

    def generate_until(self, requests: list, disable_tqdm: bool = False) -> list[str]:
        """Return one `ResponseText` per request; the k-th repeat of a document gets its k-th candidate."""
        self._warn_without_chat_template()
        positions = positions_of(requests)
        ranked = self._candidates(requests, positions)
        groups = defaultdict(list)  # generation settings -> places in `requests`
        for place, request in enumerate(requests):
            if positions[place] == 0:
                self._record.note_prompt(request.args[0], question_of(request))
            groups[json.dumps(request.args[1], sort_keys=True)].append(place)
        responses: list = [None] * len(requests)
        hidden = disable_tqdm or self.rank != 0
        shown = {"disable": hidden, "desc": "pruned responses", "smoothing": 0, "unit": " answers"}
        with tqdm(total=len(requests), **shown) as progress:
            for places in groups.values():
                settings = self._settings(requests[places[0]].args[1], requests[places[0]].task_name)
                rows = {p: self._row(requests[p].args[0], ranked[p][0], positions[p]) for p in places}
                distinct = len(set(rows.values()))
                log.info("rank %d of %d: %d rows for %d requests", self.rank, self.world_size, distinct, len(rows))
                self._fill(responses, rows, ranked, settings, progress)
        assert None not in responses, "every request has its response"
        return responses

    def _fill(self, responses: list, rows: dict[int, Row], ranked: list, settings: Settings, progress: tqdm) -> None:
        """Decode distinct rows once each and put every response into all places that asked for it."""
        places = defaultdict(list)
        for place, row in rows.items():
            places[row].append(place)
        for row, response in self._answers(list(places), settings, progress):
            if response.cut_tokens:
                self._record.note_cut(row.prompt, settings, self.max_length)
            for place in places[row]:
                responses[place] = self._text(response, *ranked[place])
                progress.update(1)

    def _answers(self, rows: list[Row], settings: Settings, progress: tqdm) -> Iterator[tuple[Row, Response]]:
        """Yield stored responses first, then those that have to be generated; new ones are kept."""
        found = self.stored.found(rows, settings) if self.stored else {}
        yield from found.items()
        missing = [row for row in rows if row not in found]
        if found:
            log.info("rank %d: %d rows from the store, %d to generate", self.rank, len(found), len(missing))
            progress.set_postfix(reused=self.stored.reused, refresh=False)
            if not progress.disable:  # the rate is that of new responses; a hidden bar has no clock
                progress.initial = progress.n
                progress.start_t = progress.last_print_t = progress._time()
        if missing:
            self.load_weights()
            fresh = self._generate(missing, settings)
            yield from self.stored.keeping(fresh, missing, settings) if self.stored else fresh

    def _generate(self, rows: list[Row], settings: Settings) -> Iterator[tuple[Row, Response]]:
        settings = replace(settings, batch_size=self._rows_per_batch(settings))
        enabled = self.mixed_precision_dtype is not None
        with torch.autocast(device_type=self.device.type, dtype=self.mixed_precision_dtype, enabled=enabled):
            yield from generate(self.model, self.tokenizer, rows, settings, self.layout)

    def _text(self, response: Response, candidate: Candidate, score: float | None) -> ResponseText:
        return ResponseText(
            response.text,
            candidate=str(candidate),
            truncated=response.truncated,
            new_tokens=response.new_tokens,
            exchangeable=self.strategy.exchangeable,
            score=score,
            judgements=self._judgements,
        )

    # ---- which candidate answers which request ----

    def _candidates(self, requests: list, positions: list[int]) -> list[tuple[Candidate, float | None]]:
        """Return candidate and score of every request; each document is ranked once."""
        first = {id(r): r for r in requests}
        by_n = defaultdict(list)
        for key, request in first.items():
            by_n[max(request.repeats or 1, 1)].append(key)
        ranked, scored = {}, {}
        for n, keys in by_n.items():
            ranked.update(zip(keys, self.strategy.candidates([question_of(first[k]) for k in keys], n), strict=True))
            scored.update(zip(keys, self.strategy.scores or [[None] * n] * len(keys), strict=True))
            self._record.n.add(n)
        return [(ranked[id(r)][i], scored[id(r)][i]) for r, i in zip(requests, positions, strict=True)]

    def _row(self, prompt: str, candidate: Candidate, position: int) -> Row:
        if isinstance(self.strategy, Sampled):
            return Row(prompt, candidate, position, self.strategy.row_seed(prompt, position))
        return Row(prompt, candidate)

    # ---- generation settings ----

    def _settings(self, gen_kwargs: dict, task_name: str | None = None) -> Settings:
        task = read_settings(gen_kwargs, self.strategy, self.max_gen_toks)
        until = handle_stop_sequences(task.until, eos=self.tok_decode(self.eot_token_id, False))
        self._record.note_settings(recorded(task))
        if isinstance(self.strategy, Selected):
            self.strategy.warn_of_differences(task_name, self._record, recorded(task))
        return Settings(
            max_new_tokens=task.max_new_tokens,
            until=tuple(until),
            max_prompt_tokens=self._room_for_prompt(task.max_new_tokens),
            temperature=task.temperature,
            top_k=task.top_k,
            top_p=task.top_p,
            add_special_tokens=self.add_bos_token,
            think_end_token=self.think_end_token,
            generate_arguments=task.generate_arguments,
        )

    def _room_for_prompt(self, max_new_tokens: int) -> int:
        room = self.max_length - max_new_tokens
        if room <= 0:
            raise InputError(
                f"max_gen_toks={max_new_tokens} given, the model's whole length is {self.max_length} tokens: "
                "lower it with --gen_kwargs max_gen_toks=..."
            )
        return room

    def _rows_per_batch(self, settings: Settings) -> int:
        """Return the batch size; for `auto` what memory takes: fast decoding sees to that by itself, pass by pass."""
        if self.batch_size != "auto":
            return int(self.batch_size)
        self.load_weights()
        if not self.batch_sizes.get("generate"):
            by_itself = obstacle(self.model, self.layout, settings, self.max_length) is None
            rows = self._most_rows or MOST_ROWS if by_itself else self._detect_batch_size()
            self.batch_sizes["generate"] = int(rows)
            log.info("batch_size=auto: %s%d rows", "up to " if by_itself else "", rows)
        return self.batch_sizes["generate"]

    def _warn_without_chat_template(self) -> None:
        if self._record.chat_template or not getattr(self.tokenizer, "chat_template", None):
            return
        try:
            said = super().apply_chat_template([{"role": "user", "content": "x"}])
        except TemplateError:  # a template that wants more than one user turn
            said = ""
        if said.strip() != "x":
            log.warning("the model has a chat template and this run does not use it: consider --apply_chat_template")

    # ---- scoring of given continuations: one candidate only ----

    def loglikelihood(self, requests: list, *args, **kwargs) -> list:
        self._only_candidate()
        self.load_weights()
        return super().loglikelihood(requests, *args, **kwargs)

    def loglikelihood_rolling(self, requests: list, *args, **kwargs) -> list:
        self._only_candidate()
        self.load_weights()
        return super().loglikelihood_rolling(requests, *args, **kwargs)

    def _model_call(self, inps: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        possible = self.strategy.possible() if hasattr(self, "strategy") else []
        if len(possible) != 1:
            return super()._model_call(inps, *args, **kwargs)
        with prune_heads(self.model, possible * len(inps), self.layout):
            return super()._model_call(inps, *args, **kwargs)

    def _only_candidate(self) -> Candidate:
        if type(self.strategy) is Unpruned:
            return BASE
        possible = self.strategy.possible()
        if len(possible) != 1:
            raise InputError(
                "this task scores given continuations (loglikelihood), which needs exactly one candidate, and strategy "
                f"{self.strategy.name} has {len(possible) or 'several'}: give one, for example head_masks=L5H0 or base"
            )
        return possible[0]

    # ---- what the results record ----

    def get_model_info(self) -> dict:
        """Return the parent's facts and, under `sprint`, what is needed to rerun and to trust the numbers."""
        sprint = self._record.described(self.strategy, self.layout, self.self_test, self.model)
        sprint["fingerprint"] = self._known_fingerprint()
        sprint["altered"] = self._altered
        if self.stored:
            sprint["store"] = self.stored.described()
        info = super().get_model_info() if isinstance(self.pretrained, str) else {}
        return {**info, "sprint": sprint}

    def _known_fingerprint(self) -> str | None:
        try:
            return self._fingerprint()
        except InputError as error:
            log.warning("the results do not hold the model's fingerprint: %s", error)
            return None
