"""Run docs/notebooks/tour.ipynb from top to bottom; an error in a cell ends it with that error.

python .ci/notebook.py             # writes what came out to output/tour.ipynb
python .ci/notebook.py --write     # and into the notebook itself, without what the cells said on stderr
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs/notebooks/tour.ipynb"


def main(write: bool) -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the cells call sprint-lmeval
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    started = time.monotonic()
    NotebookClient(notebook, timeout=600, kernel_name="python3", coalesce_streams=True).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    run = ROOT / "output/tour.ipynb"
    run.parent.mkdir(exist_ok=True)
    for file in [run, *([NOTEBOOK] if write else [])]:
        nbformat.write(notebook, file)
    print(f"{NOTEBOOK.relative_to(ROOT)}: {time.monotonic() - started:.0f} s; see {run.relative_to(ROOT)}")


if __name__ == "__main__":
    main("--write" in sys.argv[1:])
