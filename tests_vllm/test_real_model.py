"""A real model on real problems, where they are: SPRINT_MODELS, SPRINT_DATA_DIR (gsm8k/test.jsonl)."""

import json
import os
from itertools import islice
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance

from sprint_lmeval.models.engines.vllm import VLLMPrunedBestOfN
from sprint_lmeval.models.hf import HFPrunedBestOfN
from tests_vllm.conftest import ENGINE
from tests_vllm.ties import compare

MODEL = Path(os.environ.get("SPRINT_MODELS", "~/.cache/sprint-models")).expanduser() / "smollm2-135m-instruct"
PROBLEMS = Path(os.environ.get("SPRINT_DATA_DIR", "nowhere")) / "gsm8k" / "test.jsonl"
FOUR = "L5H0:L10H3:L5H0+L10H3:base"
ASK = "\nPlease reason step by step, and put your final answer within \\boxed{}."


def asked(lm, tokens: int) -> list[Instance]:
    """Return four problems in the model's chat template, each for four candidates."""
    with PROBLEMS.open() as lines:
        questions = [json.loads(line)["question"] for line in islice(lines, 4)]
    prompts = [lm.apply_chat_template([{"role": "user", "content": question + ASK}]) for question in questions]
    settings = {"until": [], "max_gen_toks": tokens}
    instances = [
        Instance("generate_until", {"question": question}, (prompt, settings), 0, ("gsm8k", i, 4))
        for i, (question, prompt) in enumerate(zip(questions, prompts, strict=True))
    ]
    return [instance for instance in instances for _ in range(4)]


@pytest.mark.skipif(not MODEL.is_dir(), reason=f"no {MODEL} (SPRINT_MODELS)")
@pytest.mark.skipif(not PROBLEMS.is_file(), reason=f"no {PROBLEMS} (SPRINT_DATA_DIR)")
def test_smollm2_on_four_problems_of_gsm8k(capsys):
    reference = HFPrunedBestOfN(str(MODEL), head_masks=FOUR, dtype="float32", device="cpu", batch_size=16)
    rows = asked(reference, 64)
    expected = reference.generate_until(rows)
    engine = VLLMPrunedBestOfN(str(MODEL), head_masks=FOUR, **ENGINE)
    answers = engine.generate_until(asked(engine, 64))
    result = compare(reference, [row.args[0] for row in rows], expected, answers)
    with capsys.disabled():
        print(f"\n{result.equal} of 16 texts of SmolLM2 equal, margins of the others: {result.margins}")
    result.check(16, least=0.5)
