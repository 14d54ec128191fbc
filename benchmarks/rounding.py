"""Why texts of `benchmarks.generation` differ in 16-bit arithmetic: how near the two best tokens were where they part.

    python -m benchmarks.rounding RESULTS.jsonl      # a --results file of benchmarks.generation

In 16-bit numbers the logits of a row depend a little on what else is in its batch, so each way of decoding takes one of
two tokens that nearly tie. For each pair of ways this counts the differing texts and looks up, where each two of them
part, how far the two tokens' logits are from each other in that row alone: in steps between neighbouring numbers of
the model's type, and in float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
from itertools import combinations
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.generation import candidates_of, prompts_of
from sprint_lmeval.checkpoints.pretrained import resolve_pretrained
from sprint_lmeval.generation.rows import end_token_ids
from sprint_lmeval.pruning.hooks import prune_heads

COMPARED = ("A", "B", "ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--most", type=int, help="look up no more than so many pairs of texts for each pair of ways")
    asked = parser.parse_args()
    runs = first_runs(asked.results)
    options = argparse.Namespace(**runs["A"]["setting"])
    folder = resolve_pretrained(options.model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    models = [
        AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        for dtype in (getattr(torch, options.dtype), torch.float32)
    ]
    rows = [(prompt, c) for c in candidates_of(options, models[0]) for prompt in prompts_of(options, tokenizer)]
    print("| ways | texts | differ | looked up | within 1 step | within 4 | most steps | median, most in float32 |")
    print("|---|---|---|---|---|---|---|---|")
    for one, other in combinations([way for way in COMPARED if way in runs], 2):
        pairs = [p for p in zip(rows, runs[one]["texts"], runs[other]["texts"], strict=True) if p[1] != p[2]]
        gaps = [gap(models, tokenizer, *row, a, b) for row, a, b in tqdm(pairs[: asked.most])]
        cells = (len(rows), len(pairs), len(gaps), *summary(gaps))
        print(f"| {one}, {other} | {' | '.join(map(str, cells))} |", flush=True)


def first_runs(path: Path) -> dict[str, dict]:
    """Return the first run of each way, all of the first one's setting."""
    runs: dict[str, dict] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        if not runs or run["setting"] == next(iter(runs.values()))["setting"]:
            runs.setdefault(run["way"], run)
    return runs


@torch.inference_mode()
def gap(models, tokenizer, prompt: str, candidate, text: str, other: str) -> tuple[float, float]:
    """Return how far the logits of the two tokens are apart where two texts part: in steps, and in float32."""
    ends = end_token_ids(models[0], tokenizer)
    a, b = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (text, other))
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    ids = torch.tensor([tokenizer(prompt)["input_ids"] + a[:same]])
    found = []
    for model in models:
        with prune_heads(model, [candidate]):
            logits = model(input_ids=ids, logits_to_keep=1).logits[0, -1].float()
        found.append([logits[tokens[same]] if same < len(tokens) else logits[ends].max() for tokens in (a, b)])
    apart, exact = ((x - y).abs().item() for x, y in found)
    return apart / step(max(map(abs, found[0])), models[0].dtype), exact


def step(value: torch.Tensor, dtype: torch.dtype) -> float:
    """Return the distance of a value's neighbours in a type."""
    return torch.finfo(dtype).eps * 2.0 ** torch.frexp(value.abs())[1].sub(1).item()


def summary(gaps: list[tuple[float, float]]) -> list[str]:
    if not gaps:
        return ["", "", "", ""]
    steps, exact = zip(*gaps, strict=True)
    return [
        str(sum(s <= 1 for s in steps)),
        str(sum(s <= 4 for s in steps)),
        f"{max(steps):.0f}",
        f"{statistics.median(exact):.3f}, {max(exact):.3f}",
    ]


if __name__ == "__main__":
    main()
