"""Every fault, and a table of what was tried, survived and lost.

    python -m tests_faults              # 50 kills and the rest: at most 12 minutes on two cores
    python -m tests_faults --short      # a few of each

Exit status 1 where an answer was lost, changed or doubled, or something did not end as it should.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

from tests_faults import disks, fuzz, hostile, kills, signals, stores, workers
from tests_faults.outcome import Outcome


def outcomes(short: bool, seed: int):
    """Yield each fault's outcome; those that copy this process come before those that start grader workers in it."""
    yield kills.kills(4 if short else 50, seed)
    yield signals.signals(("SIGTERM",) if short else ("Ctrl-C", "SIGTERM", "SIGHUP"))
    yield disks.full_disk()
    yield disks.read_only_disk()
    yield stores.flipped_bits(60 if short else 600, seed)
    yield stores.torn_writes(40 if short else 400, seed)
    yield stores.writers(2)
    yield stores.writers(8)
    yield workers.paused_job(1)
    yield workers.killed(1 if short else 4)
    yield workers.stopped(1)
    yield workers.starved(1)
    yield from fuzz.fuzz(30 if short else 300, seed)
    outcome, worst = hostile.hostile(8 if short else 40, seed)
    yield outcome
    for name, most in worst.items():
        print(f"  worst of {name}: {most.seconds:.1f} s, {most.megabytes:.0f} MB", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests_faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="a few of each")
    parser.add_argument("--seed", type=int, default=0, help="of moments, bits and inputs (default 0)")
    options = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # a warning for every damaged file would hide the table
    before, found = time.monotonic(), []
    for outcome in outcomes(options.short, options.seed):
        print(_line(outcome), flush=True)
        for failure in outcome.failures[:5]:
            print(f"  {failure}", flush=True)
        found.append(outcome)
    failed = [outcome.name for outcome in found if outcome.failures or outcome.lost]
    seconds, tried = time.monotonic() - before, sum(outcome.tried for outcome in found)
    print(f"{tried} faults in {seconds:.0f} s; failed: {', '.join(failed) or 'none'}")
    return bool(failed)


def _line(outcome: Outcome) -> str:
    counts = f"tried {outcome.tried}, survived {outcome.survived}, lost {outcome.lost}"
    return f"{outcome.name}: {counts}" + (f" ({outcome.said})" if outcome.said else "")


if __name__ == "__main__":
    sys.exit(main())
