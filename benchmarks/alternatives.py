"""What a pass computes, against other ways to compute the same: milliseconds on this machine, least of several tries.

    python -m benchmarks.alternatives [--dtype bfloat16] [--rows 64] [--positions 320] [--vocabulary 151936]

- attention of one layer over a cache with a mask: query heads of one key head grouped (ours), torch's `enable_gqa`,
  and keys copied for every query head, as transformers does it;
- the best token of each row: logits of all rows at once, or of few rows at a time (ours);
- a sample of each row: the distributions of all rows at once, or of few rows at a time (ours).
"""

import argparse
import random
import time

import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from sprint_lmeval.generation.fast.grouped_attention import grouped_attention
from sprint_lmeval.generation.fast.lm_head import OutputHead, first_best
from sprint_lmeval.generation.sampling import Multinomial, rows_at_once

TRIES = 7
LAYERS = 8  # with a cache each, so that a processor's own cache does not hold them
MEGABYTE = 1 << 20
LOGITS = (8, 16, 32, 96)  # MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--positions", type=int, default=320)
    parser.add_argument("--heads", type=int, default=14)
    parser.add_argument("--key-heads", type=int, default=2)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=151936)
    options = parser.parse_args()
    torch.manual_seed(0)
    print("| what | way | ms |\n|---|---|---|")
    with torch.inference_mode():
        for tokens in (1, 4):
            attention(options, tokens)
        best_tokens(options)
        samples(options)
    print(f"\n{options.rows} rows, {options.dtype}, {torch.get_num_threads()} threads")


def attention(options: argparse.Namespace, tokens: int) -> None:
    rows, heads, positions, dim = options.rows, options.heads, options.positions, options.head_dim
    dtype, group = getattr(torch, options.dtype), options.heads // options.key_heads
    keys, values = (torch.randn(LAYERS, rows, options.key_heads, positions, dim).to(dtype) for _ in range(2))
    query = torch.randn(rows, heads, tokens, dim).to(dtype)
    unread = torch.arange(positions) >= positions - torch.arange(rows)[:, None] % (positions // 4)
    mask = torch.zeros(rows, 1, tokens, positions, dtype=dtype)
    mask.masked_fill_(unread[:, None, None], torch.finfo(dtype).min)
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = group, False
    ways = {
        "grouped (ours)": lambda k, v: grouped_attention(module, query, k, v, mask),
        "enable_gqa": lambda k, v: scaled_dot_product_attention(query, k, v, mask, enable_gqa=True),
        "copied keys": lambda k, v: scaled_dot_product_attention(
            query, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), mask
        ),
    }
    for name, way in ways.items():
        show(f"attention, {tokens} tokens a row", name, lambda way=way: list(map(way, keys, values)), LAYERS)


def best_tokens(options: argparse.Namespace) -> None:
    head = torch.nn.Linear(options.heads * options.head_dim, options.vocabulary, bias=False)
    head = head.to(getattr(torch, options.dtype))
    states = torch.randn(options.rows, head.in_features).to(head.weight.dtype)
    show("best token", "all rows at once", lambda: first_best(linear(states, head.weight)))
    for size in LOGITS:
        few = OutputHead(head, size * MEGABYTE)
        show("best token", f"logits of {size} MB at a time", lambda few=few: few.best(states))


def samples(options: argparse.Namespace) -> None:
    logits = (4 * torch.randn(options.rows, options.vocabulary)).to(getattr(torch, options.dtype))
    numbers = [random.Random(row).random() for row in range(options.rows)]
    drawn = Multinomial(0.6)
    for name, most in (("all rows at once", options.rows), ("few rows at a time (ours)", rows_at_once(logits[:1]))):
        starts = range(0, options.rows, most)
        show(
            "sample",
            name,
            lambda starts=starts, most=most: [
                drawn.of(logits[start : start + most]).tokens(numbers[start : start + most]) for start in starts
            ],
        )


def show(what: str, name: str, run, times: int = 1) -> None:
    """Print the least milliseconds of one of `times` equal parts of a run."""
    found = []
    for _ in range(TRIES):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    print(f"| {what} | {name} | {min(found) * 1000 / times:.2f} |", flush=True)


if __name__ == "__main__":
    main()
