"""What a reward model says of given responses: any Hugging Face sequence classifier with one label, or two.

In: questions and responses. Out: one number each, higher is better: the logit of the one label, or the difference of
the second label's to the first's. The model sees the raw question and the response through its tokenizer's chat
template, or as a pair of texts where it has none.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.scoring.stored import StoredResponses

log = logging.getLogger(f"lm_eval.{__name__}")
ROWS = 16
MAX_TOKENS = 1 << 15  # of one batch, padding included


class RewardModel:
    """A sequence classifier that scores a response to a question.

    Args:
        name: folder or hub id.
        device: of torch; None: a GPU where there is one.
        trust_remote_code: whether code that the model brings along is run.

    Raises:
        InputError: it cannot be loaded, or is no reward model.
    """

    def __init__(self, name: str, device: str | None = None, trust_remote_code: bool = False) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.name = name
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
            model, loaded = AutoModelForSequenceClassification.from_pretrained(
                name, trust_remote_code=trust_remote_code, output_loading_info=True
            )
            self.model = model.eval().to(self.device)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            said = cause(error, 300)
            raise InputError(
                f"--reward-model {name} could not be loaded ({said}): give the folder or hub id of a sequence "
                "classifier"
            ) from None
        random = sorted({*map(str, loaded["missing_keys"]), *map(str, loaded["mismatched_keys"])})
        if random:
            raise InputError(
                f"--reward-model {name} has no weights for {random[0]}, which would be random: it is no reward model"
            )
        if model.config.num_labels not in (1, 2):
            raise InputError(
                f"--reward-model {name} has {model.config.num_labels} labels, a reward model has 1, or 2 (bad, good)"
            )
        self._prepare_padding()
        self.segments = (getattr(model.config, "type_vocab_size", None) or 0) > 1  # distinguishes question and response
        self.cut = 0  # texts whose end found no room

    def _prepare_padding(self) -> None:
        """Decoders find the last token by the padding token, which some come without."""
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.tokenizer.pad_token_id is None:
            raise InputError(f"--reward-model {self.name} has neither a padding token nor an end token")
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.tokenizer.padding_side = "right"

    @property
    def room(self) -> int:
        """Tokens that fit in."""
        known = getattr(self.model.config, "max_position_embeddings", None) or MAX_TOKENS
        return min(known, self.tokenizer.model_max_length, MAX_TOKENS)

    def rewards(self, questions: Sequence[StoredResponses]) -> list[np.ndarray]:
        """Return for each question the reward of each response, [n]."""
        pairs = list(dict.fromkeys((q.question, response) for q in questions for response in q.responses))
        encoded = sorted(((pair, self._tokens(pair)) for pair in pairs), key=lambda one: -len(one[1]["input_ids"]))
        known: dict[tuple[str, str], float] = {}
        size = max(1, min(ROWS, MAX_TOKENS // max(1, len(encoded[0][1]["input_ids"]) if encoded else 1)))
        for start in range(0, len(encoded), size):
            batch = encoded[start : start + size]
            for (pair, _), value in zip(batch, self._scores([row for _, row in batch]), strict=True):
                known[pair] = value
        if not np.isfinite(list(known.values())).all():
            raise InputError(f"--reward-model {self.name} gives rewards that are no numbers: its weights are damaged")
        if self.cut:
            log.warning(
                "%d texts are longer than the %d tokens of %s: their end was cut", self.cut, self.room, self.name
            )
        return [np.array([known[q.question, response] for response in q.responses]) for q in questions]

    def _tokens(self, pair: tuple[str, str]) -> dict[str, list[int]]:
        question, response = pair
        if self.tokenizer.chat_template:
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": response}]
            text = self.tokenizer.apply_chat_template(turns, tokenize=False)
            found = self.tokenizer(text, add_special_tokens=False)
        else:
            found = self.tokenizer(question, response, return_token_type_ids=self.segments)
        self.cut += len(found["input_ids"]) > self.room
        names = ("input_ids", *(("token_type_ids",) if self.segments and "token_type_ids" in found else ()))
        return {name: found[name][: self.room] for name in names}

    def _scores(self, rows: list[dict[str, list[int]]]) -> list[float]:
        import torch

        inputs = self.tokenizer.pad(rows, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            logits = self.model(**inputs).logits.float()  # [rows, labels]
        return (logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]).tolist()
