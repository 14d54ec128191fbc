"""What a reward model says of given responses: any Hugging Face sequence classifier with one label, or two.

In: questions and responses. Out: one number each, higher is better: the logit of the one label, or the difference of
the second label's to the first's. The model sees the raw question and the response through its tokenizer's chat
template, or as a pair of texts where it has none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np

from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.scores import MethodChoice
from sprint_lmeval.scoring.stored import StoredResponses, stored_responses, texts_read
from sprint_lmeval.scoring.votes import AnswerClasses, best, vote

log = logging.getLogger(f"lm_eval.{__name__}")
ROWS = 16
MAX_TOKENS = 1 << 15  # of one batch, padding included


class RewardModel:
    """A sequence classifier that scores a response to a question.

    Args:
        name: folder or hub id.
        device: of torch; None: a GPU where there is one.
        trust_remote_code: whether code that the model brings along is run.
        option: of the command, which named the model.

    Raises:
        InputError: it cannot be loaded, or is no reward model.
    """

    kind, what = "AutoModelForSequenceClassification", "a sequence classifier"

    def __init__(
        self, name: str, device: str | None = None, trust_remote_code: bool = False, option: str = "--reward-model"
    ) -> None:
        import torch
        import transformers

        self.name, self.option = name, option
        try:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
            self._prepare_tokenizer()
            model, loaded = getattr(transformers, self.kind).from_pretrained(
                name, trust_remote_code=trust_remote_code, output_loading_info=True
            )
            self.model = model.eval().to(self.device)
        except InputError:
            raise
        except Exception as error:  # a damaged folder or a device that is not there: each part has errors of its own
            said = cause(error, 300)
            raise InputError(
                f"{option} {name} could not be loaded ({said}): give the folder or hub id of {self.what}"
            ) from None
        random = sorted({*map(str, loaded["missing_keys"]), *map(str, loaded["mismatched_keys"])})
        if random:
            raise InputError(
                f"{option} {name} has no weights for {random[0]}, which would be random: it is not {self.what}"
            )
        self._check_labels()
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.segments = (getattr(model.config, "type_vocab_size", None) or 0) > 1  # distinguishes question and response
        self.cut = 0  # texts whose end found no room

    def _check_labels(self) -> None:
        if self.model.config.num_labels not in (1, 2):
            raise InputError(
                f"{self.option} {self.name} has {self.model.config.num_labels} labels, a reward model has 1, or 2 "
                "(bad, good)"
            )

    def _prepare_tokenizer(self) -> None:
        """Decoders find the last token by the padding token, which some come without."""
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.tokenizer.pad_token_id is None:
            raise InputError(f"{self.option} {self.name} has neither a padding token nor an end token")
        self.tokenizer.padding_side = "right"

    @property
    def room(self) -> int:
        """Tokens that fit in."""
        known = getattr(self.model.config, "max_position_embeddings", None) or MAX_TOKENS
        return min(known, self.tokenizer.model_max_length, MAX_TOKENS)

    def rewards(self, questions: Sequence[StoredResponses]) -> list[np.ndarray]:
        """Return for each question the reward of each response, [n]."""
        known = self.scored((q.question, response) for q in questions for response in q.responses)
        return [np.array([known[q.question, response] for response in q.responses]) for q in questions]

    def scored(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], float | np.ndarray]:
        """Return what the model says of each different pair of question and response."""
        encoded = [(pair, self._tokens(pair)) for pair in dict.fromkeys(pairs)]
        encoded.sort(key=lambda one: -len(one[1]["input_ids"]))
        known: dict[tuple[str, str], float | np.ndarray] = {}
        with texts_read(self.name, len(encoded)) as bar:
            while encoded:
                size = self._rows(len(encoded[0][1]["input_ids"]))
                batch, encoded = encoded[:size], encoded[size:]
                known.update(zip([pair for pair, _ in batch], self._scores([row for _, row in batch]), strict=True))
                bar.update(len(batch))
        if not all(np.isfinite(value).all() for value in known.values()):
            raise InputError(f"{self.option} {self.name} gives rewards that are no numbers: its weights are damaged")
        if self.cut:
            log.warning(
                "%d texts are longer than the %d tokens of %s: their end was cut", self.cut, self.room, self.name
            )
        return known

    def _rows(self, longest: int) -> int:
        """How many rows of so many tokens are one batch."""
        return max(1, min(ROWS, MAX_TOKENS // max(1, longest)))

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
        logits = self._logits(rows).float()  # [rows, labels]
        return (logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]).tolist()

    def _logits(self, rows: list[dict[str, list[int]]]):
        import torch

        inputs = self.tokenizer.pad(rows, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            return self.model(**inputs).logits


def logistic(values: np.ndarray) -> np.ndarray:
    """Return chances of log odds."""
    return 1 / (1 + np.exp(-np.clip(values, -500, 500)))


def choose_by_reward(run: Run, classes: Sequence[AnswerClasses], model: RewardModel) -> list[MethodChoice]:
    """The response with the highest reward, and a vote weighted by the reward as a chance."""
    found = model.rewards(stored_responses(run))
    settings = {"reward_model": model.name}
    weights = [logistic(values) for values in found]
    return [
        MethodChoice(
            "reward best of N", [best(row, values) for row, values in zip(classes, found, strict=True)], settings
        ),
        MethodChoice("reward vote", [vote(row, w) for row, w in zip(classes, weights, strict=True)], settings),
    ]
