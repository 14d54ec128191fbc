"""N pruned candidates against the harness's own `hf` model asked for N repeats, at the same batch size.

    python -m benchmarks.against_hf                       # embedded model
    python -m benchmarks.against_hf --model FOLDER --dtype bfloat16 --questions 4 --new-tokens 128

Every row writes exactly --new-tokens tokens in both. Medians over interleaved repeats; a ratio of at most 1 means that
`hf-pruned-bon` is no slower. Measure with nothing else running.
"""

import argparse
import statistics
import time

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from sprint_lmeval.checkpoints.pretrained import resolve_pretrained
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.tiny.problems import problems


def main() -> None:
    options = parsed()
    shared = {
        "pretrained": resolve_pretrained(options.model),
        "device": options.device,
        "batch_size": options.batch_size,
        "dtype": options.dtype,
    }
    models = {"hf": HFLM(**shared), "hf-pruned-bon": HFPrunedBestOfN(**shared, strategy="spread")}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(options.repeats + 1):
        for name, model in models.items():
            taken = timed(model, requests(options))
            if repeat:  # the first round warms up
                seconds[name].append(taken)
    report(options, {name: statistics.median(times) for name, times in seconds.items()})


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def requests(options: argparse.Namespace) -> list[Instance]:
    tokens = options.new_tokens
    settings = {"until": ["\nQuestion:"], "max_gen_toks": tokens, "min_new_tokens": tokens, "do_sample": False}
    asked = []
    for number, problem in enumerate(problems("train")[: options.questions]):
        arguments, metadata = (problem.prompt, dict(settings)), ("benchmark", number, options.candidates)
        instance = Instance("generate_until", {"question": problem.question}, arguments, 0, metadata)
        asked += [instance] * options.candidates
    return asked


def timed(model: HFLM, asked: list[Instance]) -> float:
    start = time.perf_counter()
    model.generate_until(asked, disable_tqdm=True)
    return time.perf_counter() - start


def report(options: argparse.Namespace, medians: dict[str, float]) -> None:
    tokens = options.questions * options.candidates * options.new_tokens
    for name, seconds in medians.items():
        print(f"{name:<14} {seconds:7.2f} s  {tokens / seconds:8.0f} tokens/s")
    print(f"hf-pruned-bon / hf: {medians['hf-pruned-bon'] / medians['hf']:.3f} ({options.candidates} candidates each)")


if __name__ == "__main__":
    main()
