"""Chooses each row's next token: the best one, or the one that the row's own random number or code draws.

Given its random numbers and its code, a sampled text is as certain as a greedy one, so drafts are verified for both.
"""

from __future__ import annotations

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.in_flight import ActiveRow
from sprint_lmeval.generation.fast.kv_cache import RowCache
from sprint_lmeval.generation.fast.lm_head import first_best
from sprint_lmeval.generation.rows import Settings
from sprint_lmeval.generation.sampling import Multinomial, RunningSums, rows_at_once


class TokenChoice:
    """Chooses tokens as transformers' `generate` does: the repetition penalty first, then temperature, top-k and top-p.

    Args:
        passes: forward passes of the model.
        settings: temperature, top_k and top_p of rows that have a seed.
        repetition_penalty: 1.0 for none.
        sampled: whether the rows have seeds.

    Attributes:
        drafts: whether the best token is chosen, which depends on the logits alone.
    """

    def __init__(self, passes: Passes, settings: Settings, repetition_penalty: float, sampled: bool) -> None:
        self.passes = passes
        self.penalty = RepetitionPenaltyLogitsProcessor(repetition_penalty) if repetition_penalty != 1.0 else None
        self.multinomial = Multinomial(settings.temperature, settings.top_k, settings.top_p) if sampled else None
        self.drafts = not (sampled or self.penalty)
        self.head = passes.head() if self.drafts else None

    def most(self, rows: int) -> int:
        """Return how many next tokens of each of `rows` rows one pass may choose; at least 1."""
        return self.passes.most_tokens(rows) if self.head else self.passes.most_logits(rows)

    def read(self, cache: RowCache, tokens: list[list[int]], rows: list[ActiveRow], count: int) -> list[list[int]]:
        """Read tokens [rows, n]; returns what each row chooses behind each of the last `count`, [rows, count].

        All but the first of these last tokens are drafts, which no row has written yet.
        """
        states = self.states(cache, tokens, [row.row.candidate for row in rows], count)
        return self.chosen(states, rows, [line[len(line) - count + 1 :] for line in tokens])

    def states(self, cache: RowCache, tokens: list[list[int]], candidates: list[Candidate], count: int) -> torch.Tensor:
        """Read tokens [rows, n]; returns [rows, count, ...]: hidden states where there is a `head`, else logits."""
        if self.head:
            return self.passes.run_hidden(cache, tokens, candidates, count, self.head)
        return self.passes.run(cache, tokens, candidates, count)

    @torch.inference_mode()
    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return the logits [..., vocabulary] of `states`."""
        return self.head.head(states) if self.head else states

    @torch.inference_mode()
    def chosen(self, states: torch.Tensor, rows: list[ActiveRow], drafts: list[list[int]]) -> list[list[int]]:
        """Return what each row chooses where it has `states` [rows, count, ...], the first of them before its draft."""
        if self.head:
            return self.head.best(states).tolist()
        logits = states
        if self.penalty is not None:
            logits = self._penalised(logits, rows, drafts)
        if self.multinomial is None:
            return first_best(logits).tolist()
        drawn, most = [], rows_at_once(logits[0])
        for start in range(0, len(rows), most):
            part = slice(start, start + most)
            drawn += self._drawn(logits[part], rows[part], drafts[part])
        return drawn

    def _drawn(self, logits: torch.Tensor, rows: list[ActiveRow], drafts: list[list[int]]) -> list[list[int]]:
        """Return what the rows' random numbers or codes draw where there are `logits` [rows, count, vocabulary]."""
        count = logits.shape[1]
        sums = self.multinomial.of(logits.flatten(0, 1))
        numbers = [number for row in rows for number in row.numbers(count)]
        drawn = sums.tokens(numbers).view(len(rows), count).tolist()
        self._follow_codes(sums, rows, drafts, drawn)
        return drawn

    def _follow_codes(
        self, sums: RunningSums, rows: list[ActiveRow], drafts: list[list[int]], chosen: list[list[int]]
    ) -> None:
        """Choose by codes instead, where a row has one: token after token, as far as its draft is right."""
        codes = {slot: row.code for slot, row in enumerate(rows) if row.code}
        for slot in codes:
            rows[slot].later_codes = []
        for index in range(len(chosen[0])):
            lines = [slot * len(chosen[0]) + index for slot in codes]
            found = sums.intervals(lines, [code.number for code in codes.values()]) if codes else []
            for slot, (token, before, mass) in zip(list(codes), found, strict=True):
                chosen[slot][index] = token
                codes[slot] = codes[slot].behind(before, mass)
                rows[slot].later_codes.append(codes[slot])
                if codes[slot] is None or drafts[slot][index : index + 1] != [token]:
                    del codes[slot]

    def _penalised(self, logits: torch.Tensor, rows: list[ActiveRow], drafts: list[list[int]]) -> torch.Tensor:
        lines = []
        for row, draft, scores in zip(rows, drafts, logits.float(), strict=True):
            seen = len(row.tokens)
            ids = torch.tensor([row.tokens + draft], device=logits.device)
            lines.append(torch.cat([self.penalty(ids[:, : seen + i], scores[None, i]) for i in range(len(scores))]))
        return torch.stack(lines)
