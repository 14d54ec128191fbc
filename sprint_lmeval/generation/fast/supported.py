"""Whether a model and its settings allow the fast way of decoding, tested on the model itself.

Fast decoding keeps rows of different lengths in one cache, verifies several tokens at a time and skips lower layers.
Some models would compute something else then (recurrent state, positions added to attention scores, a cache of their
own). The test compares logits with those of a plain forward pass; a model that fails is decoded by `generate`.
"""

from __future__ import annotations

import logging

import torch
from transformers import PreTrainedModel

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.fast.probe import probe_of
from sprint_lmeval.generation.fast.shared_layers import LayerInput
from sprint_lmeval.generation.rows import Settings
from sprint_lmeval.pruning.heads import HeadLayout, text_config
from sprint_lmeval.pruning.hooks import prune_heads

log = logging.getLogger(f"lm_eval.{__name__}")
# Settings of a checkpoint's generation_config that leave greedy decoding as it is, or that the fast way computes too.
HARMLESS = frozenset(
    """
    _from_model_config bos_token_id chat_format do_sample eos_token_id max_length max_new_tokens max_window_size
    num_beams output_attentions output_hidden_states output_scores pad_token_id repetition_penalty
    return_dict_in_generate temperature top_k top_p transformers_version use_cache typical_p min_p
    """.split()
)
TOLERANCE = {torch.float32: 5e-3, torch.float64: 5e-3}  # of the logits' spread
COARSE_TOLERANCE = 0.25  # of 16-bit numbers
COMPARED_TOKENS = 12


def repetition_penalty(model: PreTrainedModel, settings: Settings) -> float:
    """Return the penalty of the settings, else of the checkpoint, else 1.0."""
    of_checkpoint = getattr(model.generation_config, "repetition_penalty", None)
    return float(settings.generate_arguments.get("repetition_penalty", of_checkpoint) or 1.0)


def why_not_fast(
    model: PreTrainedModel, layout: HeadLayout, settings: Settings, longest: int, in_trees: bool = False
) -> str | None:
    """Return why rows of up to `longest` tokens cannot be decoded the fast way, or None; `in_trees`: branches."""
    found = _of_settings(model, settings) or _of_attention(model, longest) or _of_comparison(model, layout, False)
    return found or (_of_comparison(model, layout, True) if in_trees else None)


def stretched(model: PreTrainedModel, longest: int) -> str | None:
    """Return the kind of rotary positions whose frequencies depend on the longest row of the batch; or None.

    Beyond the original length a row then computes something else in another batch (transformers'
    modeling_rope_utils.py, `dynamic_rope_update`), so each row has to be decoded by itself.
    """
    config = text_config(model.config)
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    for parameters in (given, *given.values()):  # one set for all layers, or one for each kind of layer
        kind = parameters.get("rope_type") if isinstance(parameters, dict) else None
        if kind in ("dynamic", "longrope"):
            original = parameters.get("original_max_position_embeddings")
            original = original or getattr(config, "original_max_position_embeddings", None)
            if longest > (original or config.max_position_embeddings):
                return kind
    return None


def _of_settings(model: PreTrainedModel, settings: Settings) -> str | None:
    given = set(settings.generate_arguments) - {"repetition_penalty"}
    listed = model.generation_config.to_diff_dict() if model.generation_config else {}
    given |= {name for name, value in listed.items() if name not in HARMLESS and value is not None}
    return f"{', '.join(sorted(given))} is computed by generate only" if given else None


def _of_attention(model: PreTrainedModel, longest: int) -> str | None:
    config = text_config(model.config)
    attention = getattr(model.config, "_attn_implementation", None)
    if attention not in ("sdpa", "eager"):
        return f"attention {attention} takes no mask per row"
    if stretched(model, longest):
        return f"its {stretched(model, longest)} positions depend on the longest row, so each row is decoded by itself"
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        return "the model is spread over several devices"
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention"}:
        return f"it has layers of kind {', '.join(sorted(kinds - {'full_attention', 'sliding_attention'}))}"
    window = getattr(config, "sliding_window", None)
    if window and max(longest, COMPARED_TOKENS) > window and (not kinds or "sliding_attention" in kinds):
        return f"its window of {window} tokens is shorter than prompt and response, {longest}"
    return None


def _of_comparison(model: PreTrainedModel, layout: HeadLayout, in_trees: bool) -> str | None:
    """Return what the comparison found, which is made once for each kind of computation."""
    way = (model.config._attn_implementation, model.dtype, torch.is_autocast_enabled(model.device.type), in_trees)
    try:
        found = probe_of(model, layout).comparisons
        if way not in found:
            difference = _difference_in_a_tree if in_trees else _largest_difference
            found[way] = _judged(difference(model, layout), model.dtype)
    except Exception as error:  # third-party modelling code: whatever it raises, `generate` remains
        return f"its cache takes no rows of different lengths ({type(error).__name__}: {str(error)[:120]})"
    return found[way]


def _judged(difference: float, dtype: torch.dtype) -> str | None:
    if not difference <= TOLERANCE.get(dtype, COARSE_TOLERANCE):  # NaN included
        return f"its logits differ by {difference:.2g} of their spread with rows of different lengths in one cache"
    log.info("fast decoding checked on the model: logits differ by %.1g of their spread", difference)
    return None


@torch.inference_mode()
def _largest_difference(model: PreTrainedModel, layout: HeadLayout) -> float:
    """Compare three rows read in uneven steps, and rows that start at upper layers, with each row alone."""
    passes, last = Passes(model, layout, COMPARED_TOKENS), len(layout.layers) - 1
    candidates = [BASE, Candidate(((last, 0),)), Candidate(((last // 2, 0), (last, 0)))]
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(text_config(model.config).vocab_size, (3, 9), generator=draw).tolist()
    alone = []
    for row, candidate in zip(tokens, candidates, strict=True):
        with prune_heads(model, [candidate], layout):
            alone.append(model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0].float())
    cache, found = passes.cache(3), []
    passes.run(cache, [row[:4] for row in tokens], candidates, 1)
    cache.lengths += torch.tensor([4, 2, 3])
    begun = cache.lengths.tolist()
    logits = passes.run(cache, [row[n : n + 4] for row, n in zip(tokens, begun, strict=True)], candidates, 4)
    found += [(logits[i], alone[i][n : n + 4]) for i, n in enumerate(begun)]
    for row, number in ((1, last), (2, last // 2)):
        whole = passes.enter(passes.cache(1), [tokens[row]], [number])[number]
        for given in (whole, whole._replace(heads=None)):
            found.append((_started_at(passes, number, given, tokens[row], candidates[row]), alone[row][3:]))
    spread = torch.stack(alone).std().item()
    return max((a.float() - b).abs().max().item() for a, b in found) / max(spread, 1e-9)


@torch.inference_mode()
def _difference_in_a_tree(model: PreTrainedModel, layout: HeadLayout) -> float:
    """Compare two branches behind a prompt of four tokens, in cells that are in no order, with each text alone."""
    draw, passes = torch.Generator().manual_seed(0), Passes(model, layout, COMPARED_TOKENS)
    prompt, *branches = torch.randint(text_config(model.config).vocab_size, (3, 4), generator=draw).tolist()
    cache = passes.tree_cache(1)
    start = passes.cache(1)
    passes.run(start, [prompt], [BASE], 1)
    cache.put(0, start.take(0, 4), 4)
    visible = torch.zeros(1, 8, 12, dtype=torch.bool)
    cells = [11, 4, 9, 6, 7, 10, 5, 8]
    visible[0, :, :4] = True
    for index in range(8):
        visible[0, index, cells[index // 4 * 4 : index + 1]] = True
    cache.plan([0], torch.tensor([cells]), torch.tensor([[4, 5, 6, 7] * 2]), visible)
    logits = passes.run(cache, [[*branches[0], *branches[1]]], [BASE], 8)[0].float()
    texts = torch.tensor([[*prompt, *branch] for branch in branches], device=model.device)
    alone = model(input_ids=texts, use_cache=False).logits[:, 4:].float()
    return (logits - alone.flatten(0, 1)).abs().max().item() / max(alone.std().item(), 1e-9)


def _started_at(
    passes: Passes, number: int, given: LayerInput, tokens: list[int], candidate: Candidate
) -> torch.Tensor:
    """Read three tokens from layer `number` on, then the others; returns the logits of the others."""
    cache, count = passes.cache(1), len(tokens)
    with passes.inputs.starting_at(number, given.between(0, 3)):
        passes.run(cache, [tokens[:3]], [candidate], 1)
    cache.lengths += 3
    with passes.inputs.starting_at(number, given.between(3, count)):
        return passes.run(cache, [tokens[3:]], [candidate], count - 3)[0]
