"""Which token is the best: the first of equals, in every type and whatever the signs, also a few tokens at a time."""

import pytest
import torch
from torch import nn

from benchmarks.tiny_architectures import tiny_model
from sprint_lmeval.generation.fast.lm_head import OutputHead, first_best, plain_head
from sprint_lmeval.generation.fast.probe import probe_of
from sprint_lmeval.pruning.hooks import head_layout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_first_best_is_that_of_argmax(dtype):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 3, 400, generator=draw).to(dtype)
    logits[:7] -= 9  # the best of these is below zero
    logits[7, 0] = 0.0
    logits[8, 0, ::5] = 11.0  # equals
    logits[9, 1, 5] = float("inf")
    logits[10] = -float("inf")
    logits[11, 2] = -0.0
    logits[12, 0, 17] = float("nan")
    assert torch.equal(first_best(logits), logits.argmax(-1))
    assert torch.equal(first_best(logits[7:]), logits[7:].argmax(-1))
    assert torch.equal(first_best(logits[13:]), logits[13:].argmax(-1))
    assert torch.equal(first_best(logits[13:, 1]), logits[13:, 1].argmax(-1)), "not contiguous"


def head_of_model(model) -> OutputHead | None:
    return plain_head(model, probe_of(model, head_layout(model)), 64)


def whole_numbers(shape, seed: int) -> torch.Tensor:
    """Small whole numbers: sums of their products are exact, and many are equal."""
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()


def head_of(vocabulary: int, bias: float | None = None) -> nn.Linear:
    head = nn.Linear(6, vocabulary, bias=bias is not None)
    head.weight.data = whole_numbers((vocabulary, 6), 1)
    if bias is not None:
        head.bias.data = whole_numbers((vocabulary,), 2) + bias
    return head


@pytest.mark.parametrize("bias", [None, 0.0, -1000.0, 1000.0])
@pytest.mark.parametrize("logits_bytes", [1, 2000, 4000, 10**6])
@pytest.mark.parametrize("vocabulary", [1, 97, 256])
def test_few_tokens_at_a_time_have_the_first_of_the_best(vocabulary, logits_bytes, bias):
    head, hidden = head_of(vocabulary, bias), whole_numbers((5, 3, 6), 3)
    hidden[0] = 0  # all logits are equal
    found = OutputHead(head, logits_bytes).best(hidden)
    assert torch.equal(found, head(hidden).argmax(-1))


def test_logits_that_are_not_numbers_are_the_best_as_for_argmax():
    head, hidden = head_of(97), whole_numbers((4, 6), 3)
    head.weight.data[[40, 60]] = float("nan")
    assert torch.equal(OutputHead(head, 64).best(hidden), head(hidden).argmax(-1))


@pytest.mark.parametrize(
    "name, changes, plain",
    [
        ("Llama", {}, True),
        ("GPT-2", {}, True),
        ("Phi", {}, True),  # its head has a bias
        ("Gemma 2", {}, False),  # caps its logits
        ("Granite", {"logits_scaling": 1.0}, True),
        ("Granite", {"logits_scaling": 8.0}, False),
    ],
)
def test_only_a_head_whose_output_is_the_logits_is_taken_apart(name, changes, plain):
    model = tiny_model(name)
    for setting, value in changes.items():
        setattr(model.config, setting, value)
    head = head_of_model(model)
    assert (head is not None) == plain
    if head is not None:
        tokens = torch.tensor([[3, 1, 4]])
        with torch.inference_mode(), head.left_out() as hidden:
            model(input_ids=tokens)
        assert torch.equal(head.best(hidden[0]), model(input_ids=tokens).logits.argmax(-1))


def test_a_head_that_something_else_has_changed_is_left_whole():
    model = tiny_model("Llama")
    head = head_of_model(model)
    with head.left_out():
        assert head_of_model(model) is None
    assert head_of_model(model) is not None, "put back"
