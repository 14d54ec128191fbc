"""The embedded model: where its folder is. Standard library only, so that looking it up costs nothing.

problems.py makes its word problems, model/ holds its weights; benchmarks/tiny/training.py made them, and
benchmarks/tiny/model.py measures them.
"""

from pathlib import Path

MODEL_FOLDER = Path(__file__).resolve().parent / "model"
