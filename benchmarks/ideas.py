"""What each idea of fast decoding brings: the time and memory with everything, and with one idea left out at a time.

    python -m benchmarks.ideas --questions 60                  # options as those of benchmarks.generation

Each variant runs in a process of its own, in turns, `--repeats` times; medians, as ratios to everything together.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from contextlib import nullcontext

from benchmarks import generation

EVERYTHING = "everything"


def main() -> None:
    parser = generation.parser()
    parser.add_argument("--idea", choices=(EVERYTHING, *IDEAS), help="measure the variant without it")
    options = parser.parse_args()
    if options.results or options.ways != generation.WAYS:
        parser.error("--results and --ways are options of benchmarks.generation: leave them out")
    if options.idea:
        IDEAS.get(options.idea, lambda: None)()
        options.only = "ours"
        print(json.dumps(generation.measured(options)))
        return
    runs: dict[str, list[dict]] = {idea: [] for idea in (EVERYTHING, *IDEAS)}
    for _ in range(options.repeats):
        for idea in runs:
            runs[idea].append(in_a_process(idea))
            print(f"{idea}: {runs[idea][-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    print(table(runs))


def in_a_process(idea: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.ideas", *sys.argv[1:], "--idea", idea]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(output.splitlines()[-1])


def table(runs: dict[str, list[dict]]) -> str:
    def median(idea: str, what: str) -> float:
        return statistics.median(run[what] for run in runs[idea])

    lines = ["| left out | seconds | time | peak memory, MB | other texts |", "|---|---|---|---|---|"]
    for idea in runs:
        pairs = zip(runs[idea][0]["texts"], runs[EVERYTHING][0]["texts"], strict=True)
        seconds = median(idea, "seconds")
        lines.append(
            f"| {'nothing' if idea == EVERYTHING else idea} | {seconds:.1f} | "
            f"{seconds / median(EVERYTHING, 'seconds'):.2f}x | {median(idea, 'memory') / 1e6:.0f} | "
            f"{sum(a != b for a, b in pairs)} |"
        )
    return "\n".join(lines)


# ---- each of these leaves one idea out, in a process that ends with the measurement ----


def without_drafts() -> None:
    from sprint_lmeval.generation.fast.scheduler import Scheduler

    Scheduler._drafts = lambda self: [([], [])] * len(self.active)


def without_the_price_of_keys() -> None:
    from sprint_lmeval.generation.fast.device_limits import DeviceLimits

    DeviceLimits.overhead = lambda limits, read_bytes: limits.free_tokens


def without_reference_answers() -> None:
    from sprint_lmeval.generation.fast.in_flight import PromptGroup

    PromptGroup.first_cohort = PromptGroup.next_cohort


def without_shared_layers() -> None:
    from sprint_lmeval.generation.fast.shared_prefill import SharedPrefill

    SharedPrefill._layer_of = lambda self, group, rows: None


def without_shared_heads() -> None:
    from sprint_lmeval.generation.fast import probe

    probe._count = lambda *given: 0


def without_shared_passes() -> None:
    from sprint_lmeval.generation.fast.shared_prefill import SharedPrefill

    SharedPrefill.fits_together = lambda self, cohorts: len(cohorts) == 1


def without_refilling() -> None:
    from sprint_lmeval.generation.fast.scheduler import Scheduler

    filled = Scheduler._filled
    Scheduler._filled = lambda self: iter(()) if self.active else filled(self)


def without_stragglers() -> None:
    from sprint_lmeval.generation.fast.scheduler import Scheduler

    Scheduler._may_set_aside = lambda self, rows: False


def without_pieces_of_the_head() -> None:
    from sprint_lmeval.generation.fast.forward import Passes

    Passes.head = lambda passes: None


def without_grouped_attention() -> None:
    from sprint_lmeval.generation.fast import forward

    forward.grouped = lambda model: nullcontext()


def without_releasing_memory() -> None:
    import os

    os.environ |= {"LRU_CACHE_CAPACITY": "1024", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"}
    from sprint_lmeval.generation.fast import forward

    forward.release_free_memory = lambda: None


IDEAS = {
    "drafts from other answers": without_drafts,
    "longer drafts where keys and values take longer to read": without_the_price_of_keys,
    "a reference answer that others read along": without_reference_answers,
    "lower layers computed once": without_shared_layers,
    "heads of the pruned layer computed once": without_shared_heads,
    "several prompts in one prefill pass": without_shared_passes,
    "free slots refilled at once": without_refilling,
    "stragglers set aside": without_stragglers,
    "output head in pieces": without_pieces_of_the_head,
    "attention without copied keys": without_grouped_attention,
    "free memory and old kernels given back": without_releasing_memory,
}

if __name__ == "__main__":
    main()
