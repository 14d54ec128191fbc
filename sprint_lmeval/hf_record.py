"""What a run of `hf-pruned-bon` leaves in the results: everything that a rerun needs and a sceptic asks for."""

from __future__ import annotations

import importlib.metadata
import logging
from dataclasses import dataclass, field

from transformers import PreTrainedModel

from sprint_lmeval import __version__
from sprint_lmeval.answers import GRADER
from sprint_lmeval.architectures import HeadLayout
from sprint_lmeval.generation import Settings
from sprint_lmeval.self_test import SelfTest
from sprint_lmeval.strategies import Strategy

log = logging.getLogger(f"lm_eval.{__name__}")
VERSIONS_OF = ("lm_eval", "torch", "transformers", "tokenizers", "accelerate")


@dataclass
class RunRecord:
    """Collected while a run goes on.

    Attributes:
        chat_template: whether the run uses the model's chat template.
        settings: the different generation settings so far, in order.
        n: the different numbers of responses per question.
        cut_prompts: prompts whose left end found no room, by hash.
    """

    chat_template: bool = False
    settings: list[dict] = field(default_factory=list)
    n: set[int] = field(default_factory=set)
    cut_prompts: set[int] = field(default_factory=set)

    def note_settings(self, settings: dict) -> None:
        if settings not in self.settings:
            self.settings.append(settings)

    def note_cut(self, prompt: str, settings: Settings, max_length: int) -> None:
        """Count a prompt that was cut, and say so the first time."""
        if not self.cut_prompts:
            log.warning(
                "prompts longer than %d tokens lose their left end: the model has room for %d, the response takes %d",
                settings.max_prompt_tokens,
                max_length,
                settings.max_new_tokens,
            )
        self.cut_prompts.add(hash(prompt))

    def described(
        self, strategy: Strategy, layout: HeadLayout, self_test: SelfTest | None, model: PreTrainedModel
    ) -> dict:
        """Return what the results hold under `sprint`."""
        return {
            "version": __version__,
            **strategy.described(),
            "n": sorted(self.n),
            "generation": self.settings,
            "cut_prompts": len(self.cut_prompts),
            "chat_template": self.chat_template,
            "checkpoint_generation_config": model.generation_config.to_diff_dict(),
            "architecture": layout.architecture,
            "attention": getattr(model.config, "_attn_implementation", None),
            "heads_per_layer": [layer.heads for layer in layout.layers],
            "self_test": self_test and vars(self_test),  # None: no weights were loaded
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS_OF},
            "grader": GRADER,
        }
