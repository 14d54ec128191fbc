"""Pruned rows against models whose weights were zeroed by hand, for every family; errors; that it is all undone."""

import copy
import sys

import pytest
import torch
import transformers

from benchmarks.tiny_architectures import TINY, tiny_model
from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.pruning.hooks import check_heads, head_layout, prune_heads

EXACT = 1e-6
NEAR_TIE = 1e-4
SEVERAL = Candidate.parse("L0H0+L0H3+L1H2+L2H1")


def single_heads(layout) -> list[Candidate]:
    return [Candidate(((n, head),)) for n, layer in enumerate(layout.layers) for head in range(layer.heads)]


def tokens(rows: int, time: int = 7) -> torch.Tensor:
    return torch.randint(1, 90, (rows, time), generator=torch.Generator().manual_seed(rows))


def logits(model, ids, **kwargs) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids), **kwargs).logits


def zeroed_by_hand(model, candidate: Candidate):
    """A copy whose weights for the candidate's heads are zero."""
    model = copy.deepcopy(model)
    layout = head_layout(model)
    with torch.no_grad():
        for number, head in candidate.heads:
            projection, _, width = layout.layers[number]
            columns = slice(head * width, (head + 1) * width)
            if type(projection).__name__ == "Conv1D":
                projection.weight[columns, :] = 0
            else:
                projection.weight[:, columns] = 0
    return model


def changed(model) -> bool:
    return any(len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("name", TINY)
def test_every_head_of_every_layer(name):
    model = tiny_model(name)
    candidates = [BASE, *single_heads(head_layout(model)), SEVERAL, BASE]
    ids = tokens(len(candidates))
    plain = logits(model, ids)
    with prune_heads(model, candidates):
        pruned = logits(model, ids)
    for row, candidate in enumerate(candidates):
        by_hand = logits(zeroed_by_hand(model, candidate), ids)[row]
        assert (pruned[row] - by_hand).abs().max() < EXACT, candidate
        effect = (pruned[row] - plain[row]).abs().max()
        assert effect < EXACT if candidate == BASE else effect > 1e-3, candidate
    assert torch.equal(logits(model, ids), plain)
    assert not changed(model)


def silence_in_attention(model, number: int, head: int, monkeypatch) -> None:
    """Zero one head's output inside the attention function, before the heads are put side by side (the paper's way)."""
    module = sys.modules[type(first_attention(model)).__module__]
    if hasattr(module, "eager_attention_forward"):
        model.set_attn_implementation("eager")
        original = module.eager_attention_forward

        def eager(attention, *args, **kwargs):
            output, weights = original(attention, *args, **kwargs)  # [rows, time, heads, head_dim]
            if attention.layer_idx == number:
                output = output.clone()
                output[:, :, head] = 0
            return output, weights

        monkeypatch.setattr(module, "eager_attention_forward", eager)
        return
    layer = model.transformer.h[number]
    if hasattr(layer, "attn"):  # GPT-J: a head's values are zero
        layer.attn.v_proj.weight.data[head * 8 : (head + 1) * 8] = 0
    elif type(model).__name__ == "BloomForCausalLM":  # query, key, value of each head in turn
        fused = layer.self_attention.query_key_value
        fused.weight.data[head * 24 + 16 : head * 24 + 24] = 0
        fused.bias.data[head * 24 + 16 : head * 24 + 24] = 0
    else:  # Falcon calls torch's function itself, once for each layer
        calls = iter(range(len(model.transformer.h)))
        attend = torch.nn.functional.scaled_dot_product_attention

        def counted(*args, **kwargs):
            output = attend(*args, **kwargs).clone()  # [rows, heads, time, head_dim]
            if next(calls) == number:
                output[:, head] = 0
            return output

        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)


def first_attention(model):
    path = head_layout(model).names[0].rpartition(".")[0]
    return model.get_submodule(path)


@pytest.mark.parametrize("name", TINY)
def test_a_slice_is_a_head(name):
    model = tiny_model(name)
    candidates = single_heads(head_layout(model))
    ids = tokens(len(candidates))
    with prune_heads(model, candidates):
        pruned = logits(model, ids)
    for row, candidate in enumerate(candidates):
        silenced = copy.deepcopy(model)
        with pytest.MonkeyPatch.context() as monkeypatch:
            silence_in_attention(silenced, *candidate.heads[0], monkeypatch)
            expected = logits(silenced, ids)[row]
        assert (pruned[row] - expected).abs().max() < 1e-5, candidate


def generated(model, prompts: list[torch.Tensor], new_tokens: int = 8):
    """New tokens and scores of left-padded prompts, [rows, new tokens] and [rows, new tokens, vocabulary]."""
    width = max(map(len, prompts))
    ids = torch.stack([torch.nn.functional.pad(prompt, (width - len(prompt), 0)) for prompt in prompts])
    mask = torch.stack([(torch.arange(width) >= width - len(prompt)).long() for prompt in prompts])
    output = model.generate(
        ids, attention_mask=mask, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False,
        output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    return output.sequences[:, width:], torch.stack(output.scores, 1)


@pytest.mark.parametrize("name", TINY)
def test_generated_rows_equal_each_alone(name):
    model = tiny_model(name)
    candidates = parse_candidates("L0H1:base:L2H3:L1H0+L2H2:L1H3")
    prompts = [tokens(1, 3 + 2 * row)[0] for row in range(len(candidates))]
    with prune_heads(model, candidates):
        mixed, _ = generated(model, prompts)
    near_ties = 0
    for row, candidate in enumerate(candidates):
        with prune_heads(model, [candidate]):
            alone, scores = generated(model, prompts[row : row + 1])
        by_hand, _ = generated(zeroed_by_hand(model, candidate), prompts[row : row + 1])
        assert torch.equal(alone[0], by_hand[0])
        if not torch.equal(mixed[row], alone[0]):
            first = (mixed[row] != alone[0]).nonzero()[0, 0]
            best, second = scores[0, first].topk(2).values
            assert best - second < NEAR_TIE, (candidate, first)
            near_ties += 1
    assert near_ties <= 1


@pytest.mark.parametrize("name", ["Qwen2", "Gemma 3 (text)", "GPT-2", "Falcon (ALiBi)", "GPT-NeoX"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_implementations(name, attention):
    model = tiny_model(name)
    model.set_attn_implementation(attention)
    candidates = parse_candidates("base:L0H1:L1H2")
    ids = tokens(3)
    with prune_heads(model, candidates):
        pruned = logits(model, ids)
    for row, candidate in enumerate(candidates):
        assert (pruned[row] - logits(zeroed_by_hand(model, candidate), ids)[row]).abs().max() < EXACT


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_number_types(dtype):
    model = tiny_model("Qwen3").to(dtype)
    candidates = parse_candidates("base:L0H1:L1H2+L2H0")
    with prune_heads(model, candidates):
        pruned = logits(model, tokens(3))
    assert pruned.dtype == dtype
    for row, candidate in enumerate(candidates):
        assert torch.equal(pruned[row], logits(zeroed_by_hand(model, candidate), tokens(3))[row])


def test_undone_after_an_exception():
    model = tiny_model("Llama")
    plain = logits(model, tokens(2))
    with pytest.raises(KeyboardInterrupt):
        with prune_heads(model, parse_candidates("L0H0:L2H3")):
            assert changed(model)
            raise KeyboardInterrupt
    assert not changed(model)
    assert torch.equal(logits(model, tokens(2)), plain)


def test_undone_when_a_forward_pass_fails():
    model = tiny_model("Llama")
    with pytest.raises(ValueError, match="the batch has 3 rows, but 2 candidates were given; give one candidate"):
        with prune_heads(model, parse_candidates("L0H0:L2H3")):
            logits(model, tokens(3))
    assert not changed(model)


def test_nothing_stays_when_a_hook_cannot_be_set(monkeypatch):
    model = tiny_model("Llama")
    monkeypatch.setattr(head_layout(model).layers[2].projection, "register_forward_pre_hook", None)
    with pytest.raises(TypeError):
        with prune_heads(model, parse_candidates("L0H0:L2H3")):
            pass
    assert not changed(model)


def test_only_pruned_layers_are_hooked():
    model = tiny_model("Qwen2")
    layout = head_layout(model)
    with prune_heads(model, parse_candidates("base:L1H2"), layout):
        assert [len(layer.projection._forward_pre_hooks) for layer in layout.layers] == [0, 1, 0]
    with prune_heads(model, [BASE, BASE]):
        assert not changed(model)


def test_beams_are_refused():
    model = tiny_model("Qwen2")
    with pytest.raises(ValueError, match=r"the batch has 4 rows, but 2 candidates were given; .* num_beams"):
        with prune_heads(model, parse_candidates("base:L1H2")):
            model.generate(tokens(2), num_beams=2, max_new_tokens=2)


def test_nested_blocks_prune_both():
    model = tiny_model("Qwen2")
    with prune_heads(model, parse_candidates("L0H0:base")):
        with prune_heads(model, parse_candidates("L2H1:L0H3")):
            pruned = logits(model, tokens(2))
        inner_undone = logits(model, tokens(2))
    expected = [Candidate.parse("L0H0+L2H1"), Candidate.parse("L0H3")]
    for row, candidate in enumerate(expected):
        assert (pruned[row] - logits(zeroed_by_hand(model, candidate), tokens(2))[row]).abs().max() < EXACT
    by_hand = logits(zeroed_by_hand(model, Candidate.parse("L0H0")), tokens(2))[0]
    assert (inner_undone[0] - by_hand).abs().max() < EXACT


def test_the_same_candidate_on_several_rows():
    model = tiny_model("Qwen2")
    ids = tokens(1).repeat(3, 1)
    with prune_heads(model, [Candidate.parse("L1H1")] * 3):
        pruned = logits(model, ids)
    assert (pruned - logits(zeroed_by_hand(model, Candidate.parse("L1H1")), ids)).abs().max() < EXACT


def test_rows_flattened_with_time():
    layer = head_layout(tiny_model("Qwen2")).layers[0]
    values = torch.randn(3, 5, 32)
    model = tiny_model("Qwen2")
    projection = head_layout(model).layers[0].projection
    with prune_heads(model, parse_candidates("L0H0:base:L0H3")), torch.no_grad():
        assert torch.equal(projection(values.view(15, 32)).view(3, 5, 32), projection(values))
        with pytest.raises(ValueError, match="the batch has 16 rows, but 3 candidates"):
            projection(torch.randn(16, 32))
        with pytest.raises(ValueError, match="tensor-parallel models are not supported"):
            projection(torch.randn(3, 5, 16))
    assert layer.heads == 4


def test_the_input_is_left_as_it_was_and_gradients_flow():
    model = tiny_model("Qwen2")
    projection = head_layout(model).layers[0].projection
    values = torch.randn(2, 5, 32, requires_grad=True)
    before = values.detach().clone()
    with prune_heads(model, parse_candidates("L0H0:L0H3")):
        with torch.inference_mode():
            projection(values)
        projection(values).sum().backward()
    assert torch.equal(values.detach(), before)
    assert (values.grad[0, :, :8] == 0).all()
    assert (values.grad[1, :, :24] != 0).any()


def test_an_adapter_sees_the_pruned_input():
    peft = pytest.importorskip("peft")
    base = tiny_model("Qwen2")
    config = peft.LoraConfig(target_modules=["o_proj"], r=4, init_lora_weights=False)
    model = peft.get_peft_model(copy.deepcopy(base), config).eval()
    candidates = [BASE, *single_heads(head_layout(model))]
    ids = tokens(len(candidates))
    assert not torch.allclose(logits(model, ids), logits(base, ids), atol=1e-2)
    with prune_heads(model, candidates):
        pruned = logits(model, ids)
    merged = copy.deepcopy(model).merge_and_unload()
    for row, candidate in enumerate(candidates):
        assert (pruned[row] - logits(zeroed_by_hand(merged, candidate), ids)[row]).abs().max() < 1e-4


def test_a_compiled_model_is_pruned_too():
    model = tiny_model("Qwen2")
    compiled = torch.compile(model, backend="eager")
    plain = logits(compiled, tokens(2))
    with prune_heads(compiled, parse_candidates("base:L1H2")):
        pruned = logits(compiled, tokens(2))
    by_hand = logits(zeroed_by_hand(model, Candidate.parse("L1H2")), tokens(2))[1]
    assert (pruned[0] - plain[0]).abs().max() < EXACT
    assert (pruned[1] - by_hand).abs().max() < EXACT
    assert (logits(compiled, tokens(2)) - plain).abs().max() < EXACT


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        ("L28H0", r"candidate L28H0: layer 28 given, the model has layers 0-2; correct it"),
        ("L3H0", r"layer 3 given, the model has layers 0-2"),
        ("L0H0+L1H12", r"candidate L0H0\+L1H12: head 12 of layer 1 given, layer 1 has heads 0-3"),
        ("L2H4", r"head 4 of layer 2 given, layer 2 has heads 0-3"),
    ],
)
def test_heads_the_model_does_not_have(candidate, sentence):
    model = tiny_model("Qwen2")
    with pytest.raises(ValueError, match=sentence):
        check_heads(head_layout(model), parse_candidates(["base", candidate]))
    with pytest.raises(ValueError, match=sentence):
        with prune_heads(model, parse_candidates(["base", candidate])):
            pytest.fail("the block was entered")
    assert not changed(model)


def test_no_candidates_and_no_heads():
    with pytest.raises(ValueError, match="no candidates given"):
        with prune_heads(tiny_model("Qwen2"), []):
            pass
    with torch.device("meta"):
        model = transformers.MambaForCausalLM(transformers.MambaConfig(hidden_size=32, num_hidden_layers=2))
    with pytest.raises(ValueError, match="heads of MambaForCausalLM cannot be pruned"):
        with prune_heads(model, [BASE]):
            pass
