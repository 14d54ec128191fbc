"""The self-test passes where pruning works, and stops where it does not."""

from contextlib import contextmanager

import pytest
import torch
import transformers

from benchmarks.tiny_architectures import TINY, tiny_model
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.pruning import self_test as module
from sprint_lmeval.pruning.hooks import head_layout, prune_heads
from sprint_lmeval.pruning.self_test import self_test


def weights(model) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


@pytest.mark.parametrize("name", TINY)
def test_every_family(name):
    model = tiny_model(name)
    before = weights(model)
    result = self_test(model)
    assert (result.architecture, result.reference) == (TINY[name][0], "weights")
    assert len(result.candidates) == 7
    assert result.effect > 0.1
    assert max(result.difference, result.other_rows, result.afterwards) < 1e-5
    assert all(map(torch.equal, weights(model), before))
    assert "7 candidates against zeroed weights" in str(result)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("Qwen3", torch.float64), ("Qwen3", torch.float16), ("Mixtral", torch.bfloat16), ("Mixtral", torch.float16)],
)
def test_number_types(name, dtype):
    assert self_test(tiny_model(name).to(dtype)).effect > 0.1


def test_the_training_mode_is_kept():
    model = tiny_model("Qwen2").train()
    self_test(model)
    assert model.training


def test_an_adapter_is_compared_by_its_input():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["o_proj"], r=4, init_lora_weights=False)
    model = peft.get_peft_model(tiny_model("Qwen2"), config).eval()
    result = self_test(model)
    assert result.reference == "inputs"
    assert result.effect > 0.1
    assert not any("forward" in layer.projection.__dict__ for layer in head_layout(model).layers)


class Int8Linear(torch.nn.Module):
    """A quantised projection, as other packages make them: no float weight, but in_features."""

    def __init__(self, linear: torch.nn.Linear):
        super().__init__()
        self.in_features = linear.in_features
        scale = linear.weight.data.abs().amax() / 127
        self.register_buffer("packed", (linear.weight.data / scale).round().to(torch.int8))
        self.scale = scale

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values @ (self.packed.to(values.dtype) * self.scale).T


def test_a_quantised_projection_is_compared_by_its_input():
    model = tiny_model("Qwen2")
    for layer in model.model.layers:
        layer.self_attn.o_proj = Int8Linear(layer.self_attn.o_proj)
    result = self_test(model)
    assert (result.reference, result.difference) == ("inputs", 0)


def test_weights_that_are_not_in_memory():
    accelerate = pytest.importorskip("accelerate")
    model = tiny_model("Qwen2")
    expected = self_test(model)
    model = accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert next(model.parameters()).device.type == "meta"
    forward = head_layout(model).layers[0].projection.__dict__["forward"]
    result = self_test(model)
    assert result.reference == "inputs"
    assert result.effect == pytest.approx(expected.effect, rel=1e-4)
    assert head_layout(model).layers[0].projection.__dict__["forward"] is forward


def test_a_projection_that_is_bypassed_is_found():
    torch.manual_seed(0)
    config = transformers.BloomConfig(vocab_size=97, hidden_size=32, n_layer=3, n_head=4)
    config.pretraining_tp, config.slow_but_exact = 2, True  # its attention then multiplies slices of the weight itself
    model = transformers.BloomForCausalLM(config).eval()
    before = weights(model)
    with pytest.raises(
        RuntimeError, match=r"does not work on BloomForCausalLM: a pruned row differs from zeroed weights"
    ):
        self_test(model)
    assert all(map(torch.equal, weights(model), before))
    config.quantization_config = {}
    with pytest.raises(RuntimeError, match="pruning all heads of layer 0 changes no logit"):
        self_test(model)


@contextmanager
def _nothing(model, candidates, layout):
    yield


@contextmanager
def _wrong_head(model, candidates, layout):
    wrong = [Candidate(tuple((n, (head + 1) % 4) for n, head in candidate.heads)) for candidate in candidates]
    with prune_heads(model, wrong, layout):
        yield


@contextmanager
def _wrong_row(model, candidates, layout):
    with prune_heads(model, [candidates[1], *candidates[1:]], layout):
        yield


@contextmanager
def _never_undone(model, candidates, layout):
    with prune_heads(model, candidates, layout):
        yield
    projection = layout.layers[0].projection
    projection.register_forward_pre_hook(lambda _, values: (values[0] * 0,))


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (_nothing, "a pruned row differs from zeroed weights"),
        (_wrong_head, "a pruned row differs from zeroed weights"),
        (_wrong_row, "an unpruned row of the same batch changes"),
        (_never_undone, "a pruned row differs from zeroed weights"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_broken_pruning_is_found(broken, sentence, dtype, monkeypatch):
    monkeypatch.setattr(module, "prune_heads", broken)
    model = tiny_model("Qwen2").to(dtype)
    before = weights(model)
    with pytest.raises(RuntimeError, match=f"Qwen2ForCausalLM: ({sentence}) by .* cannot be evaluated"):
        self_test(model)
    assert all(map(torch.equal, weights(model), before))


def test_a_model_that_differs_afterwards_is_found(monkeypatch):
    @contextmanager
    def leaves_a_mark(layout, candidate, reference):
        with zeroed(layout, candidate, reference):
            yield
        if candidate == Candidate.parse("L0H2+L1H2+L2H2"):  # the last one tested
            layout.layers[0].projection.weight.data += 0.1

    zeroed = module.zeroed
    monkeypatch.setattr(module, "zeroed", leaves_a_mark)
    with pytest.raises(RuntimeError, match="the model differs afterwards by"):
        self_test(tiny_model("Qwen2"))


def test_heads_that_do_nothing():
    model = tiny_model("Qwen2")
    projections = [layer.projection for layer in head_layout(model).layers]
    projections[0].weight.data[:, :8] = 0  # one head
    assert self_test(model).effect > 0.1
    projections[0].weight.data.zero_()  # one layer
    assert self_test(model).difference == 0
    for projection in projections:
        projection.weight.data.zero_()
    with pytest.raises(RuntimeError, match="pruning all heads of layer 0 changes no logit"):
        self_test(model)


def test_logits_that_are_not_finite():
    model = tiny_model("Qwen2")
    model.lm_head.weight.data[3] = float("nan")
    with pytest.raises(RuntimeError, match=r"logits are not finite in torch\.float32"):
        self_test(model)


def test_weights_are_put_back_after_an_exception():
    model = tiny_model("GPT-2")
    before = weights(model)
    with pytest.raises(KeyboardInterrupt):
        with module.zeroed(head_layout(model), Candidate.parse("L0H1+L2H3")):
            assert not all(map(torch.equal, weights(model), before))
            raise KeyboardInterrupt
    assert all(map(torch.equal, weights(model), before))


def test_base_is_on_both_sides():
    result, changed = module.compare(tiny_model("Qwen2"), head_layout(tiny_model("Qwen2")), [Candidate.parse("L0H0")])
    assert changed in ({0}, set())
    assert str(BASE) not in result.candidates
