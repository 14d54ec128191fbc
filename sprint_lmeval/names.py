"""Names that users type and several packages read: the default model, our model arguments."""

PAPER_MODEL = "Qwen/Qwen2.5-Math-1.5B-Instruct"  # what `pretrained` is where nobody gives it
MODEL_ARGUMENTS = (  # of the *-pruned-bon models, beside those of the harness's own
    "head_masks",
    "strategy",
    "pool",
    "strategy_seed",
    "first",
    "codes",
    "selector",
    "selector_encoder",
    "selector_check",
    "priority",
    "levels",
    "fill",
    "store",
    "n",
)
