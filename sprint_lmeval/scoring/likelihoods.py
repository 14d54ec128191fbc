"""What a language model says of each token of given responses: teacher-forced, batched, kept beside the samples.

The responses to one prompt are read behind the prompt's keys and values, which are computed once; what a prompt has in
common with the one before (worked examples, say) is not read again.

In: prompts and responses, and the model arguments of the harness's `hf` model, which loads it. All candidates are
scored under this one unpruned model: which head was pruned when a text was written does not count. Out: four numbers a
token (`FACTS`), in likelihoods_<task>_<date>.safetensors too, from which a second call reads them without the weights.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np

from sprint_lmeval.checkpoints.pretrained import default_device, fetch_config, resolve_pretrained
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.files import whole_file
from sprint_lmeval.names import MODEL_ARGUMENTS
from sprint_lmeval.runs.parse_model_args import model_arguments
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.scores import samples_digest
from sprint_lmeval.scoring.stored import StoredResponses, stored_responses, texts_read

log = logging.getLogger(f"lm_eval.{__name__}")
MAX_LOGITS = 1 << 26  # numbers of one batch's logits [rows, time, vocabulary]
MAX_ROWS = 256
ROWS_WRITTEN = 32  # together
TOP = 20  # most probable tokens whose mean is DeepConf's confidence
FACTS = ("log_probability", "confidence", "entropy", "step")  # of a token; nats; its line's number
LOG_PROBABILITY, CONFIDENCE, ENTROPY, STEP = range(4)
FORMAT = "sprint-lmeval likelihoods 1"
Encoded = tuple[tuple[str, str], list[int], list[int]]  # (prompt, response), their tokens


class BaseModel:
    """The unpruned model, as the harness's `hf` model.

    Args:
        model_args: as for `lm_eval --model hf --model_args`; `pretrained` may be `tiny`.
        device: as for `lm_eval --device`; None: the harness's own choice.

    Raises:
        InputError: no model is named, or it cannot be had.
    """

    def __init__(self, model_args: str, device: str | None = None) -> None:
        self._arguments = model_arguments(model_args)
        self._given, self._device = model_args, device
        self.name = str(self._arguments.get("pretrained") or "")
        if not self.name:
            raise InputError(
                "--model_args names no model, and rpc, confidence and calculator need one: give pretrained=MODEL"
            )
        ours = [name for name in MODEL_ARGUMENTS if name in self._arguments]
        if ours:
            raise InputError(
                f"--model_args {ours[0]} given: all candidates are scored under the unpruned model, leave it out"
            )
        self._known: dict[tuple[str, str], np.ndarray] = {}  # runs of one model share most of their texts
        self._ends: dict[int, bool] = {}  # token -> whether it holds a line break
        self._read: tuple[list[int], object] = ([], None)  # the last prompt, and its cache

    @cached_property
    def model(self):
        """The harness's model, loaded when it is first needed."""
        from lm_eval.models.huggingface import HFLM

        arguments = {**self._arguments, "pretrained": resolve_pretrained(self.name)}
        arguments["trust_remote_code"] = bool(arguments.get("trust_remote_code"))  # None: transformers would ask
        fetch_config(arguments["pretrained"], trust_remote_code=arguments["trust_remote_code"])
        try:
            return HFLM(**arguments, device=default_device(self._device), batch_size=ROWS_WRITTEN)
        except Exception as error:  # damaged weights, strange arguments: each part has errors of its own
            said = cause(error, 300)
            raise InputError(f"--model_args {self._given} given, the model could not be loaded ({said})") from None

    def continued(self, contexts: Sequence[str], until: Sequence[str], max_new_tokens: int) -> list[str]:
        """Return what the model writes greedily behind each context."""
        from lm_eval.api.instance import Instance

        settings = {"until": list(until), "max_gen_toks": max_new_tokens, "do_sample": False, "temperature": 0.0}
        requests = [Instance("generate_until", {}, (context, dict(settings)), 0) for context in contexts]
        return self.model.generate_until(requests, disable_tqdm=True)

    def of_run(self, run: Run) -> list[list[np.ndarray]]:
        """Return `token_facts` of a run's responses, from the file beside its samples where that is there."""
        found = self.kept(run)
        if found is None:
            found = self.token_facts(stored_responses(run))
            _write(_path(run), self._key(run), found)
        return found

    def kept(self, run: Run) -> list[list[np.ndarray]] | None:
        """Return what the file beside the samples holds; None where it is not there, or of other samples or arguments.

        Raises:
            InputError: another file stands in its place.
        """
        return _read(_path(run), self._key(run), (len(run.questions), run.n))

    def _key(self, run: Run) -> dict[str, str]:
        return {"format": FORMAT, "samples": samples_digest(run.samples_path), "model_args": self._given}

    def token_facts(self, questions: Sequence[StoredResponses]) -> list[list[np.ndarray]]:
        """Return for each question and response float32 [`FACTS`, tokens]; no tokens for an empty response."""
        known = self._known
        asked = dict.fromkeys((q.prompt, text) for q in questions for text in q.responses if text)
        encoded = [self._encoded(pair) for pair in asked if pair not in known]
        with texts_read(self.name, len(encoded)) as bar:
            for batch in self._batches(encoded):
                known.update({one[0]: facts for one, facts in zip(batch, self._measured(batch), strict=True)})
                bar.update(len(batch))
        none = np.zeros((len(FACTS), 0), np.float32)
        return [[known.get((q.prompt, text), none) for text in q.responses] for q in questions]

    def _measured(self, batch: list[Encoded]) -> list[np.ndarray]:
        import torch

        from sprint_lmeval.generation.sampling import rows_at_once

        found = []
        for (_, _, response), of_row in zip(batch, self._logits(batch), strict=True):
            tokens, most = torch.tensor(response, device=of_row.device), rows_at_once(of_row[:1])
            parts = zip(of_row.split(most), tokens.split(most), strict=True)
            facts = torch.cat([_facts_of(*part) for part in parts], dim=1).cpu().numpy()
            found.append(np.vstack([facts, self._steps(response)]).astype(np.float32))
        if not all(np.isfinite(facts).all() for facts in found):
            raise InputError(
                f"{self.name} gives probabilities that are no numbers: give another dtype= in --model_args, such as "
                "bfloat16 or float32"
            )
        return found

    def _logits(self, batch: list[Encoded]) -> list:
        """Return the logits of which each response's tokens were chosen, [tokens, vocabulary] each; of one prompt."""
        import torch

        prompt = batch[0][1]
        cache = self._cache_of(prompt, longest=len(batch[0][2]))
        before = prompt if cache is None else prompt[-1:]
        rows = [torch.tensor((before + response)[-self.model.max_length - 1 : -1]) for _, _, response in batch]
        inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.model.device)  # causal: to the right
        if cache is None:
            logits = self.model._model_call(inputs)
        else:
            cache = copy.deepcopy(cache)
            cache.batch_repeat_interleave(len(batch))
            with torch.no_grad():
                logits = self.model.model(inputs, **{self._cache_argument: cache}).logits
        return [
            of_row[len(row) - len(response) : len(row)]
            for row, (_, _, response), of_row in zip(rows, batch, logits, strict=True)
        ]

    def _cache_of(self, prompt: list[int], longest: int):
        """Return the keys and values of a prompt without its last token; None where the model has no plain ones.

        Args:
            prompt: its tokens.
            longest: of the responses to it, in tokens; None is returned where there is no room for both.
        """
        import torch
        from transformers.cache_utils import DynamicCache, DynamicLayer

        from sprint_lmeval.generation.fast.in_flight import common_start

        cut = len(prompt) + longest > self.model.max_length
        if cut or len(prompt) < 2 or getattr(self.model, "mixed_precision_dtype", None):
            return None
        if self._read[0] != prompt:
            before, cache = self._read
            common = common_start([before, prompt[:-1]]) if cache is not None else 0
            given = {"use_cache": True}
            if common:  # worked examples, instructions
                if common < len(before) - 1:
                    cache.crop(common + 1 - len(before))
                given[self._cache_argument] = cache
            with torch.no_grad():
                output = self.model.model.base_model(
                    torch.tensor([prompt[common:-1]], device=self.model.device), **given
                )
            cache = getattr(output, self._cache_argument, None)
            plain = isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers)
            self._read = (prompt, cache if plain else None)
        return self._read[1]

    @cached_property
    def _cache_argument(self) -> str:
        from sprint_lmeval.generation.fast.kv_cache import cache_argument

        return cache_argument(self.model.model.forward)

    def _steps(self, response: list[int]) -> np.ndarray:
        """The number of each token's line, from 0; a token with a line break ends its line."""
        for token in set(response) - self._ends.keys():
            self._ends[token] = "\n" in self.model.tokenizer.decode([token])
        ends = np.array([self._ends[token] for token in response])
        return np.cumsum(ends) - ends

    def _encoded(self, pair: tuple[str, str]) -> Encoded:
        prompt, response = self.model._encode_pair(*pair)
        prompt = prompt or [self.model.prefix_token_id]
        if len(response) >= self.model.max_length or not response:
            raise InputError(
                f"a response has {len(response):,} tokens for {self.name}, which has room for "
                f"{self.model.max_length:,}: score with the model that wrote it"
            )
        return pair, prompt, response

    def _batches(self, encoded: list[Encoded]) -> Iterator[list[Encoded]]:
        """Rows of one prompt and of like length, as many as their logits have room for."""
        encoded = sorted(encoded, key=lambda one: (one[1], -len(one[2])))
        for prompt, group in groupby(encoded, key=lambda one: one[1]):
            rows = list(group)
            longest = len(rows[0][2])
            width = longest if self._cache_of(prompt, longest) else len(prompt) + longest
            most = max(1, min(MAX_ROWS, MAX_LOGITS // (width * self.model.vocab_size)))
            yield from (rows[first : first + most] for first in range(0, len(rows), most))


def _facts_of(logits, tokens):
    """Return log-probability, confidence and entropy [3, tokens] of tokens that were chosen of logits."""
    import torch

    part = logits.float().log_softmax(-1)  # [tokens, vocabulary]
    chosen = part.gather(1, tokens[:, None])[:, 0]
    top = part.topk(min(TOP, part.shape[1])).values.mean(1)
    return torch.stack([chosen, -top, torch.special.entr(part.exp()).sum(1)])


# ---- the file beside the samples ----


def _path(run: Run) -> Path:
    samples = run.samples_path
    return samples.with_name("likelihoods" + samples.name.removeprefix("samples")).with_suffix(".safetensors")


def _write(path: Path, key: dict[str, str], facts: list[list[np.ndarray]]) -> None:
    from safetensors.numpy import save

    lengths = np.array([[one.shape[1] for one in row] for row in facts], np.int32)
    values = np.concatenate([one for row in facts for one in row], axis=1)
    with whole_file(path) as stream:
        stream.write(save({"lengths": lengths, "values": values}, metadata=key))


def _read(path: Path, key: dict[str, str], shape: tuple[int, int]) -> list[list[np.ndarray]] | None:
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") == FORMAT and metadata != key:
                return None
            lengths, values = file.get_tensor("lengths"), file.get_tensor("values")
    except (SafetensorError, OSError, TypeError):  # TypeError: of numbers that numpy does not know, such as bfloat16
        metadata = {}
    if metadata != key or not _fits(lengths, values, shape):
        raise InputError(f"{path} is there and is no file of likelihoods: move it away")
    parts = np.split(values, np.cumsum(lengths.ravel())[:-1], axis=1)
    return [parts[start : start + shape[1]] for start in range(0, len(parts), shape[1])]


def _fits(lengths: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> bool:
    whole = lengths.dtype == np.int32 and lengths.shape == shape and bool((lengths >= 0).all())
    whole = whole and values.dtype == np.float32 and values.shape == (len(FACTS), int(lengths.sum(dtype=np.int64)))
    return whole and bool(np.isfinite(values).all())
