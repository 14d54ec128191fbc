"""One trial pass tells what the fast way needs to know of a model."""

import pytest

from benchmarks.tiny_architectures import tiny_model
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.probe import probe_of
from sprint_lmeval.pruning.hooks import head_layout


def test_a_model_is_probed_once_and_left_as_it_was():
    model, runs = tiny_model("Llama"), []
    model.register_forward_hook(lambda *given: runs.append(1))
    layout = head_layout(model)
    probe = probe_of(model, layout)
    assert Passes(model, layout, 32).head() is None, "a hook may change logits"
    assert probe_of(model, layout) is probe and len(runs) == 1
    modules = list(model.modules())[1:]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


@pytest.mark.parametrize(
    ("name", "returned", "head"),
    [("Llama", [2, 2, 2], True), ("GPT-2", [2, 2, 2], True), ("BLOOM", None, True), ("Gemma 2", [2, 2, 2], False)],
)
def test_what_the_trial_pass_sees(name, returned, head):
    model = tiny_model(name)
    probe = probe_of(model, head_layout(model))
    assert (probe.returned, probe.head_gives_logits) == (returned, head)
