"""What of a model and a strategy is refused, where possible before weights are loaded."""

from __future__ import annotations

from functools import partial

from torch import nn

from sprint_lmeval.checkpoints.fingerprint import model_fingerprint
from sprint_lmeval.checkpoints.pretrained import config_heads
from sprint_lmeval.errors import InputError
from sprint_lmeval.pruning.heads import SUPPORTED, HeadLayout
from sprint_lmeval.pruning.hooks import check_heads
from sprint_lmeval.pruning.self_test import SelfTest, self_test
from sprint_lmeval.store.keys import altered_facts
from sprint_lmeval.strategies.selected import SelectorChoice
from sprint_lmeval.strategies.strategy import Strategy


def check_before_loading(name: str, build, kwargs: dict) -> None:
    """Check the strategy that `build` makes against the model's configuration."""
    if kwargs.get("gguf_file") or kwargs.get("backend") == "seq2seq":
        if kwargs.get("backend") == "seq2seq":
            raise InputError("backend=seq2seq given: only decoder-only models have heads to prune here")
        return  # the configuration lies inside the weights: checked once they are loaded
    layout = config_heads(name, **kwargs)
    if isinstance(build, SelectorChoice):
        check_selector(build, name, kwargs, layout)
    check_strategy(layout, build([layer.heads for layer in layout.layers]))


def check_strategy(layout: HeadLayout, strategy: Strategy) -> None:
    """Raise InputError where a strategy has heads that the model has not."""
    try:
        check_heads(layout, strategy.possible())
    except ValueError as error:
        raise InputError(str(error)) from None


def check_selector(chosen: SelectorChoice, pretrained: str | nn.Module, kwargs: dict, layout: HeadLayout) -> None:
    """Raise InputError where a selector was trained on another model."""
    fingerprint = partial(model_fingerprint, pretrained, **kwargs) if isinstance(pretrained, str) else None
    chosen.check_model(layout, fingerprint, altered_facts(pretrained, kwargs))


def passed_self_test(model: nn.Module, layout: HeadLayout) -> SelfTest:
    """Show on the model that pruning does what it says; InputError where it does not."""
    try:
        return self_test(model, layout)
    except RuntimeError as error:
        raise InputError(f"{error}; {SUPPORTED}") from error
