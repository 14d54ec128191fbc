"""Pruned heads as a guide for branching: where they leave the greedy answer, another token is tried first.

    python results/rivals/guided.py --questions 400     # the embedded model's test problems -> guided.json

Every guide orders the branches of the same greedy answers, and the whole model finishes them: only the order differs.
guided.json has, for each guide and problem, which of the N responses is the first correct one (from 1; 0: none is).
"""

import argparse
import json
from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from sprint_lmeval.answers.verdicts import Verdict, judge_many
from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.generation.alternatives import Step, alternatives
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.rows import Response, Row, Settings, end_token_ids
from sprint_lmeval.models.branching import SPARE, TRIED, GreedyAnswer, branch_out
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.strategies.branch import Branch, ranked_branches
from sprint_lmeval.strategies.head_lists import every_head
from sprint_lmeval.tiny.problems import Problem, problems

HERE = Path(__file__).parent
N = 16
PART = 50  # problems whose answers are in memory together
HEADS = every_head([8] * 4, [0, 1, 2, 3])[1:]
COVER = [c for c in parse_candidates(HERE / "tiny" / "base+cover.txt") if c != BASE]
SETTINGS = Settings(160, ("\nQuestion:", "<|endoftext|>"), 256)


class Guides:
    """The embedded model, and the branches that each guide would try, in order."""

    def __init__(self) -> None:
        self.lm = HFPrunedBestOfN(pretrained="tiny", dtype="float32", device="cpu", strategy="base")
        self.lm.load_weights()
        self.ends = end_token_ids(self.lm.model, self.lm.tokenizer, SETTINGS.until)
        self.decoded: dict[Row, Response] = {}

    def decode(self, rows: list[Row]) -> Iterator[tuple[Row, Response]]:
        missing = [row for row in rows if row not in self.decoded]
        self.decoded.update(generate(self.lm.model, self.lm.tokenizer, missing, SETTINGS, keep_tokens=True))
        return ((row, self.decoded[row]) for row in rows)

    def first_correct(self, part: list[Problem]) -> dict[str, list[int]]:
        """Return for each guide which response of each problem is the first correct one."""
        self.decoded.clear()
        prompts = [problem.prompt for problem in part]
        answers = dict(self.decode([Row(prompt, c) for prompt in prompts for c in (BASE, *HEADS)]))
        steps = self.read(prompts, answers, BASE, N - 1 + SPARE)
        of_heads = [self.read(prompts, answers, head, SPARE) for head in HEADS]
        orders: dict[str, list[list[Branch]]] = {}
        for number, prompt in enumerate(prompts):
            left = [divergence(answers, prompt, head) for head in HEADS]
            by_cover = [left[HEADS.index(head)] for head in COVER]
            mixed = mixture([steps[number], *(of_head[number] for of_head in of_heads)])
            for name, order in self.orders(steps[number], left, by_cover, mixed).items():
                orders.setdefault(name, []).append(order)
        return {name: self.judged(part, answers, order) for name, order in orders.items()}

    def read(self, prompts: list[str], answers: dict, candidate: Candidate, top: int) -> list[list[Step]]:
        """Read the greedy answers of the whole model as a candidate sees them."""
        rows = [Row(prompt, candidate, given=answers[Row(prompt, BASE)].tokens) for prompt in prompts]
        return alternatives(self.lm.model, self.lm.tokenizer, rows, SETTINGS, top)

    def orders(self, steps: list[Step], left: list, by_cover: list, mixed: list[Step]) -> dict[str, list[Branch]]:
        """Return the branches in the order of every guide; `left`: where each head leaves the answer, None: nowhere."""
        ratio = ranked_branches(steps, "ratio", self.ends)
        votes = Counter(branch for branch in left if branch)
        logs = {Branch(at, token): value for at, step in enumerate(steps) for token, value in step.others}
        gain = {branch: logs[branch] - steps[branch.position].log_probability for branch in ratio}
        voted = [branch for branch, _ in votes.most_common()]
        weighted = {
            f"ratio + {weight} x log(1 + votes)": sorted(
                ratio, key=lambda b, w=weight: -gain[b] - w * np.log1p(votes[b])
            )
            for weight in (0.5, 1, 2)
        }
        orders = {
            "ratio": ratio,
            "prefix": ranked_branches(steps, "prefix", self.ends),
            "votes of 32 heads, then ratio": [*voted, *ratio],
            "heads in the order of set cover, then ratio": [*(b for b in by_cover if b), *ratio],
            **weighted,
            "ratio, of the mean of 33 sub-models": ranked_branches(mixed, "ratio", self.ends),
        }
        return {name: list(dict.fromkeys(order)) for name, order in orders.items()}

    def judged(self, part: list[Problem], answers: dict, orders: list[list[Branch]]) -> list[int]:
        greedy = []
        for problem, order in zip(part, orders, strict=True):
            row = Row(problem.prompt, BASE)
            greedy.append(GreedyAnswer(row, answers[row], N - 1, deque(islice(order, TRIED * N))))
        for _ in branch_out(greedy, self.decode):
            pass
        texts = [[answer.response.text, *(one.text for one in answer.found)] for answer in greedy]
        judged = judge_many([(found, str(p.answer), "number") for found, p in zip(texts, part, strict=True)])
        right = [[verdict is Verdict.correct for verdict in judgement.verdicts] for judgement in judged]
        return [of_problem.index(True) + 1 if any(of_problem) else 0 for of_problem in right]


def divergence(answers: dict, prompt: str, head: Candidate) -> Branch | None:
    """Return the first token in which the head's answer is not the whole model's; None: they are the same."""
    own, whole = (answers[Row(prompt, candidate)].tokens for candidate in (head, BASE))
    pairs = enumerate(zip(own, whole, strict=False))
    return next((Branch(at, token) for at, (token, other) in pairs if token != other), None)


def mixture(read: list[list[Step]]) -> list[Step]:
    """Return the greedy answer's steps under the mean of sub-models; what is not among one's best counts as 0."""
    mixed = []
    for steps in zip(*read, strict=True):
        mean = Counter()
        for step in steps:
            for token, value in chain([(step.token, step.log_probability)], step.others):
                mean[token] += np.exp(value) / len(steps)
        own = float(np.log(mean.pop(steps[0].token)))
        mixed.append(Step(steps[0].token, own, tuple((token, float(np.log(p))) for token, p in mean.most_common())))
    return mixed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=400)
    asked = problems("test")[: parser.parse_args().questions]
    guides, found = Guides(), {}
    for start in range(0, len(asked), PART):
        for name, first in guides.first_correct(asked[start : start + PART]).items():
            found.setdefault(name, []).extend(first)
        print({name: np.mean([0 < x <= 8 for x in first]).round(3) for name, first in found.items()}, flush=True)
        (HERE / "guided.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
