"""What the pruning mask costs: the same batch generated with and without it, in turn.

In: a model folder (default: the embedded model). Out: median times and the median ratio of neighbouring runs, of the
clock and of the processor time (on a CPU that others use too, the second is the one to trust).

    python -m benchmarks.pruning_mask --model FOLDER --rows 16 --new-tokens 64 --repeats 11
"""

import argparse
import time
from contextlib import AbstractContextManager, nullcontext
from statistics import median

import torch
import transformers
from torch import nn

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.pruning.heads import HeadLayout, head_layout
from sprint_lmeval.pruning.hooks import prune_heads
from sprint_lmeval.tiny import MODEL_FOLDER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default=str(MODEL_FOLDER), help="a folder (default: the embedded model)")
    parser.add_argument("--name", help="what to call the model in the output (default: its architecture)")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=11, help="pairs of runs (default: %(default)s)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=getattr(torch, arguments.dtype))
    model = model.to(arguments.device).eval()
    layout = head_layout(model)
    plain, pruned = _measured(model, layout, arguments)
    wall, cpu = (_ratio([run[clock] for run in plain], [run[clock] for run in pruned]) for clock in (0, 1))
    print(
        f"{arguments.name or layout.architecture}, {arguments.dtype}, {arguments.device}, {arguments.rows} rows, "
        f"{arguments.new_tokens} new tokens, {arguments.repeats} pairs: "
        f"{median(run[0] for run in plain):.3f} s without, {median(run[0] for run in pruned):.3f} s with the mask, "
        f"median ratio {wall:.3f} (processor time {cpu:.3f})"
    )


def _ratio(before: list[float], after: list[float]) -> float:
    return median(second / first for first, second in zip(before, after, strict=True))


def _measured(
    model: nn.Module, layout: HeadLayout, arguments: argparse.Namespace
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """(Clock, processor) seconds of each run without and with the mask; the two take turns in going first."""
    torch.manual_seed(0)
    tokens = torch.randint(10, model.config.vocab_size, (arguments.rows, arguments.prompt_tokens))
    tokens = tokens.to(arguments.device)
    candidates = _candidates(layout, arguments.rows)
    seconds: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for repeat in range(-1, arguments.repeats):  # the first pair warms up
        for masked in (False, True) if repeat % 2 else (True, False):
            context = prune_heads(model, candidates, layout) if masked else nullcontext()
            taken = _seconds(model, context, tokens, arguments.new_tokens)
            if repeat >= 0:
                seconds[masked].append(taken)
    return seconds


def _candidates(layout: HeadLayout, rows: int) -> list[Candidate]:
    """One head for each row, over five layers spread through the model, as an evaluation has them."""
    layers = [int(depth * len(layout.layers) / 28) for depth in (5, 10, 15, 20, 25)]
    return [Candidate(((layers[row % 5], row // 5 % layout.layers[layers[row % 5]].heads),)) for row in range(rows)]


def _seconds(
    model: nn.Module, context: AbstractContextManager, tokens: torch.Tensor, new_tokens: int
) -> tuple[float, float]:
    if tokens.device.type == "cuda":
        torch.cuda.synchronize()
    start = (time.perf_counter(), time.process_time())
    with context, torch.inference_mode():
        mask = torch.ones_like(tokens)
        model.generate(
            tokens, attention_mask=mask, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False
        )
    if tokens.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start[0], time.process_time() - start[1]


if __name__ == "__main__":
    main()
