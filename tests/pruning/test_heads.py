"""Where the heads are: every supported family, wrapped models, and refusals that name the architecture."""

import pytest
import torch
import transformers

from benchmarks.tiny_architectures import GROUPED, TINY, WIDE, tiny_model
from sprint_lmeval.pruning.heads import head_layout

# name: head_dim, and the path of layer 1's output projection
EXPECTED = {
    "Qwen2": (8, "model.layers.1.self_attn.o_proj"),
    "Qwen3": (12, "model.layers.1.self_attn.o_proj"),
    "Llama": (12, "model.layers.1.self_attn.o_proj"),
    "Mistral": (12, "model.layers.1.self_attn.o_proj"),
    "Mixtral": (12, "model.layers.1.self_attn.o_proj"),
    "Gemma 2": (12, "model.layers.1.self_attn.o_proj"),
    "Gemma 3 (text)": (12, "model.layers.1.self_attn.o_proj"),
    "Gemma 3 (with images)": (12, "model.language_model.layers.1.self_attn.o_proj"),
    "Phi-3": (8, "model.layers.1.self_attn.o_proj"),
    "GPT-2": (8, "transformer.h.1.attn.c_proj"),
    "GPT-NeoX": (8, "gpt_neox.layers.1.attention.dense"),
    "OPT": (8, "model.decoder.layers.1.self_attn.out_proj"),
    "OLMo 2": (8, "model.layers.1.self_attn.o_proj"),
    "StarCoder 2": (8, "model.layers.1.self_attn.o_proj"),
    "Falcon (one key head)": (8, "transformer.h.1.self_attention.dense"),
    "Falcon (grouped)": (8, "transformer.h.1.self_attention.dense"),
    "Falcon (ALiBi)": (8, "transformer.h.1.self_attention.dense"),
    "BLOOM": (8, "transformer.h.1.self_attention.dense"),
    "Granite": (8, "model.layers.1.self_attn.o_proj"),
    "Phi": (8, "model.layers.1.self_attn.dense"),
    "GPT-J": (8, "transformer.h.1.attn.out_proj"),
    "GPT-BigCode": (8, "transformer.h.1.attn.c_proj"),
    "Qwen3-MoE": (12, "model.layers.1.self_attn.o_proj"),
    "DeepSeek-V2": (12, "model.layers.1.self_attn.o_proj"),
}


@pytest.mark.parametrize("name", TINY)
def test_every_family(name):
    model = tiny_model(name)
    layout = head_layout(model)
    assert layout.architecture == TINY[name][0] == type(model).__name__
    assert [layer[1:] for layer in layout.layers] == [(4, EXPECTED[name][0])] * 3
    assert layout.names[1] == EXPECTED[name][1]
    assert model.get_submodule(layout.names[1]) is layout.layers[1].projection


def test_a_model_without_weights_in_memory():
    with torch.device("meta"):
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**GROUPED))
    assert head_layout(model).layers[2].heads == 4


def test_head_counts_that_differ_between_layers():
    model = tiny_model("Llama")
    config = transformers.LlamaConfig(**{**WIDE, "num_attention_heads": 8})
    model.model.layers[1].self_attn = type(model.model.layers[1].self_attn)(config, 1)
    assert [layer[1:] for layer in head_layout(model).layers] == [(4, 12), (8, 12), (4, 12)]


def test_adapters_and_compilation_are_looked_through():
    peft = pytest.importorskip("peft")
    model = tiny_model("Qwen2")
    names = head_layout(model).names
    assert head_layout(torch.compile(model, backend="eager")).names == names
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules=["o_proj"], r=2))
    layout = head_layout(wrapped)
    assert layout.architecture == "Qwen2ForCausalLM"
    assert layout.names == names
    assert all(hasattr(layer.projection, "lora_A") for layer in layout.layers)


SMALL = {"hidden_size": 32, "num_hidden_layers": 2}
BART = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1}
REFUSED = {
    "T5ForConditionalGeneration": ("T5Config", {"d_model": 32, "num_layers": 2}, "encoder-decoder"),
    "BartForConditionalGeneration": ("BartConfig", BART, "encoder-decoder"),
    "BartForCausalLM": ("BartConfig", BART, "layer 0 has 2 attentions"),
    "MambaForCausalLM": ("MambaConfig", SMALL, "no attention .* state-space"),
    "Mamba2ForCausalLM": ("Mamba2Config", {**SMALL, "num_heads": 8, "head_dim": 8}, "no attention"),
    "RwkvForCausalLM": ("RwkvConfig", SMALL, "no attention"),
    "JambaForCausalLM": ("JambaConfig", {**SMALL, "num_hidden_layers": 8}, "7 of its 8 layers, layer 0 first"),
    "RecurrentGemmaForCausalLM": (
        "RecurrentGemmaConfig",
        {"num_hidden_layers": 3, "hidden_size": 40, "lru_width": 40},
        "2 of its 3 layers",
    ),
    "BertForMaskedLM": ("BertConfig", GROUPED, "does not generate text"),
    "BertLMHeadModel": ("BertConfig", {**GROUPED, "is_decoder": True}, "no attention"),
    "LlamaModel": ("LlamaConfig", GROUPED, "load it with AutoModelForCausalLM"),
    "DiffLlamaForCausalLM": ("DiffLlamaConfig", GROUPED, "subtracts one half of its heads"),
    "BitNetForCausalLM": ("BitNetConfig", GROUPED, "normalises all heads together"),
    "MiniMaxForCausalLM": ("MiniMaxConfig", GROUPED, "normalises all heads together"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name):
    config, arguments, reason = REFUSED[name]
    with torch.device("meta"):
        model = getattr(transformers, name)(getattr(transformers, config)(**arguments))
    with pytest.raises(ValueError, match=f"heads of {name} cannot be pruned: .*{reason}.*; supported are") as error:
        head_layout(model)
    assert "\n" not in str(error.value)


def test_what_is_no_language_model_at_all():
    with pytest.raises(ValueError, match="heads of Linear cannot be pruned: it is not a Hugging Face model"):
        head_layout(torch.nn.Linear(2, 2))


def test_a_width_that_is_not_heads_of_equal_width():
    model = tiny_model("Qwen2")
    model.model.layers[1].self_attn.o_proj = torch.nn.Linear(30, 32)
    with pytest.raises(ValueError, match="layer 1's output projection takes 30 values, not 4 heads of equal width"):
        head_layout(model)


def test_an_attention_shared_by_layers():
    model = tiny_model("Qwen2")
    model.model.layers[2].self_attn = model.model.layers[0].self_attn
    with pytest.raises(ValueError, match="several of its layers share one attention"):
        head_layout(model)
