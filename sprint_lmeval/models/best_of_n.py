"""What our harness models share, whatever decodes: requests -> strategy -> candidates -> rows -> store -> texts.

`BestOfN` is the first base class of each of our models (`class Ours(BestOfN, HarnessModel)`). The harness's model
provides the tokenizer, `max_length`, `max_gen_toks` and the like. Our model defines `_generate`, which decodes rows,
and `load_weights`, which is called before the first row is decoded.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from jinja2 import TemplateError
from lm_eval.models.utils import handle_stop_sequences
from lm_eval.utils import simple_parse_args_string
from transformers import PreTrainedModel

from sprint_lmeval.candidates import BASE, Candidate, some_of
from sprint_lmeval.errors import InputError, when_interrupted
from sprint_lmeval.generation.rows import Response, Row, Settings, Successors
from sprint_lmeval.models.as_typed import check_as_typed
from sprint_lmeval.models.branching import Branching
from sprint_lmeval.models.failures import narrowed
from sprint_lmeval.models.generation_settings import read_settings, recorded
from sprint_lmeval.models.progress import Progress
from sprint_lmeval.models.requests import RequestGroup, ResponseText, positions_of, question_of
from sprint_lmeval.models.run_record import RunRecord
from sprint_lmeval.pruning.heads import HeadLayout
from sprint_lmeval.store.database import Store
from sprint_lmeval.store.judgements import KeptJudgements
from sprint_lmeval.store.responses import StoredRows
from sprint_lmeval.strategies.sampled import Sampled
from sprint_lmeval.strategies.selected import Selected
from sprint_lmeval.strategies.strategy import Attempt, Strategy, Unpruned

log = logging.getLogger(f"lm_eval.{__name__}")  # below the harness's, so that its --verbosity counts


class BestOfN(Branching):
    """N responses per document, the k-th by the strategy's k-th candidate.

    Attributes:
        strategy: which candidates answer a question.
        layout: the model's heads.
        stored: where responses are kept, or None.
        n: how many responses each question gets, None: as the tasks say.
        self_test: what was seen of pruning on the model itself, or None where that was not looked at.
    """

    strategy: Strategy
    layout: HeadLayout
    stored: StoredRows | None = None
    n: int | None = None
    self_test: object = None
    _judgements: KeptJudgements | None = None
    _responses: Sequence[ResponseText | None] = ()  # of the last requests, in their order
    _fingerprint: Callable[[], str]  # of the model's weights, asked for when it is needed
    _altered: dict  # what makes the model another one than its fingerprint says

    @cached_property
    def _record(self) -> RunRecord:
        return RunRecord()

    def _generate(
        self, rows: list[Row], settings: Settings, successors: Successors | None = None
    ) -> Iterator[tuple[Row, Response]]:
        """Decode distinct rows, and those that follow them; yield each with its response as it is finished."""
        raise NotImplementedError

    def _in_flight(self) -> tuple[float, float]:
        """Return how many tokens of prompts were read and how many were written so far; zeros where that is unknown."""
        return 0, 0

    # ---- the harness's calls ----

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict, additional_config: dict | None = None):
        check_as_typed(arg_dict, additional_config)
        return super().create_from_arg_obj(arg_dict, additional_config)

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict | None = None):
        check_as_typed(simple_parse_args_string(arg_string), additional_config)
        return super().create_from_arg_string(arg_string, additional_config)

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
        groups = self._groups(requests)  # every task is checked before the first row is generated
        self._responses = [None] * len(requests)
        with when_interrupted(self.kept_so_far):
            for group in groups:
                self._reuse(group)
            if None in self._responses:
                self.load_weights()
            reused = sum(response is not None for response in self._responses)
            hidden = disable_tqdm or self.rank != 0
            with Progress(len(requests), reused, hidden, self._in_flight) as progress:
                for group in groups:
                    self._fill(group, requests, progress)
                progress.n = len(requests)
        assert None not in self._responses, "every request has its response"
        return self._responses

    def kept_so_far(self) -> str:
        """Return how many answers there are, where they are kept, and how to go on; empty before the first request."""
        asked, there = len(self._responses), sum(response is not None for response in self._responses)
        if not asked:
            return ""
        if self.stored:
            return f"{there} of {asked} answers are kept in {self.stored.store.path.name}; the same command goes on"
        return f"none of {asked} answers is kept: with store=FILE among the model arguments a run goes on where it was"

    def _groups(self, requests: list) -> list[RequestGroup]:
        """Sort requests by their generation settings, and make their rows.

        Raises:
            InputError: settings, strategy, N or length of any request do not fit.
        """
        positions = positions_of(requests)
        attempts = self._attempts(requests, positions)
        sorted_out = defaultdict(list)  # generation settings -> indices of requests
        for index, request in enumerate(requests):
            if positions[index] == 0:
                self._record.note_prompt(request.args[0], question_of(request))
            sorted_out[json.dumps(request.args[1], sort_keys=True)].append(index)
        groups = []
        for indices in sorted_out.values():
            first = requests[indices[0]]
            group = RequestGroup(self._settings(first.args[1], first.task_name))
            for i in indices:
                row = self._row(requests[i].args[0], attempts[i].candidate, positions[i])
                branch = positions[i] if self._branching else 0
                asked = group.branches[row].setdefault(branch, []) if branch else group.asked[row]
                asked.append((i, attempts[i]))
            log.info("rank %d of %d: %d rows for %d requests", self.rank, self.world_size, group.rows, len(indices))
            groups.append(group)
        return groups

    def _reuse(self, group: RequestGroup) -> None:
        """Put the responses that the store has."""
        if self._branching:
            self._reuse_branches(group)
            return
        found = self.stored.found(list(group.asked), group.settings) if self.stored else {}
        for row, response in found.items():
            self._put(group, group.asked[row], row, response)
        if found:
            log.info(
                "rank %d: %d rows from the store, %d to generate", self.rank, len(found), len(group.asked) - len(found)
            )

    def _fill(self, group: RequestGroup, requests: list, progress: Progress) -> None:
        """Decode the rows that have no response yet, and the branches of greedy answers."""
        missing = [row for row, asked in group.asked.items() if self._responses[asked[0][0]] is None]
        if self._branching:
            self._branch(group, missing, requests, progress)
            return
        for row, response in self._fresh(group, missing, requests):
            self._put(group, group.asked[row], row, response)
            progress.add(len(group.asked[row]), response.new_tokens)

    def _fresh(
        self, group: RequestGroup, rows: list[Row], requests: list, successors: Successors | None = None
    ) -> Iterator[tuple[Row, Response]]:
        """Decode rows, and those that follow them; where there is a store, each is kept once it is finished."""

        def described(rows: list[Row]) -> str:
            row = max(rows, key=lambda row: len(row.prompt))
            asked = group.asked[row if row in group.asked else Row(row.prompt, row.candidate)]
            question = " ".join(question_of(requests[asked[0][0]]).split())[:80]
            others = f" and {len(rows) - 1} other rows" if rows[1:] else ""
            return f"the question {question!r} with candidate {row.candidate}{others}; {self.kept_so_far()}"

        if not rows:  # no batch size is looked for, and no weights are loaded for it
            return
        following = (successors,) if successors else ()
        fresh = narrowed(lambda rows: self._generate(rows, group.settings, *following), rows, described)
        yield from self.stored.keeping(fresh, rows, group.settings) if self.stored else fresh

    def _put(self, group: RequestGroup, asked: list[tuple[int, Attempt]], row: Row, response: Response) -> None:
        """Let a row's response answer every request that asked for it."""
        if response.cut_tokens:
            self._record.note_cut(row.prompt, group.settings, self.max_length)
        for index, attempt in asked:
            self._responses[index] = self._text(response, attempt)

    def _text(self, response: Response, attempt: Attempt) -> ResponseText:
        return ResponseText(
            response.text,
            candidate=str(attempt.candidate),
            truncated=response.truncated,
            new_tokens=response.new_tokens,
            exchangeable=self.strategy.exchangeable,
            distinct=self.strategy.distinct,
            score=attempt.score,
            judgements=self._judgements,
        )

    # ---- which candidate answers which request ----

    def _attempts(self, requests: list, positions: list[int]) -> list[Attempt]:
        """Return the attempt of every request; each document is ranked once."""
        first = {id(r): r for r in requests}
        by_n = defaultdict(list)
        for key, request in first.items():
            n = max(request.repeats or 1, 1)
            if self.n not in (None, n):
                raise InputError(
                    f"n={self.n} given, and task {request.task_name} asks for {n} responses per question: leave n= "
                    "out, or name the model to the harness, which then tells its arguments to the tasks"
                )
            by_n[n].append(key)
        ranked = {}
        for n, keys in by_n.items():
            ranked.update(zip(keys, self.strategy.attempts([question_of(first[k]) for k in keys], n), strict=True))
            self._record.n.add(n)
        return [ranked[id(r)][i] for r, i in zip(requests, positions, strict=True)]

    def _row(self, prompt: str, candidate: Candidate, position: int) -> Row:
        if isinstance(self.strategy, Sampled):
            return Row(prompt, candidate, position, *self.strategy.draw(prompt, position))
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
        """Return the settings of one task's rows. Raises InputError where they do not fit strategy or model."""
        task = read_settings(gen_kwargs, self.strategy, self.max_gen_toks)
        settings = replace(
            task,
            until=tuple(handle_stop_sequences(task.until, eos=self.tokenizer.decode([self.eot_token_id]))),
            max_prompt_tokens=self._room_for_prompt(task.max_new_tokens),
            add_special_tokens=self.add_bos_token,
            think_end_token=self.think_end_token,
        )
        self._record.note_settings(recorded(settings))
        if isinstance(self.strategy, Selected):
            known = self._record.chat_template, self._record.prompt_form
            self.strategy.warn_of_differences(task_name, *known, recorded(settings))
        return settings

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

    def _log_strategy(self, effect: str, of_checkpoint: dict) -> None:
        """Log what runs; `of_checkpoint` holds generation settings that have an `effect` worth a warning."""
        if of_checkpoint:
            log.warning("the checkpoint's generation_config %s: %s", effect, of_checkpoint)
        candidates = some_of(self.strategy.possible() or [BASE])
        what = self.strategy.name, candidates, self.layout.architecture, self.self_test
        log.info("strategy %s of %s on %s; self-test %s", *what)

    # ---- what the store and the results hold ----

    def _keep_in(self, store: Store, facts: dict) -> None:
        """Keep responses and verdicts in a store, under facts that decide a response's text."""
        self.stored, self._judgements = StoredRows(store, facts), KeptJudgements(store)

    def _described(self, model: PreTrainedModel) -> dict:
        """Return what the results hold under `sprint`; of `model` configuration and generation settings are read."""
        sprint = self._record.described(self.strategy, self.layout, self.self_test, model)
        sprint |= {"fingerprint": self._known_fingerprint(), "altered": self._altered}
        return sprint | ({"store": self.stored.described()} if self.stored else {})

    def _known_fingerprint(self) -> str | None:
        try:
            return self._fingerprint()
        except InputError as error:
            log.warning("the results do not hold the model's fingerprint: %s", error)
            return None
