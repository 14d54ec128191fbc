"""Scores of heads: against finite differences, on an attention that is known, and on every family."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks.tiny_architectures import TINY, tiny_model
from sprint_lmeval.pruning.head_scores import LENGTH, attribution_scores, retrieval_scores
from sprint_lmeval.pruning.heads import head_layout
from sprint_lmeval.pruning.hooks import prune_heads

PROMPT, ANSWER = [5, 8, 13, 21], [34, 55, 3]


def log_probability(model) -> float:
    ids = torch.tensor([PROMPT + ANSWER])
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0].double()
    rows = torch.log_softmax(logits, -1)[len(PROMPT) - 1 : -1]
    return float(rows[range(len(ANSWER)), ANSWER].sum())


def slope(model, layer, head: int, step: float = 1e-2) -> float:
    """How the answer's log-probability changes with the size of one head's output."""

    def scaled(by: float) -> float:
        def hook(_module, inputs):
            values = inputs[0].clone()
            values[..., head * layer.head_dim : (head + 1) * layer.head_dim] *= by
            return (values, *inputs[1:])

        handle = layer.projection.register_forward_pre_hook(hook)
        try:
            return log_probability(model)
        finally:
            handle.remove()

    return (scaled(1 + step) - scaled(1 - step)) / (2 * step)


@pytest.mark.parametrize("name", ["Qwen2", "GPT-2"])
def test_attribution_is_the_slope_of_the_log_probability(name):
    model = tiny_model(name).double()
    layout = head_layout(model)
    found = attribution_scores(model, layout, [(PROMPT, ANSWER)] * 2)
    for layer, scores in zip(layout.layers, found, strict=True):
        expected = [abs(slope(model, layer, head)) for head in range(layer.heads)]
        assert scores.tolist() == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("name", TINY)
def test_every_family_has_both_scores(name):
    model = tiny_model(name)
    model.set_attn_implementation("eager")
    layout = head_layout(model)
    shapes = [(layer.heads,) for layer in layout.layers]
    found = retrieval_scores(model, layout, range(1, 90), passes=1)
    assert [tuple(scores.shape) for scores in found] == shapes
    windowed = getattr(model.config.get_text_config(), "sliding_window", None)  # does not reach back so far
    assert (torch.cat(found) <= 1).all() and (windowed or torch.cat(found).max() > 0)
    assert torch.equal(torch.cat(found), torch.cat(retrieval_scores(model, layout, range(1, 90), passes=1)))
    attributed = attribution_scores(model, layout, [(PROMPT, ANSWER)])
    assert [tuple(scores.shape) for scores in attributed] == shapes and torch.cat(attributed).max() > 0
    with prune_heads(model, ["base"]):  # no hook of ours is left in the way
        assert not any(module._forward_pre_hooks for module in model.modules())


def looks_at(position: int, heads: int = 3) -> torch.Tensor:
    """Attention [1, heads, time, time] whose head 1 looks at `position` tokens back, the others at the first token."""
    weights = torch.zeros(1, heads, 2 * LENGTH, 2 * LENGTH)
    weights[:, :, :, 0] = 1
    for time in range(position, 2 * LENGTH):
        weights[:, 1, time] = 0
        weights[:, 1, time, time - position] = 1
    return weights


@pytest.mark.parametrize(("back", "score"), [(LENGTH - 1, 1.0), (LENGTH, 0.0), (1, 0.0)])
def test_a_head_that_looks_behind_the_first_occurrence(back, score):
    layout = SimpleNamespace(architecture="Known", layers=[SimpleNamespace(heads=3)])

    def model(ids, **_):
        assert torch.equal(ids[:, :LENGTH], ids[:, LENGTH:]) and ids.min() >= 7
        return SimpleNamespace(attentions=[looks_at(back)])

    model.device = "cpu"
    (found,) = retrieval_scores(model, layout, range(7, 20), passes=2)
    assert found.tolist() == pytest.approx([0.0, score, 0.0])


@pytest.mark.parametrize("given", [None, (), [None], [torch.ones(1, 2, 2 * LENGTH, 2 * LENGTH)]])
def test_a_model_that_hides_its_attention_is_refused(given):
    layout = SimpleNamespace(architecture="Hidden", layers=[SimpleNamespace(heads=3)])

    def model(ids, **_):
        return SimpleNamespace(attentions=given)

    model.device = "cpu"
    with pytest.raises(ValueError, match="Hidden does not hand out the attention of each of its heads"):
        retrieval_scores(model, layout, range(9))
