"""What a model's fingerprint costs for each GB of its files: the first time, and while the hash is kept.

    python -m benchmarks.fingerprint [FOLDER] [--gb 1] [--rounds 3]

Writes a file of random bytes into FOLDER (default: the current one), hashes it `--rounds` times without and with the
kept hash, and prints the medians. Hashes are kept in a temporary folder; the minute's rest is not waited for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from sprint_lmeval.checkpoints import fingerprint
from sprint_lmeval.checkpoints.fingerprint import file_sha256

CHUNK = 1 << 24


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=".")
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        weights = Path(folder) / "model.safetensors"
        with weights.open("wb") as stream:
            for _ in range(round(options.gb * 1e9 / CHUNK)):
                stream.write(os.urandom(CHUNK))
        gb = weights.stat().st_size / 1e9
        first, processor = median_seconds(weights, options.rounds)
        fingerprint.REST_NS = -1
        file_sha256(str(weights))
        kept, _ = median_seconds(weights, options.rounds)
    print(f"{gb:.2f} GB: {first / gb:.2f} s for each GB ({processor / gb:.2f} s of a processor)")
    print(f"{kept * 1e3:.2f} ms for a file whose hash is kept")


def median_seconds(weights: Path, rounds: int) -> tuple[float, float]:
    """Return the seconds of one fingerprint, by the clock and of the processor."""
    found = []
    for _ in range(rounds):
        started = time.perf_counter(), time.process_time()
        file_sha256(str(weights))
        found.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    return statistics.median(wall for wall, _ in found), statistics.median(processor for _, processor in found)


if __name__ == "__main__":
    main()
