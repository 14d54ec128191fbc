"""Models that score each step of a response (process reward models), and what is chosen by them.

In: questions and responses; a step is a line that is not empty. Out: the chance of each step to be right, and four
aggregates of a response: min, last, product, mean. Two forms of model:

    token classification   as trl trains it: the question, then each step and a line break, tokenised one by one; the
                           chance of the second of two labels (or of the only one) at each line break's last token
    marker                 a language model (Math-Shepherd, arXiv 2312.08935): the question and a space, then each step,
                           the step tag and a line break; the good label's chance against the bad one's at each tag

Early rejection (arXiv 2508.01969), replayed: prefixes are scored, and the best share of them is written to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.scores import MethodChoice
from sprint_lmeval.scoring.rewards import RewardModel
from sprint_lmeval.scoring.stored import (
    Prefix,
    StoredResponses,
    prefixes_of,
    spent_tokens,
    steps_of,
    stopped,
    stored_responses,
)
from sprint_lmeval.scoring.votes import AnswerClasses, best, vote

AGGREGATES = {"min": np.min, "last": lambda steps: steps[-1], "product": np.prod, "mean": np.mean}
MAX_LOGITS = 1 << 26  # numbers of one batch's logits [rows, time, vocabulary]


class ProcessRewardModel(RewardModel):
    """A model with a score for each step.

    Args:
        name, device, trust_remote_code: as of `RewardModel`.
        marks: step tag, good and bad label, each one token of the model; None: token classification.

    Raises:
        InputError: it cannot be loaded, is of another form, or has no such tokens.
    """

    kind, what = "AutoModelForTokenClassification", "a token classifier (or name --step-marks)"

    def __init__(
        self, name: str, device: str | None = None, trust_remote_code: bool = False, marks: Sequence[str] | None = None
    ) -> None:
        self.marks = marks
        if marks:
            self.kind, self.what = "AutoModelForCausalLM", "a language model with the tokens of --step-marks"
        super().__init__(name, device, trust_remote_code)

    def _prepare_tokenizer(self) -> None:
        super()._prepare_tokenizer()
        self.tag, *self.labels = [self._mark(mark) for mark in self.marks or ()] or [None]

    def _mark(self, mark: str) -> int:
        """The one token that a mark is."""
        found = self._ids(mark)
        if len(found) != 1 or found[0] == self.tokenizer.unk_token_id:
            raise InputError(
                f"--step-marks {mark!a:.40} given, which {self.name} knows as {len(found)} tokens and not as one: give "
                "the step tag and the two labels that it was trained with"
            )
        return found[0]

    def _check_labels(self) -> None:
        if not self.marks:
            super()._check_labels()

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _tokens(self, pair: tuple[str, str]) -> dict[str, list[int]]:
        question, response = pair
        ids = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        ids += self._ids(f"{question} " if self.marks else question)
        ends = []
        line_break = self._ids("\n")
        for step in steps_of(response):
            ids += self._ids(step) + ([self.tag] if self.marks else line_break)
            ends.append(len(ids) - 1)
            ids += line_break if self.marks else []
        self.cut += len(ids) > self.room
        return {"input_ids": ids[: self.room], "ends": [end for end in ends if end < self.room]}

    def _rows(self, longest: int) -> int:
        width = self.model.config.vocab_size if self.marks else 1
        return max(1, min(super()._rows(longest), MAX_LOGITS // (max(1, longest) * width)))

    def _scores(self, rows: list[dict[str, list[int]]]) -> list[np.ndarray]:
        ends = [row.pop("ends") for row in rows]
        logits = self._logits(rows)  # [rows, time, labels or vocabulary]
        return [self._chances(of_row[at].float()) for of_row, at in zip(logits, ends, strict=True)]

    def _chances(self, logits) -> np.ndarray:
        """[steps, labels or vocabulary] -> [steps]."""
        if self.marks:
            return logits[:, self.labels].softmax(1)[:, 0].cpu().numpy()
        one = logits.shape[1] == 1
        return (logits.sigmoid()[:, 0] if one else logits.softmax(1)[:, 1]).cpu().numpy()

    def step_scores(self, questions: Sequence[StoredResponses]) -> list[list[np.ndarray]]:
        """Return for each question and response the chance of each step that found room, [steps]."""
        known = self.scored((q.question, response) for q in questions for response in q.responses)
        return [[known[q.question, response] for response in q.responses] for q in questions]


@dataclass(frozen=True)
class StepRewards:
    """A process reward model, and the early rejection that is replayed with it (None: none)."""

    model: ProcessRewardModel
    prefix: Prefix | None
    keep: float


def aggregated(scores: list[list[np.ndarray]], name: str) -> list[np.ndarray]:
    """Return an aggregate of the steps of each response, [questions][n]; nan without a step."""
    return [np.array([AGGREGATES[name](steps) if len(steps) else np.nan for steps in row]) for row in scores]


def choose_by_steps(run: Run, classes: Sequence[AnswerClasses], rewards: StepRewards) -> list[MethodChoice]:
    """For each aggregate: the best of N, a weighted vote, and with a prefix the vote among what is not rejected."""
    rows = stored_responses(run)
    begun, tokens = prefixes_of(run, rows, rewards.prefix) if rewards.prefix else ([], [])
    whole, parts = rewards.model.step_scores(rows), rewards.model.step_scores(begun)
    used = [len(row) for row in classes]
    choices = []
    for name in AGGREGATES:
        values = aggregated(whole, name)
        pairs = list(zip(classes, values, strict=True))
        settings = {"reward_model": rewards.model.name, "steps": name}
        choices.append(MethodChoice(f"prm {name} best of N", [best(*pair) for pair in pairs], settings, used))
        choices.append(MethodChoice(f"prm {name} vote", [vote(*pair) for pair in pairs], settings, used))
        if rewards.prefix:
            settings = {**settings, "prefix": str(rewards.prefix), "keep": f"{rewards.keep:g}"}
            kept = kept_of(aggregated(parts, name), rewards.keep)
            chosen = [vote(stopped(row, of), value) for (row, value), of in zip(pairs, kept, strict=True)]
            spent = spent_tokens(run, kept, tokens)
            choices.append(MethodChoice(f"prm {name} early", chosen, settings, [len(of) for of in kept], spent))
    return choices


def kept_of(values: list[np.ndarray], share: float) -> list[list[int]]:
    """Return of each question the responses that go on: the share of them with the highest values, rounded up."""
    orders = [np.argsort(-np.nan_to_num(of, nan=-1.0), kind="stable") for of in values]
    return [sorted(order[: int(np.ceil(share * len(order)))].tolist()) for order in orders]
