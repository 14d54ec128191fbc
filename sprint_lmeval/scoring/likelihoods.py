"""How probable a language model finds given responses: teacher-forced log-probabilities, batched.

In: prompts and responses, and the model arguments of the harness's `hf` model, which loads it and computes them. All
candidates are scored under this one unpruned model: which head was pruned when a text was written does not count.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence

import numpy as np

from sprint_lmeval.checkpoints.pretrained import default_device, fetch_config, resolve_pretrained
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.names import MODEL_ARGUMENTS
from sprint_lmeval.runs.parse_model_args import model_arguments
from sprint_lmeval.scoring.stored import StoredResponses

log = logging.getLogger(f"lm_eval.{__name__}")
MAX_LOGITS = 1 << 27  # numbers of one batch's logits [rows, time, vocabulary]
MAX_ROWS = 256
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
        from lm_eval.models.huggingface import HFLM

        arguments = model_arguments(model_args)
        self.name = str(arguments.get("pretrained") or "")
        if not self.name:
            raise InputError("rpc needs the model whose probabilities count: give --model_args pretrained=MODEL")
        ours = [name for name in MODEL_ARGUMENTS if name in arguments]
        if ours:
            raise InputError(
                f"--model_args {ours[0]} given: all candidates are scored under the unpruned model, leave it out"
            )
        arguments["pretrained"] = resolve_pretrained(self.name)
        arguments["trust_remote_code"] = bool(arguments.get("trust_remote_code"))  # None: transformers would ask
        fetch_config(arguments["pretrained"], trust_remote_code=arguments["trust_remote_code"])
        self._known: dict[tuple[str, str], tuple[float, int]] = {}  # runs of one model share most of their texts
        try:
            self.model = HFLM(**arguments, device=default_device(device), batch_size="auto")
        except (OSError, ValueError, TypeError, RuntimeError, AssertionError) as error:
            said = cause(error, 300)
            raise InputError(f"--model_args {model_args} given, the model could not be loaded ({said})") from None

    def log_probabilities(self, questions: Sequence[StoredResponses]) -> list[np.ndarray]:
        """Return for each question the log-probability and the number of tokens of each response, [n, 2].

        nan and 0 for an empty response, which has no token to be scored.
        """
        known = self._known
        asked = dict.fromkeys((q.prompt, text) for q in questions for text in q.responses if text)
        for batch in self._batches([self._encoded(pair) for pair in asked if pair not in known]):
            found = self.model._loglikelihood_tokens(batch, disable_tqdm=True, override_bs=len(batch))
            known.update({one[0]: (total, len(one[2])) for one, (total, _) in zip(batch, found, strict=True)})
            if any(math.isnan(total) for total, _ in found):
                raise InputError(
                    f"{self.name} gives probabilities that are no numbers: give another dtype= in --model_args, such "
                    "as bfloat16 or float32"
                )
        return [np.array([known.get((q.prompt, text), (np.nan, 0)) for text in q.responses]) for q in questions]

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
        """Rows of like length, as many as their logits have room for."""
        encoded = sorted(encoded, key=lambda one: -len(one[1]) - len(one[2]))
        batch: list[Encoded] = []
        for one in encoded:
            longest = len((batch or [one])[0][1]) + len((batch or [one])[0][2])
            if batch and (len(batch) == MAX_ROWS or (len(batch) + 1) * longest * self.model.vocab_size > MAX_LOGITS):
                yield batch
                batch = []
            batch.append(one)
        if batch:
            yield batch
