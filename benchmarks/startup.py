"""What the start-up hook costs: interpreter start with and without it, and `lm_eval ls tasks` with it on and off.

    python -m benchmarks.startup

Out: medians over alternating fresh processes, so that both sides see the same load, and their ratios: clock time of
the start, processor time of `lm_eval ls`, which is one long reading of files. The limits are 3 ms and 5 %.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).resolve().parents[1]
HOOK_FILES = ("sprint_lmeval_autoload.pth", "sprint_lmeval_autoload.start")
START_ROUNDS, LIST_ROUNDS = 101, 5


def bare_environment(folder: Path, with_hook: bool) -> Path:
    """Make an environment without packages that finds this package by path, and return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "_path.pth").write_text(f"{REPOSITORY}\n")
    for name in HOOK_FILES if with_hook else ():
        shutil.copy(REPOSITORY / "autoload" / name, site_packages)
    return folder / "bin" / "python"


def run_times(command: list, **environment: str) -> tuple[float, float]:
    """Run a command in a fresh process and return its seconds by the clock and of processor time."""
    environment = {**os.environ, **environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} ended with status {status}")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime


def alternating(without: Callable[[], float], with_hook: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Return the medians of both, measured in turns; one round before that fills the caches."""
    without(), with_hook()
    times = [(without(), with_hook()) for _ in range(rounds)]
    return median(a for a, _ in times), median(b for _, b in times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = bare_environment(Path(folder) / "plain", with_hook=False)
        hooked = bare_environment(Path(folder) / "hooked", with_hook=True)
        off, on = alternating(
            lambda: run_times([plain, "-c", "pass"])[0], lambda: run_times([hooked, "-c", "pass"])[0], START_ROUNDS
        )
    print(f"interpreter start: {off * 1e3:.2f} ms without, {on * 1e3:.2f} ms with the hook: +{(on - off) * 1e3:.2f} ms")
    listing = [sys.executable, "-m", "lm_eval", "ls", "tasks"]
    off, on = alternating(
        lambda: run_times(listing, SPRINT_LMEVAL_AUTOLOAD="0")[1], lambda: run_times(listing)[1], LIST_ROUNDS
    )
    print(f"lm_eval ls tasks:  {off:.2f} s without, {on:.2f} s with the hook: ratio {on / off:.3f}")


if __name__ == "__main__":
    main()
