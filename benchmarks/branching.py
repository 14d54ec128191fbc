"""N branches of each question against N samples of the same questions, in one process.

    python -m benchmarks.branching                        # embedded model, 200 questions, N = 16
    python -m benchmarks.branching --questions 20 --repeats 1

Medians over interleaved repeats, greedy answers and the choice of branches included: seconds of the clock and of the
processor, and tokens computed, which depend on no load. Measure with nothing else running.
"""

import argparse
import statistics
import time

from lm_eval.api.instance import Instance

from sprint_lmeval.generation.account import Account
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.tiny.problems import problems

SAMPLED = {"temperature": 0.9, "do_sample": True}
WAYS = {  # name -> model arguments, generation settings
    "sample": ({"strategy": "sample"}, SAMPLED),
    "branch, prefix": ({"strategy": "branch", "priority": "prefix"}, {}),
    "branch, ratio": ({"strategy": "branch", "priority": "ratio"}, {}),
}


def main() -> None:
    options = parsed()
    shared = {"pretrained": options.model, "device": options.device, "dtype": options.dtype}
    models = {name: HFPrunedBestOfN(**shared, **arguments) for name, (arguments, _) in WAYS.items()}
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in models}
    for repeat in range(options.repeats + 1):
        for name, model in models.items():
            asked = requests(options.questions if repeat else 4, options, WAYS[name][1])
            model._account = Account()
            start = time.perf_counter(), time.process_time()
            model.generate_until(asked, disable_tqdm=True)
            took = time.perf_counter() - start[0], time.process_time() - start[1]
            if repeat:  # the first round warms up
                measured[name].append((*took, model._account.computed, model._account.written / len(asked)))
    medians = {name: [statistics.median(of) for of in zip(*runs, strict=True)] for name, runs in measured.items()}
    for name, (clock_s, processor_s, computed, written) in medians.items():
        shares = [a / b for a, b in zip(medians[name], medians["sample"], strict=True)]
        print(
            f"{name:<14} {clock_s:7.2f} s ({shares[0]:.2f})  processor {processor_s:7.2f} s ({shares[1]:.2f})  "
            f"{computed:8.0f} tokens computed ({shares[2]:.2f})  {written:5.1f} new a response"
        )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--new-tokens", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def requests(questions: int, options: argparse.Namespace, settings: dict) -> list[Instance]:
    settings = {"until": ["\nQuestion:"], "max_gen_toks": options.new_tokens, **settings}
    asked = []
    for number, problem in enumerate(problems("train")[:questions]):
        arguments, metadata = (problem.prompt, settings), ("benchmark", number, options.n)
        asked += [Instance("generate_until", {"question": problem.question}, arguments, 0, metadata)] * options.n
    return asked


if __name__ == "__main__":
    main()
