"""Adapters made per second, and the memory that it takes beside the model's largest file.

    python -m benchmarks.adapters [MODEL] [--rounds 3]

Writes the adapter of every head of the model into an empty folder, `--rounds` times. Prints the median, and the
process's memory before (Python and its libraries) and at its highest.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

from sprint_lmeval.adapters.maker import AdapterMaker, make_adapters
from sprint_lmeval.candidates import Candidate
from sprint_lmeval.checkpoints.fingerprint import weight_files


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="tiny")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    maker = AdapterMaker(options.model)
    heads = [
        Candidate(((number, head),)) for number, layer in enumerate(maker.layout.layers) for head in range(layer.heads)
    ]
    before_mb = highest_mb()
    rates = [len(heads) / seconds(maker, heads) for _ in range(options.rounds)]
    largest_mb = max(Path(file).stat().st_size for file in weight_files(maker.name)) / 1e6
    print(f"{len(heads)} adapters of rank {maker.rank(heads)}: {statistics.median(rates):.0f} per second")
    print(f"memory: {before_mb:.0f} MB before, {highest_mb():.0f} MB at most; the largest file has {largest_mb:.0f} MB")


def seconds(maker: AdapterMaker, heads: list[Candidate]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        made = [new for _, new in make_adapters(maker, heads, Path(folder), maker.rank(heads))]
        assert all(made), "an empty folder gets every adapter anew"
        return time.perf_counter() - started


def highest_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
