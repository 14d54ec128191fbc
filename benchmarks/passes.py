"""What a pass costs on this machine: milliseconds by number of rows, and the overhead that fits them, in tokens.

    python -m benchmarks.passes MODEL [--dtype bfloat16]

`device_limits.limits_of` says what the decoder takes for the overhead. Where that is far too high it computes tokens
that it throws away, where it is far too low it waits for the weights.
"""

import argparse
import time

import torch
from transformers import AutoModelForCausalLM

from sprint_lmeval.checkpoints.pretrained import resolve_pretrained
from sprint_lmeval.generation.fast.device_limits import limits_of

ROWS = (1, 8, 16, 32, 64, 128)
TRIES = 3


@torch.inference_mode()
def pass_s(model, rows: int) -> float:
    """Return the least seconds of a pass over rows of one token, output head included."""
    tokens, found = torch.full((rows, 1), 5), []
    for _ in range(TRIES):
        started = time.perf_counter()
        model(tokens, use_cache=False)
        found.append(time.perf_counter() - started)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.passes", description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="folder of a model, or tiny")
    parser.add_argument("--dtype", default="bfloat16")
    options = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(
        resolve_pretrained(options.model), dtype=getattr(torch, options.dtype)
    ).eval()
    seconds = {rows: pass_s(model, rows) for rows in ROWS}
    per_token = (seconds[64] - seconds[8]) / 56
    print("| rows | " + " | ".join(map(str, ROWS)) + " |\n|---|" + "---|" * len(ROWS))
    print("| ms | " + " | ".join(f"{1000 * s:.0f}" for s in seconds.values()) + " |")
    print(
        f"{1000 * per_token:.2f} ms a token; overhead {seconds[8] / per_token - 8:.0f} tokens, the decoder takes "
        f"{limits_of(model).free_tokens}; {torch.get_num_threads()} threads, AMX: "
        f"{bool(torch.cpu.get_capabilities().get('amx_bf16'))}"
    )


if __name__ == "__main__":
    main()
