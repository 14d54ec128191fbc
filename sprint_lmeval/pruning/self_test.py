"""Show on the model at hand that `prune_heads` does what it says, before any number is made with it.

In: a model and its heads. Out: `SelfTest`, the differences seen, or a RuntimeError. A few heads of the first, a middle
and the last layer are pruned in one mixed batch, each on a row of its own. The reference is a batch of the same shape
whose projection weights were zeroed by hand; it uses none of the code of `prune_heads`. Where weights cannot be zeroed
(quantised, wrapped by an adapter, kept on disk), the projection's input is zeroed instead, in a replaced `forward`.
"""

from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.pruning.heads import HeadLayout, LayerHeads, head_layout, text_config
from sprint_lmeval.pruning.hooks import prune_heads

TOKENS = 8  # in each row
# Allowed differences as a share of the largest logit: only rounding may differ.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 2e-2}
FLOATS = tuple(TOLERANCE)


@dataclass(frozen=True)
class SelfTest:
    """Largest absolute differences between logits of the last position.

    Attributes:
        reference: what was zeroed by hand, "weights" or "inputs".
        effect: a pruned row against the same row unpruned, for the candidate that changes most.
        difference: a pruned row against the reference.
        other_rows: unpruned rows of the mixed batch against the same rows of an unpruned batch.
        afterwards: the model after the test against before.
    """

    architecture: str
    reference: str
    candidates: tuple[str, ...]
    effect: float
    difference: float
    other_rows: float
    afterwards: float

    def __str__(self) -> str:
        return (
            f"of {len(self.candidates)} candidates against zeroed {self.reference}: largest effect {self.effect:.3g}, "
            f"difference {self.difference:.3g}, on other rows {self.other_rows:.3g}, afterwards {self.afterwards:.3g}"
        )


def self_test(model: nn.Module, layout: HeadLayout | None = None) -> SelfTest:
    """Prune a few heads (about ten short forward passes) and compare with the same heads zeroed by hand.

    Zeroed weights are put back exactly, whatever happens.

    Raises:
        RuntimeError: pruning changes nothing, differs from the reference, touches another row, or is not undone.
    """
    layout = layout or head_layout(model)
    layers = sorted({0, len(layout.layers) // 2, len(layout.layers) - 1})
    plain = all(_has_plain_weight(model, layout.layers[layer].projection) for layer in layers)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _run(model, layout, layers, "weights" if plain else "inputs")
    finally:
        model.train(was_training)


def _run(model: nn.Module, layout: HeadLayout, layers: list[int], reference: str) -> SelfTest:
    result, changed = compare(model, layout, _tested(layout, layers), reference)
    silent = [layer for layer in layers if layer not in changed]
    if silent:  # a single head may do nothing by chance; a whole layer does nothing only where its projection is zero
        whole = [Candidate(tuple((layer, head) for head in range(layout.layers[layer].heads))) for layer in silent]
        result, changed = compare(model, layout, whole, reference)
        still = [layer for layer in silent if layer not in changed]
        if len(still) == len(layers) or (still and reference == "inputs"):
            raise _failed(layout, f"pruning all heads of layer {still[0]} changes no logit")
    return result


def _tested(layout: HeadLayout, layers: list[int]) -> list[Candidate]:
    """The first and the last head of each layer alone, and one head of every layer together."""
    single = [((layer, head),) for layer in layers for head in (0, layout.layers[layer].heads - 1)]
    together = tuple((layer, layout.layers[layer].heads // 2) for layer in layers)
    return list(dict.fromkeys(Candidate(heads) for heads in [*single, together]))


def compare(
    model: nn.Module, layout: HeadLayout, candidates: list[Candidate], reference: str = "weights"
) -> tuple[SelfTest, set[int]]:
    """Prune `candidates` in one batch, a row each, and compare with `reference`.

    Returns the figures, checked, and the layers where a candidate that prunes nowhere else changed a logit.
    """
    rows = [BASE, *candidates, BASE]
    tokens = _tokens(model, len(rows))
    plain = _logits(model, tokens)
    with prune_heads(model, rows, layout):
        pruned = _logits(model, tokens)
    effects = {candidate: _distance(pruned[row], plain[row]) for row, candidate in enumerate(candidates, 1)}
    differences = []
    for row, candidate in enumerate(candidates, 1):
        with zeroed(layout, candidate, reference):
            differences.append(_distance(pruned[row], _logits(model, tokens)[row]))
    result = SelfTest(
        architecture=layout.architecture,
        reference=reference,
        candidates=tuple(map(str, candidates)),
        effect=max(effects.values()),
        difference=max(differences),
        other_rows=max(_distance(pruned[row], plain[row]) for row in (0, -1)),
        afterwards=_distance(_logits(model, tokens), plain),
    )
    _check(layout, result, plain, _dtype(model))
    changed = {candidate.heads[0][0] for candidate, effect in effects.items() if effect > 0 and _one_layer(candidate)}
    return result, changed


def _check(layout: HeadLayout, result: SelfTest, plain: torch.Tensor, dtype: torch.dtype) -> None:
    if not torch.isfinite(plain).all():
        raise _failed(layout, f"the unpruned model's logits are not finite in {dtype}")
    allowed = TOLERANCE.get(dtype, TOLERANCE[torch.bfloat16]) * max(1.0, plain.abs().max().item())
    if result.effect > 0:  # a difference as large as the effect would show nothing
        allowed = min(allowed, result.effect / 2)
    for what, figure in (
        (f"a pruned row differs from zeroed {result.reference}", result.difference),
        ("an unpruned row of the same batch changes", result.other_rows),
        ("the model differs afterwards", result.afterwards),
    ):
        if not figure <= allowed:
            raise _failed(layout, f"{what} by {figure:.3g} in its logits ({allowed:.3g} is allowed)")


def _failed(layout: HeadLayout, what: str) -> RuntimeError:
    return RuntimeError(f"head pruning does not work on {layout.architecture}: {what}; this model cannot be evaluated")


@contextmanager
def zeroed(layout: HeadLayout, candidate: Candidate, reference: str = "weights") -> Generator[None]:
    """The heads of `candidate` pruned by hand for every row: the reference for `prune_heads`.

    "weights" zeroes the output projections' columns (the rows of GPT-2's Conv1D), "inputs" their input.
    """
    context = _zeroed_weight if reference == "weights" else _zeroed_input
    with ExitStack() as stack:
        for layer in sorted({layer for layer, _ in candidate.heads}):
            heads = [head for number, head in candidate.heads if number == layer]
            stack.enter_context(context(layout.layers[layer], _columns(layout.layers[layer], heads)))
        yield


def _columns(layer: LayerHeads, heads: Iterable[int]) -> list[int]:
    return [column for head in heads for column in range(head * layer.head_dim, (head + 1) * layer.head_dim)]


@contextmanager
def _zeroed_weight(layer: LayerHeads, columns: list[int]) -> Generator[None]:
    weight = layer.projection.weight.data
    axis = 0 if isinstance(layer.projection, Conv1D) else 1
    index = torch.tensor(columns, device=weight.device)
    saved = weight.index_select(axis, index)
    try:
        weight.index_fill_(axis, index, 0)
        yield
    finally:
        weight.index_copy_(axis, index, saved)
        assert torch.equal(weight.index_select(axis, index), saved), "the projection's weights were not put back"


@contextmanager
def _zeroed_input(layer: LayerHeads, columns: list[int]) -> Generator[None]:
    projection = layer.projection
    own_forward = projection.__dict__.get("forward")  # accelerate puts one there
    forward = projection.forward

    def without_columns(values: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        values = values.clone()
        values[..., columns] = 0
        return forward(values, *args, **kwargs)

    projection.forward = without_columns
    try:
        yield
    finally:
        if own_forward is None:
            del projection.forward
        else:
            projection.forward = own_forward


def _has_plain_weight(model: nn.Module, projection: nn.Module) -> bool:
    """Whether the projection's whole effect is its own weight matrix, in memory and in floating point."""
    weight = getattr(projection, "weight", None)
    return (
        getattr(model.config, "quantization_config", None) is None
        and isinstance(projection, nn.Linear | Conv1D)
        and isinstance(weight, nn.Parameter)
        and type(weight.data) is torch.Tensor
        and weight.dtype in FLOATS
        and weight.device.type != "meta"
    )


def _tokens(model: nn.Module, rows: int) -> torch.Tensor:
    """Fixed token numbers, different in every row, low enough to stay clear of image and sound placeholders."""
    vocabulary = min(getattr(text_config(model.config), "vocab_size", None) or 256, 5_000)
    tokens = (torch.arange(rows * TOKENS) * 37 + 11) % vocabulary
    device = next((weight.device for weight in model.parameters() if weight.device.type != "meta"), "cpu")
    return tokens.view(rows, TOKENS).to(device)


def _logits(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of the last position, [rows, vocabulary], in float32 (or float64)."""
    logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits[:, -1]
    return logits if logits.dtype == torch.float64 else logits.float()


def _distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return (first - second).abs().max().item()


def _dtype(model: nn.Module) -> torch.dtype:
    return next((weight.dtype for weight in model.parameters() if weight.dtype in FLOATS), torch.bfloat16)


def _one_layer(candidate: Candidate) -> bool:
    return len({layer for layer, _ in candidate.heads}) == 1
