"""What is computed once for all candidates of a prompt: taken where it is the same, put in where they start."""

import pytest
import torch

from benchmarks.tiny_architectures import TINY, tiny_model
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation import decode as generation
from sprint_lmeval.generation.fast import probe, shared_layers
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.shared_layers import LayerInput, padded
from sprint_lmeval.generation.rows import Row
from sprint_lmeval.pruning.hooks import head_layout, prune_heads
from tests.shared.decoding_examples import HEADS, fast, prompts
from tests.shared.decoding_examples import plain as plain
from tests.shared.decoding_examples import tiny as tiny
from tests.shared.family_examples import tokenizer as tokenizer

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


def passes_of(model) -> Passes:
    return Passes(model, head_layout(model), 32)


def alone(model, candidate: Candidate) -> torch.Tensor:
    with torch.no_grad(), prune_heads(model, [candidate]):
        return model(input_ids=torch.tensor([TOKENS]), use_cache=False).logits[0]


@pytest.mark.parametrize("name", ["Llama", "GPT-2"])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("shared", [True, False])
def test_candidates_of_a_layer_begin_with_what_they_have_in_common(monkeypatch, name, number, shared):
    model = tiny_model(name)
    above = Candidate(((number + 1, 0),))
    candidates = [*(Candidate(((number, head),)) for head in range(3)), BASE, above]
    expected = {candidate: alone(model, candidate) for candidate in candidates}
    if not shared:
        monkeypatch.setattr(probe, "_count", lambda *given: 0)
    passes = passes_of(model)
    assert passes.inputs.share_heads is shared
    given = passes.enter(passes.cache(1), [TOKENS], [number])[number]
    assert (given.heads is not None) is shared
    for together in (candidates, [BASE, above, BASE]):  # with and without one that prunes this layer
        count = len(together)
        cache = passes.cache(count)
        with passes.inputs.starting_at(number, given.between(0, 5).rows(count)):
            passes.run(cache, [TOKENS[:5]] * count, together, 1)
        cache.lengths += 5
        with passes.inputs.starting_at(number, given.between(5, 8).rows(count)):
            logits = passes.run(cache, [TOKENS[5:]] * count, together, 3)
        for row, candidate in enumerate(together):
            assert torch.allclose(logits[row], expected[candidate][5:], atol=1e-5), candidate
        written = [layer.is_initialized for layer in cache.layers]
        assert written == [layer > number - (not shared) for layer in range(len(written))]
    assert torch.equal(alone(model, BASE), expected[BASE])
    assert untouched(model)


def untouched(model) -> bool:
    """Return whether no stub and no hook is left."""
    modules = list(model.modules())
    hooks = [hook for module in modules for hook in (*module._forward_hooks, *module._forward_pre_hooks)]
    return not hooks and not any("forward" in module.__dict__ for module in modules)


def test_an_error_leaves_the_model_as_it_was():
    model = tiny_model("Llama")
    inputs = passes_of(model).inputs
    with pytest.raises(ZeroDivisionError), inputs.kept([0, 1]):
        1 / 0  # noqa: B018
    with pytest.raises(ZeroDivisionError), inputs.starting_at(1, LayerInput(*2 * [torch.zeros(1, 1, 1)])):
        1 / 0  # noqa: B018
    assert untouched(model)


def test_inputs_of_several_layers_and_prompts():
    model = tiny_model("Llama")
    passes = passes_of(model)
    other = TOKENS[::-1][:5]
    inputs = passes.enter(passes.cache(2), [TOKENS, other + [0] * 3], [0, 1])
    assert sorted(inputs) == [0, 1]
    rows = padded([inputs[1].row(0, 8), inputs[1].row(1, 5)], 8)
    assert rows.hidden.shape == inputs[1].hidden.shape and rows.heads.shape == inputs[1].heads.shape
    assert torch.equal(rows.hidden[0], inputs[1].hidden[0])
    assert torch.equal(rows.heads[1, :5], inputs[1].heads[1, :5]) and not rows.heads[1, 5:].any()
    assert padded([LayerInput(rows.hidden[:1], None)], 9).heads is None


@pytest.mark.parametrize("in_place", [True, False])
def test_what_the_attention_adds_behind_its_projection_is_seen(monkeypatch, in_place):
    """BLOOM adds the residual inside its attention: only what enters the layer is shared there."""
    model = tiny_model("Llama")
    attention = model.model.layers[1].self_attn
    forward = attention.forward

    def more(*args, **kwargs):
        output, *others = forward(*args, **kwargs)
        return (output.add_(1) if in_place else output + 1, *others)

    monkeypatch.setattr(attention, "forward", more)
    assert passes_of(model).inputs.share_heads is False


def test_all_families_but_these_share_the_heads():
    shared = {name: passes_of(tiny_model(name)).inputs.share_heads for name in TINY}
    assert {name for name, shares in shared.items() if not shares} == {"BLOOM"}


@pytest.mark.parametrize("name", ["GPT-2", "BLOOM", "GPT-NeoX", "Phi-3"])
@pytest.mark.parametrize("layers", ["two", "one head of each", "last"])
def test_other_families_write_what_generate_writes(name, layers, monkeypatch, tokenizer):
    model = tiny_model(name)
    heads = [layer.heads for layer in head_layout(model).layers]
    last = len(heads) - 1
    candidates = {
        "two": [BASE, Candidate(((0, 1),))],
        "one head of each": [BASE, *(Candidate(((layer, 0),)) for layer in range(len(heads))), Candidate(((1, 1),))],
        "last": [Candidate(((last, head),)) for head in range(min(heads))],
    }[layers]
    rows = [Row(prompt, c) for prompt in ("w1 w2 w3 w4 w5", "w7 w8", "w9 w10 w11") for c in candidates]
    found = fast((model, tokenizer), rows, max_new_tokens=12)
    monkeypatch.setattr(generation, "why_not_fast", lambda *args: "to compare with")
    assert found == fast((model, tokenizer), rows, max_new_tokens=12)


def test_the_same_texts_without_shared_heads(tiny, plain, monkeypatch):
    rows = [Row(prompt, c) for prompt in prompts(3) for c in (BASE, *HEADS[::2])]
    expected = plain(rows)
    monkeypatch.setattr(shared_layers.LayerInputs, "__init__", without_heads(shared_layers.LayerInputs.__init__))
    assert fast(tiny, rows) == expected


def without_heads(begin):
    def init(self, *args):
        begin(self, *args)
        self.share_heads = False

    return init


def test_two_rows_of_the_last_layer_and_nothing_else(tiny, plain):
    rows = [Row(prompt, Candidate(((3, head),))) for prompt in prompts(2) for head in (1, 5)]
    assert fast(tiny, rows) == plain(rows)
