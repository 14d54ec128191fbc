"""Throughput of vLLM with pruned heads as adapters, against the same requests of the unpruned model, in one process.

    python -m benchmarks.vllm_adapters [MODEL] [--requests 64] [--new-tokens 64] [--dtype bfloat16] [--every-layer]

In the environment of `make test-vllm`. In: prompts of random words, `--heads` different heads in flight. Out: tokens
per second, median of `--rounds` rounds, and the ratios. The engine with adapters also serves the unpruned requests
(what its adapter code costs without one), and a second engine without LoRA is plain vLLM.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "900")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="tiny")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--every-layer", action="store_true", help="adapter code in every layer, not in those pruned")
    parser.add_argument("--results", type=Path, help="file to which the rates are added as a line of JSON")
    options = parser.parse_args()
    print(f"{options.model}: {options.requests} requests of {options.prompt_tokens} tokens, {options.new_tokens} new")
    with tempfile.TemporaryDirectory() as folder:
        with_adapters = measured(options, adapters(options, Path(folder)))
    plain = measured(options, None)
    print(f"plain vLLM: {plain['unpruned']:.0f} tokens/s")
    for name, rate in with_adapters.items():
        print(f"with LoRA, {name}: {rate:.0f} tokens/s, {rate / plain['unpruned']:.2f} of plain")
    if options.results:
        rates = {"plain": plain["unpruned"], **{f"LoRA, {name}": rate for name, rate in with_adapters.items()}}
        with options.results.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"options": vars(options) | {"results": None}, "tokens_per_s": rates}) + "\n")


def adapters(options, folder: Path) -> dict:
    """Write adapters of heads spread over the layers; returns vLLM's arguments and the folders."""
    from sprint_lmeval.adapters.cache import AdapterCache
    from sprint_lmeval.adapters.maker import AdapterMaker
    from sprint_lmeval.strategies.head_lists import spread_candidates

    maker = AdapterMaker(options.model)
    heads = spread_candidates([layer.heads for layer in maker.layout.layers])[: options.heads]
    cache = AdapterCache(maker, heads, str(folder))
    arguments = cache.engine_arguments({"max_loras": len(heads)})
    if options.every_layer:
        arguments["lora_target_modules"] = list(maker.layout.names)
    return {"arguments": arguments, "paths": [cache.path(head) for head in heads]}


def measured(options, lora: dict | None) -> dict[str, float]:
    """Start one engine; returns tokens per second of each kind of request."""
    from vllm import LLM
    from vllm.lora.request import LoRARequest

    from sprint_lmeval.checkpoints.pretrained import resolve_pretrained

    engine = LLM(
        model=resolve_pretrained(options.model),
        dtype=options.dtype,
        max_num_batched_tokens=512,
        max_model_len=options.prompt_tokens + options.new_tokens,
        max_num_seqs=options.requests,
        enable_prefix_caching=False,
        **(lora["arguments"] if lora else {}),
    )
    found = [LoRARequest(path.name, i, str(path)) for i, path in enumerate(lora["paths"], 1)] if lora else []
    kinds = {"unpruned": [None]}
    if found:
        kinds |= {"one head": found[:1], f"{len(found)} heads": found}
    rates = {name: [] for name in kinds}
    for number in range(options.rounds + 1):  # the first round is not counted
        for name, requests in kinds.items():
            rate = tokens_per_second(engine, options, requests, number)
            if number:
                rates[name].append(rate)
    engine.llm_engine.engine_core.shutdown()  # else it stays beside the next one, and the process does not end
    return {name: statistics.median(values) for name, values in rates.items()}


def tokens_per_second(engine, options, adapters: list, seed: int) -> float:
    from vllm import SamplingParams, TokensPrompt

    draw = random.Random(seed)
    prompts = [[draw.randrange(10, 500) for _ in range(options.prompt_tokens)] for _ in range(options.requests)]
    parameters = SamplingParams(temperature=0, max_tokens=options.new_tokens, ignore_eos=True, detokenize=False)
    turns = [adapters[i % len(adapters)] for i in range(options.requests)]
    started = time.perf_counter()
    outputs = engine.generate(
        [TokensPrompt(prompt_token_ids=ids) for ids in prompts], parameters, lora_request=turns, use_tqdm=False
    )
    seconds = time.perf_counter() - started
    return sum(len(output.outputs[0].token_ids) for output in outputs) / seconds


if __name__ == "__main__":
    main()
