"""What a run of `hf-pruned-bon` leaves in the results: everything that a rerun needs and a sceptic asks for."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
from dataclasses import dataclass, field

from transformers import PreTrainedModel

from sprint_lmeval import __version__
from sprint_lmeval.answers.verdicts import GRADER
from sprint_lmeval.generation.rows import Settings
from sprint_lmeval.pruning.heads import HeadLayout
from sprint_lmeval.pruning.self_test import SelfTest
from sprint_lmeval.strategies.strategy import Strategy

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
        prompt_forms: what stands around the questions in the prompts, by hash; several where examples are drawn anew.
    """

    chat_template: bool = False
    settings: list[dict] = field(default_factory=list)
    n: set[int] = field(default_factory=set)
    cut_prompts: set[int] = field(default_factory=set)
    prompt_forms: set[str] = field(default_factory=set)

    def note_settings(self, settings: dict) -> None:
        if settings not in self.settings:
            self.settings.append(settings)

    def note_prompt(self, prompt: str, question: str) -> None:
        """Note the form of a prompt: instructions, examples and chat template, without the question itself."""
        form = prompt.replace(question, "\0") if question else prompt
        self.prompt_forms.add(hashlib.sha256(form.encode("utf-8", "surrogatepass")).hexdigest())

    @property
    def prompt_form(self) -> str | None:
        """The one form of all prompts, None where there are several."""
        return next(iter(self.prompt_forms)) if len(self.prompt_forms) == 1 else None

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
            "prompt_form": self.prompt_form,
            "checkpoint_generation_config": model.generation_config.to_diff_dict(),
            "architecture": layout.architecture,
            "attention": getattr(model.config, "_attn_implementation", None),
            "heads_per_layer": [layer.heads for layer in layout.layers],
            "self_test": self_test and vars(self_test),  # None: no weights were loaded
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS_OF},
            "grader": GRADER,
        }
