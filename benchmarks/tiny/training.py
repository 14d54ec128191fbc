"""Trains the embedded model from nothing: problems of `stream` in, the folder tiny/model out.

    python -m benchmarks.tiny.training                 # what made the committed weights
    python -m benchmarks.tiny.training --steps 40 --out /tmp/try

First a byte-level BPE tokenizer with single digits, then a small Qwen2 decoder in float32 (AdamW, warm-up, linear
decay, loss mostly on the completion). Weights are rounded to bfloat16 at the end. One machine, one command, one digest:
the data of every step follows from the seed and the step's number, algorithms are deterministic and the thread count is
fixed. A run that was stopped goes on from `checkpoint.safetensors` in the output folder, with the same result.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path
from random import Random

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from sprint_lmeval.tiny import MODEL_FOLDER
from sprint_lmeval.tiny.problems import Problem, stream

END, PAD = "<|endoftext|>", "<|pad|>"
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"  # the plain text, unchanged
MAX_LENGTH = 1_024  # tokens
TOKENIZER_TEXTS = 4_000  # problems
BATCHES_PER_CHUNK = 4  # sorted by length together: little padding, and still several families in a batch
PROMPT_WEIGHT = 0.2  # of a prompt's token in the loss; questions repeat names, which teaches copying early

Batch = tuple[torch.Tensor, torch.Tensor]  # token ids and the weight of each in the loss, [rows, time] both


@dataclass(frozen=True)
class Training:
    steps: int = 3_000
    rows: int = 16  # problems per step
    seed: int = 0
    threads: int = 1
    peak_learning_rate: float = 2e-3
    warm_up: int = 50  # steps
    weight_decay: float = 0.1
    vocabulary: int = 640
    save_every: int = 100  # steps


def train_tokenizer(settings: Training) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which every digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (problem.prompt + problem.completion for problem in stream(f"tokenizer-{settings.seed}"))
    tokenizer.train_from_iterator(islice(texts, TOKENIZER_TEXTS), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    return Qwen2ForCausalLM(config)


def batches(tokenizer: PreTrainedTokenizerFast, settings: Training, first: int) -> Iterator[Batch]:
    """The data of step `first` and of those after it; padding stands on the right."""
    for chunk in count(first // BATCHES_PER_CHUNK):
        name = f"{settings.seed}-{chunk}"
        problems = islice(stream(name), BATCHES_PER_CHUNK * settings.rows)
        examples = sorted((encode(tokenizer, problem) for problem in problems), key=lambda example: len(example[0]))
        starts = list(range(0, len(examples), settings.rows))
        Random(f"order {name}").shuffle(starts)
        for start in starts[max(0, first - chunk * BATCHES_PER_CHUNK) :]:
            yield pad(examples[start : start + settings.rows], tokenizer.pad_token_id)


def encode(tokenizer: PreTrainedTokenizerFast, problem: Problem) -> tuple[list[int], list[float]]:
    """Token ids of one problem, and the weight of each in the loss."""
    prompt = tokenizer(problem.prompt)["input_ids"]
    completion = tokenizer(problem.completion)["input_ids"] + [tokenizer.eos_token_id]
    return prompt + completion, [PROMPT_WEIGHT] * len(prompt) + [1.0] * len(completion)


def pad(examples: list[tuple[list[int], list[float]]], pad_token: int) -> Batch:
    length = max(len(ids) for ids, _ in examples)
    ids = [ids + [pad_token] * (length - len(ids)) for ids, _ in examples]
    weights = [weights + [0.0] * (length - len(weights)) for _, weights in examples]
    return torch.tensor(ids), torch.tensor(weights)


def weighted_loss(model: Qwen2ForCausalLM, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean cross-entropy. Padding on the right needs no mask under causal attention."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]  # [rows, time - 1, vocabulary]
    losses = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


def new_optimizer(model: Qwen2ForCausalLM, settings: Training) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def learning_rate(settings: Training, step: int) -> float:
    """Rises over `warm_up` steps, then falls to 0 at `steps`."""
    return settings.peak_learning_rate * min((step + 1) / settings.warm_up, (settings.steps - step) / settings.steps)


def save_checkpoint(
    path: Path, model: Qwen2ForCausalLM, optimizer: torch.optim.AdamW, step: int, settings: Training
) -> None:
    tensors = {f"weight/{name}": p.detach() for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        tensors |= {f"{key}/{name}": optimizer.state[p][key] for key in ("exp_avg", "exp_avg_sq", "step")}
    note = json.dumps({"step": step, "settings": asdict(replace(settings, save_every=0))})
    save_file(tensors, path.with_suffix(".part"), metadata={"note": note})
    path.with_suffix(".part").replace(path)


def load_checkpoint(path: Path, model: Qwen2ForCausalLM, optimizer: torch.optim.AdamW, settings: Training) -> int:
    """Puts weights and optimizer state back; returns the number of steps done, 0 without a checkpoint."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        note = json.loads(file.metadata()["note"])
        if note["settings"] != asdict(replace(settings, save_every=0)):
            raise ValueError(f"{path} was made with {note['settings']}; give the same settings, or remove it")
        for name, p in model.named_parameters():
            p.data.copy_(file.get_tensor(f"weight/{name}"))
            optimizer.state[p] = {key: file.get_tensor(f"{key}/{name}") for key in ("exp_avg", "exp_avg_sq", "step")}
    return note["step"]


def fit(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, settings: Training, checkpoint: Path, stop: int
) -> None:
    """Trains in place up to step `stop`, from the checkpoint if there is one."""
    optimizer = new_optimizer(model, settings)
    done = load_checkpoint(checkpoint, model, optimizer, settings)
    data = batches(tokenizer, settings, done)
    bar = tqdm(range(done, stop), initial=done, total=stop, desc="training", unit="step", mininterval=5)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        loss = weighted_loss(model, *next(data))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % settings.save_every == 0:
            save_checkpoint(checkpoint, model, optimizer, step + 1, settings)


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> str:
    """Writes the model folder, weights rounded to bfloat16, and returns the sha256 of the weights.

    `dtype` in the configuration stays float32, so that the model runs in float32 unless asked otherwise.
    """
    tokenizer.save_pretrained(out)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(out)
    tokens = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    GenerationConfig(do_sample=False, **tokens).save_pretrained(out)
    weights = {name: p.detach().to(torch.bfloat16).contiguous() for name, p in model.named_parameters()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def train(settings: Training, out: Path, stop: int | None = None) -> str:
    """Trains to the end, or to step `stop`, and returns the digest of the saved weights."""
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(settings)
    model = new_model(tokenizer, settings.seed)
    checkpoint = out / "checkpoint.safetensors"
    fit(model, tokenizer, settings, checkpoint, settings.steps if stop is None else stop)
    digest = save(model, tokenizer, out)
    if stop is None:
        checkpoint.unlink(missing_ok=True)
    return digest


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny.training", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="folder of the result; default: tiny/model")
    for name in ("steps", "seed", "threads", "save_every"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(Training, name), help="default: %(default)s")
    given = vars(parser.parse_args())
    out = given.pop("out")
    print(f"model.safetensors sha256 {train(Training(**given), out)}")


if __name__ == "__main__":
    main()
