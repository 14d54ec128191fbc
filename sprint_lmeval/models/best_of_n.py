"""What our harness models share, whatever decodes: requests -> strategy -> candidates -> rows -> store -> texts.

A class to stand in front of a harness model (`class Ours(BestOfN, HarnessModel)`): the harness model gives tokenizer,
`max_length`, `max_gen_toks` and the like, and the class itself `_generate`, which decodes rows, and `load_weights`,
which is called before the first of them.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator

from jinja2 import TemplateError
from lm_eval.models.utils import handle_stop_sequences
from tqdm import tqdm

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.decode import Response, Row, Settings
from sprint_lmeval.models.generation_settings import read_settings, recorded
from sprint_lmeval.models.requests import ResponseText, positions_of, question_of
from sprint_lmeval.models.run_record import RunRecord
from sprint_lmeval.pruning.heads import HeadLayout
from sprint_lmeval.store.judgements import KeptJudgements
from sprint_lmeval.store.responses import StoredRows
from sprint_lmeval.strategies.selected import Selected
from sprint_lmeval.strategies.strategy import Attempt, Sampled, Strategy, Unpruned

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts


class BestOfN:
    """N responses per document, the k-th by the strategy's k-th candidate.

    Attributes:
        strategy: which candidates answer a question.
        layout: the model's heads.
        stored: where responses are kept, or None.
    """

    strategy: Strategy
    layout: HeadLayout
    stored: StoredRows | None = None
    _judgements: KeptJudgements | None = None
    _record: RunRecord
    _fingerprint: Callable[[], str]  # of the model's weights, asked for when it is needed

    def _generate(self, rows: list[Row], settings: Settings) -> Iterator[tuple[Row, Response]]:
        """Decode distinct rows and yield each with its response as it is finished."""
        raise NotImplementedError

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
        attempts = self._attempts(requests, positions)
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
                rows = {p: self._row(requests[p].args[0], attempts[p].candidate, positions[p]) for p in places}
                distinct = len(set(rows.values()))
                log.info("rank %d of %d: %d rows for %d requests", self.rank, self.world_size, distinct, len(rows))
                self._fill(responses, rows, attempts, settings, progress)
        assert None not in responses, "every request has its response"
        return responses

    def _fill(
        self, responses: list, rows: dict[int, Row], attempts: list[Attempt], settings: Settings, progress: tqdm
    ) -> None:
        """Decode distinct rows once each and put every response into all places that asked for it."""
        places = defaultdict(list)
        for place, row in rows.items():
            places[row].append(place)
        for row, response in self._answers(list(places), settings, progress):
            if response.cut_tokens:
                self._record.note_cut(row.prompt, settings, self.max_length)
            for place in places[row]:
                responses[place] = self._text(response, attempts[place])
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

    def _text(self, response: Response, attempt: Attempt) -> ResponseText:
        return ResponseText(
            response.text,
            candidate=str(attempt.candidate),
            truncated=response.truncated,
            new_tokens=response.new_tokens,
            exchangeable=self.strategy.exchangeable,
            score=attempt.score,
            judgements=self._judgements,
        )

    # ---- which candidate answers which request ----

    def _attempts(self, requests: list, positions: list[int]) -> list[Attempt]:
        """Return the attempt of every request; each document is ranked once."""
        first = {id(r): r for r in requests}
        by_n = defaultdict(list)
        for key, request in first.items():
            by_n[max(request.repeats or 1, 1)].append(key)
        ranked = {}
        for n, keys in by_n.items():
            ranked.update(zip(keys, self.strategy.attempts([question_of(first[k]) for k in keys], n), strict=True))
            self._record.n.add(n)
        return [ranked[id(r)][i] for r, i in zip(requests, positions, strict=True)]

    def _row(self, prompt: str, candidate: Candidate, position: int) -> Row:
        if isinstance(self.strategy, Sampled):
            return Row(prompt, candidate, position, self.strategy.row_seed(prompt, position))
        return Row(prompt, candidate)

    def _only_candidate(self) -> Candidate:
        """Return the candidate that scores given continuations; InputError where the strategy has several."""
        if type(self.strategy) is Unpruned:
            return BASE
        possible = self.strategy.possible()
        if len(possible) != 1:
            raise InputError(
                "this task scores given continuations (loglikelihood), which needs exactly one candidate, and strategy "
                f"{self.strategy.name} has {len(possible) or 'several'}: give one, for example head_masks=L5H0 or base"
            )
        return possible[0]

    # ---- generation settings ----

    def _settings(self, gen_kwargs: dict, task_name: str | None = None) -> Settings:
        task = read_settings(gen_kwargs, self.strategy, self.max_gen_toks)
        until = handle_stop_sequences(task.until, eos=self.tokenizer.decode([self.eot_token_id]))
        self._record.note_settings(recorded(task))
        if isinstance(self.strategy, Selected):
            known = self._record.chat_template, self._record.prompt_form
            self.strategy.warn_of_differences(task_name, *known, recorded(task))
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

    def _warn_without_chat_template(self) -> None:
        if self._record.chat_template or not getattr(self.tokenizer, "chat_template", None):
            return
        try:
            said = super().apply_chat_template([{"role": "user", "content": "x"}])
        except TemplateError:  # a template that wants more than one user turn
            said = ""
        if said.strip() != "x":
            log.warning("the model has a chat template and this run does not use it: consider --apply_chat_template")

    def _warn_of_spread(self) -> None:
        if self.strategy.name == "spread":
            log.warning("no head_masks given: strategy `spread`, an unlearned order of heads; this is not SPRINT")

    # ---- what the results record ----

    def _known_fingerprint(self) -> str | None:
        try:
            return self._fingerprint()
        except InputError as error:
            log.warning("the results do not hold the model's fingerprint: %s", error)
            return None
