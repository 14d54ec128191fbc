"""Which models can be pruned, and how exactly: a Markdown table.

In: nothing, or folders of pretrained models (`name=folder`). Out: for each model, the largest difference between logits
of rows pruned by `prune_heads` and of the same rows with weights zeroed by hand, over every head of every layer.

    python -m benchmarks.architectures SmolLM2-135M-Instruct=FOLDER --dtype float32 --dtype bfloat16
"""

import argparse
from collections.abc import Iterator

import torch
import transformers
from torch import nn

from benchmarks.tiny_architectures import TINY, tiny_model
from sprint_lmeval.candidates import Candidate
from sprint_lmeval.pruning.heads import HeadLayout, head_layout, text_config
from sprint_lmeval.pruning.self_test import SelfTest, compare

ROWS = 14  # candidates in one batch; an unpruned row stands before and after them

HEADER = """\
# Architectures

Every head of every layer is pruned once, {rows} in a batch, each on a row of its own, and compared with the same batch
whose output projection's columns for that head were set to zero by hand. Figures are the largest absolute differences
between logits. *Effect* is what pruning changes (the largest over all heads), to compare the other figures with.
*Other rows* are unpruned rows of the same batch. *Undone*: the model computes the same afterwards, bit for bit.

Made by `python -m benchmarks.architectures` with torch {torch} and transformers {transformers}, on {device}.
"""
FOOTER = """
## What is refused

`head_layout` finds the heads by structure, so families that are not in the table may work as well; the self-test at
load decides. These are refused by the name of their architecture:

- encoder-decoders (T5, BART, also BART's decoder alone) and encoders (BERT);
- state-space and recurrent models (Mamba, RWKV), and hybrids in which some layers have no such heads (Jamba,
  RecurrentGemma, Qwen3-Next, Qwen3.5): the same depth would not mean the same there;
- models whose projection does not take one slice for each head: one that subtracts heads from each other (DiffLlama),
  and those that normalise all heads together first (BitNet, MiniMax);
- BLOOM with `pretraining_tp` above 1 and `slow_but_exact`, which multiplies slices of the weight itself (found by the
  self-test).

Inside a pruned block what `torch.compile` compiled runs uncompiled, since compiled code does not see later hooks.
Models split by tensor parallelism are not supported.
"""
COLUMNS = ("model", "weights", "type", "layers x heads", "key heads", "head_dim", "hidden", "effect")
COLUMNS += ("to zeroed weights", "other rows", "undone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="NAME=FOLDER", help="pretrained models, beside the random ones")
    parser.add_argument("--dtype", action="append", help="for the pretrained ones (default: float32), may be repeated")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    versions = {"torch": torch.__version__.partition("+")[0], "transformers": transformers.__version__}
    device = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else arguments.device.upper()
    print(HEADER.format(rows=ROWS, device=device, **versions))
    print(_line(COLUMNS))
    print(_line(["---"] * len(COLUMNS)))
    for row in _rows(arguments):
        print(_line(row), flush=True)
    print(FOOTER, end="")


def _line(cells) -> str:
    return "| " + " | ".join(cells) + " |"


def _rows(arguments: argparse.Namespace) -> Iterator[list[str]]:
    for name in TINY:
        yield _measured(name, "random", tiny_model(name).to(arguments.device))
    for model in arguments.models:
        name, _, folder = model.rpartition("=")
        for dtype in arguments.dtype or ["float32"]:
            loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
            yield _measured(name or "model", "pretrained", loaded.to(arguments.device).eval())


def _measured(name: str, weights: str, model: nn.Module) -> list[str]:
    layout = head_layout(model)
    with torch.no_grad():
        results = list(_results(model, layout))
    config = text_config(model.config)
    dims = sorted({layer.head_dim for layer in layout.layers})
    return [
        f"{name} (`{layout.architecture}`)",
        weights,
        str(next(model.parameters()).dtype).removeprefix("torch."),
        f"{len(layout.layers)} x {max(layer.heads for layer in layout.layers)}",
        str(_key_heads(config)),
        "/".join(map(str, dims)),
        str(config.hidden_size),
        f"{max(result.effect for result in results):.2g}",
        f"{max(result.difference for result in results):.2g}",
        f"{max(result.other_rows for result in results):.2g}",
        "yes" if all(result.afterwards == 0 for result in results) else "no",
    ]


def _results(model: nn.Module, layout: HeadLayout) -> Iterator[SelfTest]:
    heads = [(number, head) for number, layer in enumerate(layout.layers) for head in range(layer.heads)]
    for start in range(0, len(heads), ROWS):
        yield compare(model, layout, [Candidate((head,)) for head in heads[start : start + ROWS]])[0]


def _key_heads(config: object) -> int:
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        return 1
    names = ("num_key_value_heads", "num_kv_heads")
    return next((getattr(config, name) for name in names if getattr(config, name, None)), config.num_attention_heads)


if __name__ == "__main__":
    main()
