"""The embedded model: where its folder is. Standard library only, so that looking it up costs nothing.

problems.py makes its word problems, train.py trains it from nothing, benchmarks/tiny_model.py measures it;
model/ holds the result.
"""

from pathlib import Path

MODEL_FOLDER = Path(__file__).resolve().parent / "model"
