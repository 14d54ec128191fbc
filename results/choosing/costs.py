"""What each method of docs/choosing.md costs: `sprint-lmeval score` on 500 x 16 responses, one method a process.

    python results/choosing/costs.py FOLDER     # FOLDER: of `choosing.py tiny FOLDER`; writes costs.json here
    python results/choosing/costs.py            # rewrites the table of docs/choosing.md
    python results/choosing/costs.py --check    # exit status 1 where the table is not what costs.json says

Seconds are those of the processor, which other work on the machine does not change much. `reward` and `prm` read the
responses with a model of random weights in the embedded model's shape: its cost is real, its verdicts are not.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sprint_lmeval.runs.safe_text import table_text

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "choosing.md"
KEPT = HERE / "costs.json"
START, END = "<!-- made by results/choosing/costs.py -->", "<!-- end of costs -->"
MODEL = ("--model_args", "pretrained=tiny")
WAYS = {  # `--with` -> its options; JUDGE, REWARD and STEPS stand for folders
    "majority": (),
    "rpc": MODEL,
    "confidence": MODEL,
    "confidence16": MODEL,
    "reward": ("--reward-model", "REWARD"),
    "prm": ("--reward-model", "STEPS"),
    "deepprune": ("--judge", "JUDGE"),
    "slimsc": (),
    "agree4,asc,asc0.8,esc,lossless": (),
    "checked": (),
}


def measure(runs: Path) -> None:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folders = {"JUDGE": str(runs.resolve() / "judge"), **random_models(place)}
        for way, options in WAYS.items():
            shutil.copytree(runs / "sample", place / "sample", ignore=shutil.ignore_patterns("scores*", "likeli*"))
            seconds, megabytes = cost(["--with", way, *(folders.get(option, option) for option in options)], place)
            found[way] = {"cpu_seconds": round(seconds, 1), "megabytes": round(megabytes)}
            print(way, found[way], flush=True)
            shutil.rmtree(place / "sample")
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    KEPT.write_text(json.dumps({"machine": machine, "ways": found}, indent=1) + "\n", encoding="utf-8")


def cost(options: list[str], place: Path) -> tuple[float, float]:
    """Return processor seconds and most megabytes of one command, its workers' seconds included."""
    command = [str(Path(sys.executable).with_name("sprint-lmeval")), "score", "sample", *options]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit status {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def random_models(place: Path) -> dict[str, str]:
    """Write reward models of random weights, of a response and of its steps, in the embedded model's shape."""
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
    )

    from sprint_lmeval.tiny import MODEL_FOLDER

    kinds = {"REWARD": (AutoModelForSequenceClassification, 1), "STEPS": (AutoModelForTokenClassification, 2)}
    for name, (kind, labels) in kinds.items():
        config = AutoConfig.from_pretrained(MODEL_FOLDER, num_labels=labels)
        kind.from_config(config).save_pretrained(place / name)
        AutoTokenizer.from_pretrained(MODEL_FOLDER).save_pretrained(place / name)
    return {name: str(place / name) for name in kinds}


def page() -> str:
    """Return docs/choosing.md with the table made anew."""
    text, kept = PAGE.read_text(encoding="utf-8"), json.loads(KEPT.read_text(encoding="utf-8"))
    lines = [["`--with`", "processor seconds", "memory, MB"]]
    lines += [[f"`{way}`", f"{of['cpu_seconds']:.0f}", f"{of['megabytes']}"] for way, of in kept["ways"].items()]
    before, after = text.partition(START)[0], text.partition(END)[2]
    return f"{before}{START}\n\n{table_text(lines)}\n\n{END}{after}"


def main(given: list[str]) -> int:
    if given and given != ["--check"]:
        measure(Path(given[0]))
        return 0
    new = page()
    if given:
        same = new == PAGE.read_text(encoding="utf-8")
        print(f"docs/choosing.md, costs: {'is what' if same else 'differs from'} costs.json{' says' if same else ''}")
        return int(not same)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
