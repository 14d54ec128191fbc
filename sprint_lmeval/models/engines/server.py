"""The harness model `server-pruned-bon`: pruned heads as adapters of a server that is running already.

One `vllm serve --enable-lora` (on as many GPUs and machines as it has) serves many clients: strategies and store of
`hf-pruned-bon` work here, decoding is done there. The client needs the model's configuration and tokenizer, no
accelerator and no vLLM. Prompts go as token ids and token ids come back, so that texts are cut and ended as everywhere
else.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from sprint_lmeval.adapters.cache import AdapterCache
from sprint_lmeval.adapters.engine_check import adapter_test
from sprint_lmeval.adapters.maker import AdapterMaker, adapter_name
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.checkpoints.fingerprint import model_fingerprint
from sprint_lmeval.checkpoints.pretrained import fetch_config, resolve_pretrained
from sprint_lmeval.errors import InputError, show_one_sentence
from sprint_lmeval.generation.rows import Response, Row, Step
from sprint_lmeval.models.checks import refuse_unknown
from sprint_lmeval.models.engines.base import MOST_LOGPROBS, NOT_SENT, EngineModel
from sprint_lmeval.models.engines.client import Server, normalised_url
from sprint_lmeval.models.engines.engine_requests import Checkpoint, EngineRows, Request, step_among
from sprint_lmeval.models.engines.tokenizer_model import TokenizerModel
from sprint_lmeval.names import MODEL_ARGUMENTS, PAPER_MODEL
from sprint_lmeval.store.database import Store
from sprint_lmeval.store.keys import model_facts
from sprint_lmeval.strategies.build import StrategyArguments

log = logging.getLogger(f"lm_eval.{__name__}")
ENGINE = "vllm-server"
UNKNOWN = "as served"
WITH_IDS = {"return_token_ids": True, "return_tokens_as_token_ids": True}
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class ServerPrunedBestOfN(EngineModel, TokenizerModel):
    """N greedy responses of N pruned sub-models of a running server, or one of the baselines.

    Args:
        pretrained: folder, hub id or `tiny`: the model that the server has; its configuration and tokenizer are read.
        base_url: such as http://localhost:8000/v1; the key, where it wants one, is in OPENAI_API_KEY.
        head_masks, strategy, pool, strategy_seed, first, selector, selector_encoder, selector_check, priority, levels,
            fill, store: as in `hf-pruned-bon`; codes is refused. With store= the model's weights must be
            readable here: their fingerprint is part of the key.
        adapters: folder in which adapters are made and which the server reads under the same path; they are loaded
            there when they are first asked for. Left out where the server was started with others of the same names.
        num_concurrent: requests in flight.
        timeout: seconds for one of them.
        wait: seconds for which a server that is away is waited for.
        dtype: that the server runs in, for the record; the server does not report it.
        tokenizer, revision, trust_remote_code, add_bos_token, max_length, max_gen_toks, chat_template_args,
            think_end_token, verify_certificate: as in the harness's models.

    Raises:
        InputError: on contradictions, a server that is not there or has another model, a missing adapter.
    """

    def __init__(
        self,
        pretrained: str = PAPER_MODEL,
        base_url: str | None = None,
        store: str | os.PathLike | None = None,
        adapters: str | None = None,
        num_concurrent: int = 64,
        timeout: float = 900,
        wait: float = 900,
        dtype: str | None = None,
        tokenizer: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        add_bos_token: bool | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        chat_template_args: dict | None = None,
        think_end_token: str | None = None,
        verify_certificate: bool = True,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str | None = None,
        **strategy: object,
    ) -> None:
        from transformers import AutoTokenizer

        show_one_sentence()
        super().__init__()
        chosen = StrategyArguments.taken_from(strategy)
        own = [name for name in inspect.signature(type(self).__init__).parameters if name not in ("self", "strategy")]
        refuse_unknown(strategy, own, [*MODEL_ARGUMENTS, *own], "nothing else")
        if batch_size not in (1, "1", "auto") or max_batch_size is not None:
            raise InputError("batch_size given, the server chooses its batches: give num_concurrent= instead")
        _check_number("num_concurrent", num_concurrent)
        self.num_concurrent = num_concurrent
        self.add_bos_token, self.think_end_token, self.max_gen_toks = add_bos_token, think_end_token, max_gen_toks
        self.chat_template_args = chat_template_args or {}
        url = normalised_url(base_url)
        self.pretrained = resolve_pretrained(pretrained)
        of_model = {"trust_remote_code": bool(trust_remote_code), **({"revision": revision} if revision else {})}
        self._prepare(self.pretrained, chosen, of_model)
        self.tokenizer = AutoTokenizer.from_pretrained(tokenizer or self.pretrained, **of_model)
        self._checkpoint = Checkpoint.of(self.pretrained, fetch_config(self.pretrained, **of_model), **of_model)
        self._dtype, self.revision = dtype or UNKNOWN, revision or "main"
        self._adapters = self._adapter_cache(adapters, of_model)
        load = self._folder_of if self._adapters else None
        self._server = Server(url, _seconds("timeout", timeout), _seconds("wait", wait), verify_certificate, load)
        self._base, self.max_length = self._served(max_length)
        self._version = self._server.version()
        kept = Store.open(store) if store is not None else None
        if self._pruned():
            self.self_test = adapter_test(self._scores, self._pruned(), len(self.tokenizer))
        if self._branching:
            self._check_logprobs()
        if kept is not None:
            self._keep_in(kept, self._facts(of_model))
        self._log_strategy(NOT_SENT, self._checkpoint.not_applied())

    def _adapter_cache(self, folder: str | None, of_model: dict) -> AdapterCache | None:
        if folder is None:
            return None
        maker = AdapterMaker(self.pretrained, **of_model)
        # Where nothing is pruned it is made for `base` alone (`_name`), and any head will do.
        return AdapterCache(maker, self._pruned() or [Candidate(((0, 0),))], folder)

    def _served(self, max_length: int | None) -> tuple[str, int]:
        """Return the server's name of the unpruned model and how many tokens it has room for."""
        cards = [card for card in self._server.models() if isinstance(card.get("id"), str)]
        self._listed = {card["id"] for card in cards if card.get("parent")}
        if self._adapters:
            self._names = self._adapter_names(cards)
            folders = {name: str(self._adapters.folder / str(c)) for c, name in self._names.items()}
            self._server.check_adapters(folders, [card for card in cards if card["id"] in self._listed])
        whole = [card for card in cards if not card.get("parent")]
        if not whole:
            raise InputError(f"the server at {self._server.url} lists no model: start it with one")
        card = whole[0]
        room = card.get("max_model_len")
        if not isinstance(room, int) and max_length is None:
            raise InputError(f"the server at {self._server.url} does not tell its max_model_len: give max_length=")
        self._check_same_model(str(card.get("root") or card["id"]))
        return card["id"], min(int(max_length or room), room if isinstance(room, int) else int(max_length or 0))

    def _adapter_names(self, cards: list[dict]) -> dict[Candidate, str]:
        """Return the server's names of our adapters: what it was started with where that is of our folder."""
        folder, fingerprint = os.path.realpath(self._adapters.folder), self._fingerprint()
        roots = {card["id"]: os.path.realpath(str(card.get("root") or f"{folder}/{card['id']}")) for card in cards}
        names = {candidate: adapter_name(candidate) for candidate in (BASE, *self._pruned())}
        started_with = {name for name in names.values() if roots.get(name) == os.path.realpath(f"{folder}/{name}")}
        return {c: name if name in started_with else adapter_name(c, fingerprint) for c, name in names.items()}

    def _folder_of(self, name: str) -> str:
        candidate = next(candidate for candidate, known in self._names.items() if known == name)
        return str(self._adapters.path(candidate))

    def _check_same_model(self, root: str) -> None:
        """Another model would answer under this one's name."""
        if root in (self.pretrained, os.path.realpath(self.pretrained)):
            return
        if os.path.isdir(root):
            theirs, ours = _fingerprint(root), self._known_fingerprint()
            if ours == theirs is not None:
                return
            if None not in (ours, theirs) and urlsplit(self._server.url).hostname in THIS_MACHINE:
                raise InputError(
                    f"the server at {self._server.url} has {root}, which is not pretrained={self.pretrained}: give the "
                    "model that it has"
                )
        log.warning("the server's model is %s, and pretrained=%s is given: are they the same?", root, self.pretrained)

    # ---- decoding ----

    def _answers(self, kind: EngineRows, asked: Iterator[Request]) -> Iterator[tuple[Row, Response]]:
        payloads = ((request, self._payload(request)) for request in list(asked))
        for request, choice in self._server.completions(payloads, self.num_concurrent):
            tokens = self._tokens(request, choice)
            steps = self._steps(choice, tokens) if "logprobs" in request.parameters else ()
            yield request.row, kind.response(request, tokens, choice.get("stop_reason"), steps)

    def _steps(self, choice: dict, tokens: list[int]) -> list[Step]:
        """Return what else there was to choose at each token. InputError where the server does not say it."""
        try:
            found = choice["logprobs"]
            own, best = map(float, found["token_logprobs"]), found["top_logprobs"]
            best = [{int(name.removeprefix("token_id:")): float(of[name]) for name in of} for of in best]
            return [step_among(token, value, of) for token, value, of in zip(tokens, own, best, strict=True)]
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise InputError(
                f"the server at {self._server.url} gives no log-probabilities of other tokens, which strategy=branch "
                "needs (logprobs, return_tokens_as_token_ids): it must be vLLM, or use another strategy"
            ) from None

    def _check_logprobs(self) -> None:
        """Raise InputError where the server gives no log-probabilities."""
        probe = {"model": self._name(self.strategy.candidate), "prompt": [1], "max_tokens": 1, "temperature": 0.0}
        choice = self._server.complete(probe | WITH_IDS | {"logprobs": MOST_LOGPROBS})
        self._steps(choice, list(choice.get("token_ids") or [0]))

    def _tokens(self, request: Request, choice: dict) -> list[int]:
        """Return the new token ids of an answer. InputError where they are none of this model."""
        tokens, known = choice.get("token_ids"), max(len(self.tokenizer), self._checkpoint.vocabulary)
        if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
            raise InputError(
                f"the server at {self._server.url} returns no token ids (return_token_ids): it must be vLLM, 0.32 "
                "or newer"
            )
        if len(tokens) > request.parameters["max_tokens"] or not all(0 <= token < known for token in tokens):
            raise InputError(
                f"the server at {self._server.url} returns token ids that pretrained={self.pretrained} has not, or "
                "more than were asked for: give the model that it has"
            )
        return tokens

    def _payload(self, request: Request) -> dict:
        parameters = {key: value for key, value in request.parameters.items() if value is not None}
        return {
            "model": self._name(request.row.candidate),
            "prompt": request.tokens,
            **WITH_IDS,
            **parameters,
        }

    def _name(self, candidate: Candidate) -> str:
        """On a CPU vLLM 0.32 gives rows without an adapter that of its last slot: `base` has one of zeros if it can."""
        if self._adapters:
            return self._names[candidate]
        return self._base if candidate == BASE and str(BASE) not in self._listed else str(candidate)

    def _scores(self, tokens: list[int], candidate: Candidate) -> list[float]:
        """Return the log-probability of each token but the first under a candidate."""
        payload = {"model": self._name(candidate), "prompt": tokens, "max_tokens": 1, "temperature": 0.0}
        choice = self._server.complete(payload | {"prompt_logprobs": 1})
        try:
            of_tokens = choice["prompt_logprobs"][1:]
            return [float(of[str(token)]["logprob"]) for token, of in zip(tokens[1:], of_tokens, strict=True)]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputError(f"the server at {self._server.url} gives no prompt_logprobs: it must be vLLM") from None

    # ---- what the results record ----

    def _facts(self, of_model: dict) -> dict:
        """Return what decides a text, for the store; of a server less is known than of an engine in this process."""
        facts = model_facts(self.pretrained, of_model, self._checkpoint, self.tokenizer, UNKNOWN)
        versions = {**facts["versions"], ENGINE: self._version}
        return {**facts, "engine": ENGINE, "versions": versions, "dtype": self._dtype}

    def get_model_info(self) -> dict:
        """Return, under `sprint`, what is needed to rerun and to trust the numbers."""
        engine = {"name": ENGINE, "model": self._base, "num_concurrent": self.num_concurrent}
        pruned = len(self._pruned())
        engine["adapters"] = min(pruned, self._adapters.made) if self._adapters else pruned
        sprint = self._described_with(engine, {ENGINE: self._version})
        return {"model_dtype": self._dtype, "model_revision": self.revision, "sprint": sprint}


def _fingerprint(folder: str) -> str | None:
    """Return that of a folder, None where it is no model's: here the server's path may be something else."""
    try:
        return model_fingerprint(folder)
    except InputError:
        return None


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}={value} given, it must be a whole number above 0")


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise InputError(f"{name}={value} given, it must be a number of seconds above 0")
    return float(value)
