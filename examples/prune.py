"""How much a silenced head changes the next token's logits, on the embedded model."""

from transformers import AutoModelForCausalLM, AutoTokenizer

from sprint_lmeval import prune_heads
from sprint_lmeval.tiny import MODEL_FOLDER as TINY

model, tokenizer = AutoModelForCausalLM.from_pretrained(TINY), AutoTokenizer.from_pretrained(TINY)
inputs = tokenizer(["Question: Tom has 3 apples and buys 4 more. How many has he?\nAnswer:"] * 2, return_tensors="pt")
with prune_heads(model, ["base", "L1H2"]):  # row 0: the whole model; row 1: without head 2 of layer 1
    logits = model(**inputs).logits
print(bool((logits[0] - logits[1]).abs().max() > 0.1))
# True
