"""Samples of pruned sub-models: response i is drawn from candidate i of the set cover, not from the whole model.

    python results/rivals/pruned_samples.py    # 300 test problems of the embedded model -> pruned_samples.json

pruned_samples.json has the verdict codes of 16 responses of each problem, for each temperature. The problems are the
first 300 of results/sprint/tiny/test.parquet, whose samples of the whole model are in samples.parquet beside it.
"""

import json
from pathlib import Path

from sprint_lmeval.answers.verdicts import VERDICTS, judge_many
from sprint_lmeval.candidates import parse_candidates
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.strategies.sampled import Sampled
from sprint_lmeval.tiny.problems import problems

HERE = Path(__file__).parent
QUESTIONS = 300
TEMPERATURES = (0.6, 0.9)


def main() -> None:
    test = OutcomeMatrix.load(HERE.parent / "sprint" / "tiny" / "test.parquet")
    by_id = {problem.id: problem for problem in problems("test")}
    asked = [by_id[question.id] for question in test.questions[:QUESTIONS]]
    cover = parse_candidates(HERE / "tiny" / "base+cover.txt")
    lm = HFPrunedBestOfN(pretrained="tiny", dtype="float32", device="cpu", strategy="base")
    lm.load_weights()
    draw, found = Sampled(0).draw, {}
    for temperature in TEMPERATURES:
        settings = Settings(160, ("\nQuestion:", "<|endoftext|>"), 128, temperature=temperature)
        rows = [[Row(p.prompt, c, i, *draw(p.prompt, i)) for i, c in enumerate(cover)] for p in asked]
        texts = dict(generate(lm.model, lm.tokenizer, [row for of_one in rows for row in of_one], settings))
        responses = [[texts[row].text for row in of_one] for of_one in rows]
        judged = judge_many([(r, str(p.answer), "number") for r, p in zip(responses, asked, strict=True)])
        found[str(temperature)] = [[VERDICTS.index(verdict) for verdict in j.verdicts] for j in judged]
        (HERE / "pruned_samples.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
