"""A trained selector: questions in, ranked candidates out (the paper's theta and V over a frozen encoder, section 4).

Its configuration names the method that ranks. It is saved, loaded and pushed through the mixin of huggingface_hub:
`save_pretrained`, `from_pretrained(folder or hub id)`, `push_to_hub`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from huggingface_hub import ModelHubMixin

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.selection.card import card
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.selection.folder import CARD, CONFIG, HASHES, WEIGHTS, read_folder, write_folder
from sprint_lmeval.selection.methods.method import Examples, Tensors
from sprint_lmeval.selection.methods.registry import method_named

AT_ONCE = 1024  # questions ranked together: bounds memory
WHERE = "give a selector's folder, its hub id, or the name of a shipped one"


class Selector(ModelHubMixin, library_name="sprint-lmeval"):
    """A trained method with its candidates: `Selector.from_pretrained("tiny-sprint").rank(["How many ...?"], n=4)`.

    Attributes:
        config: what config.json holds: method, candidates, model, encoder, setting, training, validation, versions.
        candidates: the candidates that it ranks.
        method: what ranks them.
    """

    def __init__(self, config: dict, tensors: Tensors, encoder: Encoder | None = None) -> None:
        self.config, self.tensors, self._encoder = config, tensors, encoder
        self.method = method_named(config["method"])
        self.candidates = [Candidate.parse(name) for name in config["candidates"]]

    def __repr__(self) -> str:
        training, model = self.config["training"], self.config["model"].get("name")
        learned = f"{training.get('questions')} questions of {training.get('task')}"
        return f"Selector({self.method.name}, {len(self.candidates)} candidates of {model}, trained on {learned})"

    # ---- ranking ----

    def rank(self, questions: Sequence[str], n: int | None = None) -> list[list[Candidate]]:
        """Return the first `n` candidates (all, where not given) of each question, best first.

        Raises:
            InputError: a question is empty, or the encoder is another than the one it was trained with.
        """
        return [[candidate for candidate, _ in row] for row in self.scored(questions, n)]

    def scored(self, questions: Sequence[str], n: int | None = None) -> list[list[tuple[Candidate, float]]]:
        """Return what `rank` returns, each candidate with its score (whose meaning is the method's)."""
        n = len(self.candidates) if n is None else n
        if not 0 < n <= len(self.candidates):
            raise InputError(f"{n} candidates asked for, the selector ranks {len(self.candidates)}")
        scored = []
        for start in range(0, len(questions), AT_ONCE):
            order, scores = self._order(questions[start : start + AT_ONCE], n)
            candidates = ([self.candidates[index] for index in row] for row in order)
            scored += [list(zip(*row, strict=True)) for row in zip(candidates, scores.tolist(), strict=True)]
        return scored

    def _order(self, questions: Sequence[str], n: int) -> tuple[np.ndarray, np.ndarray]:
        if self.method.encodes:
            embeddings = self.encoder.encode(questions)
        else:
            embeddings = np.zeros((len(questions), 0), np.float32)
        asked = Examples(tuple(questions), embeddings, np.zeros((len(questions), len(self.candidates)), bool))
        return self.method.order(self.tensors, self.config["setting"], asked, n)

    @property
    def encoder(self) -> Encoder:
        """The encoder it was trained with, looked for when first needed."""
        known = self.config["encoder"]
        if self._encoder is None:
            self._encoder = Encoder.find()
        if self._encoder.fingerprint != known["fingerprint"]:
            raise InputError(
                f"the selector was trained with the encoder {known['name']} (fingerprint {known['fingerprint'][:12]}), "
                f"and {self._encoder.name} has {self._encoder.fingerprint[:12]}: give the folder of its own encoder"
            )
        return self._encoder

    # ---- what it was trained on ----

    def trained_on(self, question_hashes: Sequence[str]) -> np.ndarray:
        """Return bool [questions]: which of the questions (by `question_hash`) it was trained on."""
        return np.isin(short_hashes(question_hashes), self.tensors[HASHES])

    # ---- folders and the hub ----

    def save_pretrained(self, save_directory: str | os.PathLike, *, overwrite: bool = False, **hub: object) -> None:
        """Write the folder, whole or not at all; a link is replaced.

        Raises:
            InputError: something else is there, or another selector and `overwrite` was not given.
        """
        write_folder(Path(save_directory), self.config, self.tensors, card(self.config), overwrite)
        if hub.get("push_to_hub"):
            options = {key: value for key, value in hub.items() if key not in ("push_to_hub", "repo_id")}
            self.push_to_hub(str(hub.get("repo_id") or Path(save_directory).name), **options)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        encoder: str | Encoder | None = None,
        **hub: object,
    ) -> Selector:
        """Load a selector.

        Args:
            pretrained_model_name_or_path: folder, hub id, or the name of a shipped selector.
            encoder: the folder of its encoder, where that is not the default one.
            hub: revision, token, cache_dir, force_download, local_files_only.

        Raises:
            InputError: it cannot be had, is damaged or edited, or its encoder is not the one given.
        """
        folder = find_selector(str(pretrained_model_name_or_path), **hub)
        config, tensors = read_folder(folder)
        given = Encoder.find(encoder) if isinstance(encoder, str) else encoder
        selector = cls(config, tensors, given)
        if given is not None and selector.method.encodes:
            _ = selector.encoder  # refuses another encoder at once
        return selector


def short_hashes(question_hashes: Sequence[str]) -> np.ndarray:
    """Return int64 [questions]: the first 8 bytes of each sha256."""
    return np.array([int.from_bytes(bytes.fromhex(h[:16]), "big", signed=True) for h in question_hashes], np.int64)


def shipped_folder() -> Path:
    """Where the selectors that come with this package are: in its repository, else inside the package."""
    package = Path(__file__).resolve().parents[1]
    beside = package.parent / "selectors"
    return beside if beside.is_dir() and (package.parent / "pyproject.toml").is_file() else package / "selectors"


def find_selector(name: str, **hub: object) -> Path:
    """Return the folder called `name`; a hub id is fetched."""
    path = Path(os.path.expanduser(name))
    if name and path.is_dir():
        return path
    plain = name and "/" not in name and not name.startswith((".", "~"))
    shipped = shipped_folder()
    if plain and (shipped / name / CONFIG).is_file():
        return shipped / name
    if plain or name.count("/") != 1 or name.startswith(("/", ".", "~")):
        there = sorted(p.parent.name for p in shipped.glob(f"*/{CONFIG}"))
        raise InputError(
            f"selector={name} given, which is neither a folder nor one of {', '.join(there) or 'none'}: {WHERE}"
        )
    return _from_hub(name, hub)


def _from_hub(name: str, hub: dict) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS, CARD], **hub))
    except Exception as error:  # the hub client raises a dozen kinds: network, offline mode, access, cache
        said = cause(error)
        raise InputError(f"selector={name} could not be fetched ({said}): {WHERE}") from None
