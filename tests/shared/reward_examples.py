"""A reward model of random weights, and what it says of a text, by a plain call of transformers."""

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

from sprint_lmeval.tiny import MODEL_FOLDER


def reward_folder(folder, labels: int = 1, template: bool = False, pad: bool = True):
    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(MODEL_FOLDER)
    if template:
        tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    if not pad:
        tokenizer.pad_token = None
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 8,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        num_labels=labels,
        pad_token_id=None,
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def reward_by_hand(folder: str, text: str, other: str | None = None) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(**tokenizer(text, other, return_tensors="pt", return_token_type_ids=False)).logits[0]
