"""`strategy=selector`: a trained selector ranks the candidates of each question.

A selector of another model is refused before weights load, and questions that it was trained on before anything is
generated. `selector_check=False` turns both into warnings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError, needs
from sprint_lmeval.outcomes.question import question_hash
from sprint_lmeval.pruning.heads import HeadLayout
from sprint_lmeval.selection.selector import Selector
from sprint_lmeval.strategies.branch import Branched
from sprint_lmeval.strategies.strategy import Attempt, Strategy, refuse_too_few

log = logging.getLogger(f"lm_eval.{__name__}")
OVERRIDE = "or give selector_check=False, and the results will say so"


class Selected(Strategy):
    """The first N candidates of a trained selector's ranking."""

    name = "selector"
    learned = True

    def __init__(self, selector: Selector, given: str, checked: bool) -> None:
        self.selector, self.given, self.checked = selector, given, checked
        self.seen = 0  # evaluated questions that were training questions

    def attempts(self, questions: Sequence[str], n: int) -> list[list[Attempt]]:
        refuse_too_few(n, len(self.selector.candidates), self.name, "train one on more candidates")
        self.refuse_trained_on(questions)
        return [[Attempt(*scored) for scored in row] for row in self.selector.scored(questions, n)]

    def refuse_trained_on(self, questions: Sequence[str]) -> None:
        """Raise InputError (warn, with selector_check=False) where a question was trained on."""
        known = self.selector.trained_on([question_hash(question) for question in questions])
        if not known.any():
            return
        self.seen += int(known.sum())
        first = questions[int(known.argmax())]
        said = (
            f"{int(known.sum())} of {len(questions)} questions are among the {self._training('questions')} that "
            f"selector={self.given} was trained on (the first: {' '.join(first.split())[:60]!r})"
        )
        if self.checked:
            raise InputError(f"{said}: evaluate on others, {OVERRIDE}")
        log.warning("%s", said)

    def _training(self, key: str) -> object:
        return self.selector.config["training"].get(key)

    def described(self) -> dict:
        config = self.selector.config
        return {
            "strategy": self.name,
            "learned": True,
            "method": config["method"],
            "selector": self.given,
            "selector_sha256": config["sha256"],
            "selector_check": self.checked,
            "training_questions_evaluated": self.seen,
            "candidates": config["candidates"],
            "setting": config["setting"],
            "encoder": config["encoder"],
            "training": {key: value for key, value in config["training"].items() if key != "tried"},
        }

    def possible(self) -> list[Candidate]:
        return self.selector.candidates

    # ---- how the run differs from training ----

    def warn_of_differences(
        self, task: str | None, chat_template: bool, prompt_form: str | None, settings: dict
    ) -> None:
        """Say what of this run is not as in the sweep that the selector was trained on.

        Args:
            task: name of the task that asks.
            chat_template: whether the run uses the model's.
            prompt_form: what stands around the questions, by hash; None where that differs from prompt to prompt.
            settings: generation settings as results record them.
        """
        trained = self._training("settings")
        pairs = [
            ("task", self._training("evaluate"), str(task).replace("_train_", "_")),
            ("chat template", self._training("chat_template"), chat_template),
            ("the prompt form (instructions, examples)", self._training("prompt_form"), prompt_form),
            *[(key, trained.get(key), settings.get(key)) for key in (trained if isinstance(trained, dict) else ())],
        ]
        for what, then, now in pairs:
            if then is not None and then != now:
                log.warning("selector=%s was trained with %s %s, and this run has %s", self.given, what, then, now)


class SelectedBranches(Branched, Selected):
    """Branches by the priority that was chosen on training questions (`train --method branch`)."""

    name = Branched.name

    def __init__(self, choice: SelectorChoice) -> None:
        setting = choice.selector.config["setting"]
        Selected.__init__(self, choice.selector, choice.given, choice.check)
        levels = "all" if setting["levels"] == "all" else 1
        Branched.__init__(self, choice.selector.candidates[0], setting["priority"], choice.fill, choice.seed, levels)

    def attempts(self, questions: Sequence[str], n: int) -> list[list[Attempt]]:
        self.refuse_trained_on(questions)
        return Branched.attempts(self, questions, n)

    def described(self) -> dict:
        return {**Selected.described(self), **Branched.described(self)}

    def possible(self) -> list[Candidate]:
        return Branched.possible(self)


class SelectorChoice:
    """A selector that the user gave: checked against the model, then called with its heads to make the strategy.

    Args:
        given: folder, hub id or short name of the selector.
        encoder: folder of its sentence encoder, None for the default.
        check: whether another model and training questions are refused.
        fill, seed: of `strategy=branch`, where the selector chooses its priority.
    """

    def __init__(self, given: str, encoder: str | None, check: bool, fill: str | None = None, seed: int = 0) -> None:
        if not isinstance(check, bool):
            raise InputError(f"selector_check={check} given, allowed are True and False")
        self.given, self.check, self.fill, self.seed = str(given), check, fill, seed
        self.selector = Selector.from_pretrained(self.given, encoder=encoder)
        if self.selector.method.encodes:
            needs("encoder", "sentence_transformers")  # before a model's weights are read

    def __call__(self, heads_per_layer: Sequence[int]) -> Strategy:
        return SelectedBranches(self) if self.branches else Selected(self.selector, self.given, self.check)

    @property
    def branches(self) -> bool:
        """Whether it says how the answers of one candidate branch, and ranks none."""
        return not self.selector.method.ranks

    def check_model(self, layout: HeadLayout, fingerprint: Callable[[], str] | None, altered: dict) -> None:
        """Raise InputError (warn, with selector_check=False) where the model is not the one it was trained for.

        Args:
            layout: the model's heads.
            fingerprint: returns that of its weights; None where it cannot be compared (a model given as an object).
            altered: what makes the model another one than its fingerprint says; {} for nothing.
        """
        known = {**self.selector.config["model"], "altered": self.selector.config["training"].get("altered") or {}}
        found = [
            ("architecture", layout.architecture),
            ("heads_per_layer", [layer.heads for layer in layout.layers]),
            ("altered", altered),
        ]
        differing = [(key, value) for key, value in found if known.get(key) not in (None, value)]
        if not differing and known.get("fingerprint") and fingerprint is not None:
            weights = fingerprint()
            differing = [("fingerprint", weights)] if weights != known["fingerprint"] else []
        elif not differing:
            log.warning("selector=%s: whether these are the weights that it was trained for is not known", self.given)
        if differing:
            key, value = differing[0]
            then = _told(known[key]) if key == "altered" else f"{key} {known[key]}"
            now = _told(value) if key == "altered" else value
            said = f"selector={self.given} is for {known.get('name')} with {then}, this model has {now}"
            if self.check:
                raise InputError(f"{said}: give the selector of this model, {OVERRIDE}")
            log.warning("%s", said)


def _told(altered: dict) -> str:
    said = ", ".join(f"{name}={str(value)[:40]}" for name, value in sorted(altered.items()))
    return f"weights altered by {said}" if said else "weights unaltered"
