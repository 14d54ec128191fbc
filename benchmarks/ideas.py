"""What each idea of fast decoding brings: the time and memory with everything, and with one idea left out at a time.

    python -m benchmarks.ideas --questions 60                  # options as those of benchmarks.generation
    python -m benchmarks.ideas --leave-out drafts --leave-out refilling --results FILE      # only these; resumes

Each variant runs in a process of its own, in turns, `--repeats` times; medians, as ratios to everything together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from contextlib import nullcontext

from benchmarks import generation

NOTHING = "nothing"


def main() -> None:
    parser = generation.parser()
    parser.add_argument("--leave-out", choices=IDEAS, action="append", help="an idea, repeatable; all of them if none")
    parser.add_argument("--without", choices=(NOTHING, *IDEAS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ways != generation.WAYS:
        parser.error("--ways is an option of benchmarks.generation: leave it out")
    if options.without:
        IDEAS.get(options.without, lambda: None)()
        options.only = "ours"
        print(json.dumps(generation.measured(options)))
        return
    runs = generation.finished(options, (NOTHING, *(options.leave_out or IDEAS)))
    for turn in range(options.repeats):
        for idea, of_idea in runs.items():
            if len(of_idea) > turn:
                continue
            of_idea.append(in_a_process(idea))
            print(f"{turn + 1}. without {idea}: {of_idea[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
            if options.results:
                generation.note(options.results, {"setting": generation.setting(options), "way": idea} | of_idea[-1])
    print(table(runs))


def in_a_process(idea: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.ideas", *sys.argv[1:], "--without", idea]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(output.splitlines()[-1])


def table(runs: dict[str, list[dict]]) -> str:
    def median(idea: str, what: str) -> float:
        return statistics.median(run[what] for run in runs[idea])

    lines = ["| left out | seconds | time | peak memory, MB | other texts |", "|---|---|---|---|---|"]
    for idea in runs:
        pairs = zip(runs[idea][0]["texts"], runs[NOTHING][0]["texts"], strict=True)
        seconds = median(idea, "seconds")
        lines.append(
            f"| {idea} | {seconds:.1f} | "
            f"{seconds / median(NOTHING, 'seconds'):.2f}x | {median(idea, 'memory') / 1e6:.0f} | "
            f"{sum(a != b for a, b in pairs)} |"
        )
    return "\n".join(lines)


# ---- each of these leaves one idea out, in a process that ends with the measurement ----


def without_drafts() -> None:
    """Verify no drafts from other answers."""
    from sprint_lmeval.generation.fast.scheduler import Scheduler

    Scheduler._drafts = lambda self: [([], [])] * len(self.active)


def without_reference_answers() -> None:
    """Let no row read along a reference answer."""
    from sprint_lmeval.generation.fast.in_flight import PromptGroup

    PromptGroup.first_cohort = PromptGroup.next_cohort


def without_shared_layers() -> None:
    """Compute the layers below the pruned one for each row."""
    from sprint_lmeval.generation.fast.shared_prefill import SharedPrefill

    SharedPrefill._layer_of = lambda self, group, rows: None


def without_shared_heads() -> None:
    """Compute all heads of the pruned layer for each row."""
    from sprint_lmeval.generation.fast import probe

    probe._count = lambda *given: 0


def without_shared_passes() -> None:
    """Read one prompt in a pass."""
    from sprint_lmeval.generation.fast.shared_prefill import SharedPrefill

    SharedPrefill.fits_together = lambda self, cohorts: len(cohorts) == 1


def without_refilling() -> None:
    """Fill slots only when all are free."""
    from sprint_lmeval.generation.fast.scheduler import Scheduler

    filled = Scheduler._filled
    Scheduler._filled = lambda self: iter(()) if self.active else filled(self)


def without_logits_in_parts() -> None:
    """Have no larger passes than those whose logits have room."""
    from sprint_lmeval.generation.fast.forward import Passes

    Passes.head = lambda passes: None


def without_grouped_attention() -> None:
    """Use the model's own attention, which copies keys and values for each head."""
    from sprint_lmeval.generation.fast import forward

    forward.grouped = lambda model: nullcontext()


def without_releasing_memory() -> None:
    """Keep free memory and kernels of old shapes."""
    import os

    os.environ |= {"LRU_CACHE_CAPACITY": "1024", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"}
    from sprint_lmeval.generation.fast import forward

    forward.release_free_memory = lambda: None


IDEAS = {
    "drafts": without_drafts,
    "reference-answers": without_reference_answers,
    "shared-layers": without_shared_layers,
    "shared-heads": without_shared_heads,
    "shared-passes": without_shared_passes,
    "refilling": without_refilling,
    "logits-in-parts": without_logits_in_parts,
    "grouped-attention": without_grouped_attention,
    "releasing-memory": without_releasing_memory,
}

if __name__ == "__main__":
    main()
