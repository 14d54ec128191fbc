"""Two engines' texts side by side: where they part, the model at hand says whether its two choices nearly tie."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.pruning.hooks import prune_heads

TIE = 1e-3  # difference of two logits in float32 that another order of sums may turn (DESIGN: about 1e-4 on one engine)


@dataclass
class Comparison:
    """How many texts are equal; `margins`: of each that is not, the difference of the logits where it parts."""

    equal: int = 0
    margins: list[float] = field(default_factory=list)
    differing: list[tuple[str, str, str]] = field(default_factory=list)  # candidate, both texts

    def check(self, rows: int, least: float = 0.9) -> None:
        """Every text that differs does so at a tie, and a share of at least `least` does not."""
        assert self.equal + len(self.margins) == rows
        assert all(margin < TIE for margin in self.margins), f"no ties: {self.margins} {self.differing}"
        assert self.equal >= least * rows, f"{len(self.margins)} of {rows} differ"


def compare(lm: HFPrunedBestOfN, prompts: list[str], ours: list, theirs: list, penalty: float = 1.0) -> Comparison:
    """Compare responses (texts with `candidate`) of `hf-pruned-bon` with those of another engine."""
    result = Comparison()
    for prompt, one, other in zip(prompts, ours, theirs, strict=True):
        assert one.candidate == other.candidate
        if str(one) == str(other):
            assert (one.truncated, one.new_tokens) == (other.truncated, other.new_tokens)
            result.equal += 1
        else:
            result.differing.append((one.candidate, str(one), str(other)))
            result.margins.append(margin(lm, prompt, str(one), str(other), Candidate.parse(one.candidate), penalty))
    return result


@torch.no_grad()
def margin(lm: HFPrunedBestOfN, prompt: str, one: str, other: str, candidate: Candidate, penalty: float) -> float:
    """Return by how much the logits of the two choices differ, after the tokens that both texts begin with."""
    encode = lm.tokenizer
    start = encode(prompt)["input_ids"]
    first, second = (
        encode(text, add_special_tokens=False)["input_ids"] + [encode.eos_token_id] for text in (one, other)
    )
    common = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    ids = torch.tensor([start + first[:common]])
    with prune_heads(lm.model, [candidate], lm.layout):
        logits = lm.model(input_ids=ids).logits[:, -1].float()
    (logits,) = RepetitionPenaltyLogitsProcessor(penalty)(ids, logits)
    return (logits[first[common]] - logits[second[common]]).abs().item()
