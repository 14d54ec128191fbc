"""Which token is the best: the first of equals, in every type and whatever the signs."""

import pytest
import torch

from sprint_lmeval.output_head import first_best


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
