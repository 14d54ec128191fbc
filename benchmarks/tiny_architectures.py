"""Small, randomly initialised models of each supported family, for the architecture table and the tests.

In: a name. Out: a float32 model in evaluation mode, its weights fixed by a seed. Grouped queries, and a head_dim that
is not hidden / heads, wherever the family's configuration has them.
"""

import torch
import transformers
from torch import nn

BASICS = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
GROUPED = {**BASICS, "intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": 0}
WIDE = {**GROUPED, "head_dim": 12}  # 4 x 12 = 48 values enter the projection of a model 32 wide
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
FALCON = {**BASICS, "pad_token_id": 0}
GPT2 = {"vocab_size": 97, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}
VISION = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
VISION |= {"image_size": 8, "patch_size": 4}

# name: (model class, configuration class, its arguments)
TINY: dict[str, tuple[str, str, dict]] = {
    "Qwen2": ("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "Qwen3": ("Qwen3ForCausalLM", "Qwen3Config", WIDE),
    "Llama": ("LlamaForCausalLM", "LlamaConfig", WIDE),
    "Mistral": ("MistralForCausalLM", "MistralConfig", {**WIDE, "sliding_window": 6}),
    "Mixtral": ("MixtralForCausalLM", "MixtralConfig", {**WIDE, **EXPERTS}),
    "Gemma 2": ("Gemma2ForCausalLM", "Gemma2Config", {**WIDE, "sliding_window": 6}),
    "Gemma 3 (text)": ("Gemma3ForCausalLM", "Gemma3TextConfig", {**WIDE, "sliding_window": 6}),
    "Gemma 3 (with images)": (
        "Gemma3ForConditionalGeneration",
        "Gemma3Config",
        {"text_config": {**WIDE, "sliding_window": 6}, "vision_config": VISION, "mm_tokens_per_image": 4}
        | {"image_token_index": 96, "boi_token_index": 95, "eoi_token_index": 94},
    ),
    "Phi-3": ("Phi3ForCausalLM", "Phi3Config", GROUPED),
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "GPT-NeoX": ("GPTNeoXForCausalLM", "GPTNeoXConfig", {**BASICS, "intermediate_size": 48}),
    "OPT": (
        "OPTForCausalLM",
        "OPTConfig",
        {**BASICS, "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 128},
    ),
    "OLMo 2": ("Olmo2ForCausalLM", "Olmo2Config", GROUPED),
    "StarCoder 2": ("Starcoder2ForCausalLM", "Starcoder2Config", GROUPED),
    "Falcon (one key head)": ("FalconForCausalLM", "FalconConfig", {**FALCON, "multi_query": True}),
    "Falcon (grouped)": (
        "FalconForCausalLM",
        "FalconConfig",
        {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "Falcon (ALiBi)": (
        "FalconForCausalLM",
        "FalconConfig",
        {**FALCON, "alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
    ),
    "BLOOM": ("BloomForCausalLM", "BloomConfig", {"vocab_size": 97, "hidden_size": 32, "n_layer": 3, "n_head": 4}),
    "Granite": ("GraniteForCausalLM", "GraniteConfig", GROUPED),
    "Phi": ("PhiForCausalLM", "PhiConfig", GROUPED),
    "GPT-J": ("GPTJForCausalLM", "GPTJConfig", {**GPT2, "rotary_dim": 4}),
    "GPT-BigCode": ("GPTBigCodeForCausalLM", "GPTBigCodeConfig", {**GPT2, "multi_query": True}),
    "Qwen3-MoE": (
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        {**WIDE, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    ),
    "DeepSeek-V2": (
        "DeepseekV2ForCausalLM",
        "DeepseekV2Config",
        {**GROUPED, "num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4}
        | {"qk_nope_head_dim": 6, "v_head_dim": 12, "n_routed_experts": 4, "num_experts_per_tok": 2}
        | {"moe_intermediate_size": 16, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    ),
}


def tiny_model(name: str, seed: int = 0) -> nn.Module:
    """The model called `name` in `TINY`; its matrices are drawn wide enough that every head matters."""
    model_class, config_class, arguments = TINY[name]
    config = getattr(transformers, config_class)(**arguments)
    torch.manual_seed(seed)
    model = getattr(transformers, model_class)(config).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 0.2)
    if model.generation_config is not None:
        model.generation_config.eos_token_id = None
        model.generation_config.pad_token_id = 0
    return model
