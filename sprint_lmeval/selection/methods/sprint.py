"""SPRINT's own method: learned head vectors, ordered by their distance to the question's (paper section 4)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sprint_lmeval.selection.methods.method import Examples, Method, Option, Tensors, best_first
from sprint_lmeval.selection.methods.set_cover import LONGEST


class Sprint(Method):
    name = "sprint"
    summary = "SPRINT, equation 1: the candidates whose learned vectors are nearest to the question's"
    options = {  # noqa: RUF012
        "p": Option(
            64,
            "the paper gives none; 16 to 256 differ by less than the noise, and 256 takes four times as long",
            1,
            4096,
        ),
        "lambda": Option(1e-4, "the paper gives none; 0 to 1e-2 differ by less than the noise", 0, 10),
        "rate": Option(0.003, "AdamW's step; at 0.01 the best point is passed within ten epochs", 1e-6, 1),
        "epochs": Option(200, "the longest training; the number is chosen on the validation part", 1, 100_000),
        "every": Option(10, "epochs between two looks at the validation part (early stopping)", 1, 100_000),
        "weight_decay": Option(0.01, "AdamW's own default", 0, 1),
        "batch": Option(0, "questions per step; 0: all of them, which takes no longer and has no noise", 0, 1_000_000),
        "bound": Option("ball", "keeps the second term from running away", allowed=("ball", "sphere", "none")),
        "radius": Option(3.0, "of the ball or sphere of head vectors", 1e-3, 1e3),
        "bias": Option(True, "theta as a layer with bias: one common direction costs no weight"),
    }

    def settings(self, options: dict) -> list[dict]:
        return [options]

    def fit(self, examples: Examples, setting: dict, seed: int) -> Tensors:
        return self._arrays(self._fit(examples, setting, setting["epochs"], seed))

    def trials(
        self, learning: Examples, held_out: Examples, options: dict, seed: int
    ) -> Iterator[tuple[dict, np.ndarray]]:
        n = min(LONGEST, held_out.correct.shape[1])
        seen = []

        def watch(epoch: int, vectors) -> None:
            order, _ = self.order(self._arrays(vectors), options, held_out, n)
            seen.append(({**options, "epochs": epoch}, order))

        self._fit(learning, options, options["epochs"], seed, watch)
        yield from seen

    def order(self, tensors: Tensors, setting: dict, asked: Examples, n: int) -> tuple[np.ndarray, np.ndarray]:
        q = asked.embeddings @ tensors["weight"].T + tensors["bias"]  # [asked, p]
        heads = tensors["heads"]
        distances = (q**2).sum(1, keepdims=True) + (heads**2).sum(1) - 2 * q @ heads.T
        return best_first(-distances, n)

    def shapes(self, m: int, dim: int) -> dict:
        return {"weight": ("float32", ("p", dim)), "bias": ("float32", ("p",)), "heads": ("float32", (m, "p"))}

    @classmethod
    def _fit(cls, examples: Examples, options: dict, epochs: int, seed: int, watch=None):
        import torch

        embeddings, outcomes = torch.from_numpy(examples.embeddings), torch.from_numpy(examples.correct)
        return cls._fitter()(embeddings, outcomes, options, epochs, seed, watch)

    @staticmethod
    def _fitter():
        from sprint_lmeval.selection.methods.sprint_loss import fit_sprint

        return fit_sprint

    @staticmethod
    def _arrays(vectors) -> Tensors:
        return {name: getattr(vectors, name).numpy() for name in ("weight", "bias", "heads")}


class Balanced(Sprint):
    name = "balanced"
    summary = "APTP: as sprint, with a contrastive loss whose targets are spread over the candidates (Sinkhorn)"
    options = {  # noqa: RUF012
        **{name: Sprint.options[name] for name in ("p", "rate", "epochs", "every", "weight_decay")},
        "temperature": Option(0.1, "of likeness; the paper gives none for this use", 1e-3, 10),
        "rounds": Option(3, "of Sinkhorn's algorithm; 0: nothing keeps all questions from one candidate", 0, 100),
        "contrast": Option(0.1, "weight of: questions alike for the encoder are alike for the router", 0, 100),
    }

    @staticmethod
    def _fitter():
        from sprint_lmeval.selection.methods.balanced import fit_balanced

        return fit_balanced
