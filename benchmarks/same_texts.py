"""Random small models, prompts and settings: does each row of a batch get the text that it gets alone?

    python -m benchmarks.same_texts --rounds 200     # a family, its rows and its settings are drawn anew each round

Compared with transformers' `generate` of every row by itself, in float32. A differing text counts as a near-tie where
the two best logits are closer than 1e-4 where the texts part.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from benchmarks.tiny_architectures import TINY, tiny_model
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation import decode as generation
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.fast.device_limits import DeviceLimits
from sprint_lmeval.generation.rows import Response, Row, Settings
from sprint_lmeval.pruning.hooks import head_layout, prune_heads

TIE = 1e-4
LONGEST = 128  # tokens that the shortest of these models take


@dataclass(frozen=True)
class Round:
    """What a round found; `fast` is whether the fast way was open, `differing` are rows with the gap of each."""

    name: str
    rows: int
    fast: bool
    differing: dict[Row, float]

    @property
    def wrong(self) -> list[Row]:
        return [row for row, gap in self.differing.items() if gap >= TIE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    total: Counter = Counter()
    for seed in tqdm(range(options.seed, options.seed + options.rounds)):
        outcome = round_of(seed)
        wrong = len(outcome.wrong)
        total.update(rows=outcome.rows, fast=outcome.rows * outcome.fast, wrong=wrong)
        total.update(ties=len(outcome.differing) - wrong)
        if wrong:
            tqdm.write(f"round {seed}, {outcome.name}: {outcome.wrong}")
    print(f"{total['rows']} rows ({total['fast']} the fast way): {total['wrong']} differ, {total['ties']} near-ties")


def round_of(seed: int) -> Round:
    """Draw a model, rows and settings; decode the rows together and one by one."""
    draw = random.Random(seed)
    name = draw.choice(list(TINY))
    model = model_named(name)
    rows, settings = drawn_rows(draw, model), drawn_settings(draw)
    rows = with_beginnings(random.Random(f"beginnings of {seed}"), rows)
    model.generation_config.eos_token_id, settings = drawn_ends(draw, model, rows, settings)
    with memory_of(draw.choice([1, 1 << 14, 1 << 18, 1 << 27])), watched() as ways:
        together = dict(generate(model, tokenizer(), rows, settings))
    with plain():
        alone = {row: dict(generate(model, tokenizer(), [row], settings))[row] for row in rows}
    pairs = {row: (together[row], alone[row]) for row in rows if together[row] != alone[row]}
    differing = {row: gap(model, row, settings, *pair) for row, pair in pairs.items()}
    return Round(name, len(rows), ways == [None], differing)


def drawn_rows(draw: random.Random, model) -> list[Row]:
    """Return rows of few prompts: of one token, of the model's whole length, with and without a common beginning."""
    heads = [layer.heads for layer in head_layout(model).layers]
    begun = words(draw, draw.choice([0, 0, 20]))
    lengths = draw.sample([1, 2, 5, 7, 12, 30, 2 * LONGEST], draw.randint(1, 4))
    prompts = [" ".join(filter(None, [begun, words(draw, length)])) for length in lengths]
    sampled = draw.random() < 0.25
    candidates = [BASE, *(Candidate(((x, h),)) for x in range(len(heads)) for h in range(heads[x]))]
    candidates.append(Candidate(((0, 0), (len(heads) - 1, 1))))
    rows = []
    for prompt in prompts:
        for number, candidate in enumerate(draw.sample(candidates, draw.randint(1, len(candidates)))):
            rows.append(Row(prompt, candidate, number, draw.randrange(1000)) if sampled else Row(prompt, candidate))
    return rows


def with_beginnings(draw: random.Random, rows: list[Row]) -> list[Row]:
    """In some rounds, give rows answer tokens, which share beginnings, and samples a code."""
    if rows[0].seed is not None and draw.random() < 0.5:
        rows = [replace(row, code=draw.random()) for row in rows]
    if draw.random() < 0.6:
        return rows
    texts, begun = [draw.choices(range(1, 90), k=24) for _ in range(2)], []
    for row in rows:
        for own in draw.sample(range(3), 2):  # so many tokens of the row's own behind a shared beginning
            given = draw.choice(texts)[: draw.randrange(24)] + draw.choices(range(1, 90), k=own)
            begun.append(replace(row, sample=len(begun), given=tuple(given)))
    return begun


def drawn_settings(draw: random.Random) -> Settings:
    new = draw.choice([1, 2, 9, 22, 40])
    penalty = draw.choice([{}, {}, {"repetition_penalty": 1.3}])
    return Settings(
        new,
        batch_size=draw.choice([1, 3, 8, 64]),
        max_prompt_tokens=LONGEST - new,
        temperature=0.8,
        top_k=draw.choice([0, 10]),
        generate_arguments=penalty,
    )


def drawn_ends(draw: random.Random, model, rows: list[Row], settings: Settings) -> tuple[list[int], Settings]:
    """Return end tokens and stop strings that some rows write: first of all, in the middle, across two tokens."""
    with plain():
        model.generation_config.eos_token_id = None
        free = [response.text.split() for _, response in generate(model, tokenizer(), rows[:6], settings)]
    written = [text for text in free if len(text) > 1]
    if not written or draw.random() < 0.2:
        return [96], settings
    ends = [draw.choice(draw.choice(written)[: draw.choice([1, 99])]) for _ in range(draw.randint(0, 3))]
    text, index = (found := draw.choice(written)), draw.randrange(len(found) - 1)
    until = draw.choice([(), (f"{text[index]} {text[index + 1]}", "w3 w4 w5"), (text[index],)])
    return [int(end[1:]) for end in ends if end[1:].isdigit()] or [96], replace(settings, until=until)


def gap(model, row: Row, settings: Settings, response: Response, alone: Response) -> float:
    """Return how far the two best logits of a row alone are apart where two texts part; infinite for samples."""
    if row.seed is not None:
        return float("inf")
    written = [response.text.split(), alone.text.split()]  # a word is a token here
    same = next((i for i, (a, b) in enumerate(zip(*written, strict=False)) if a != b), min(map(len, written)))
    ids = tokenizer()(row.prompt, return_tensors="pt")["input_ids"][:, -settings.max_prompt_tokens :]
    ids, same = torch.cat([ids, torch.tensor([row.given], dtype=ids.dtype)], 1), same - len(row.given)
    options = {"return_dict_in_generate": True, "output_logits": True, "do_sample": False, "pad_token_id": 0}
    with prune_heads(model, [row.candidate]):
        output = model.generate(ids, max_new_tokens=settings.max_new_tokens, **options, **settings.generate_arguments)
    if not 0 <= same < len(output.logits):
        return float("inf")
    best = output.logits[same].topk(2).values[0]
    return (best[0] - best[1]).item()


def words(draw: random.Random, count: int) -> str:
    return " ".join(f"w{draw.randrange(1, 90)}" for _ in range(count))


@cache
def model_named(name: str):
    return tiny_model(name)


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of 97 words: w0 to w95 and one for all others."""
    known = Tokenizer(WordLevel({f"w{i}": i for i in range(96)} | {"[UNK]": 96}, unk_token="[UNK]"))
    known.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=known, pad_token="w0", unk_token="[UNK]")


@contextmanager
def replaced(**names) -> Iterator[None]:
    kept = {name: getattr(generation, name) for name in names}
    try:
        for name, value in names.items():
            setattr(generation, name, value)
        yield
    finally:
        for name, value in kept.items():
            setattr(generation, name, value)


def plain():
    return replaced(why_not_fast=lambda *args: "compared with")


def memory_of(cache_bytes: int):
    return replaced(limits_of=lambda *_: DeviceLimits(24, 512, 1 << 20, cache_bytes, 2 * cache_bytes))


@contextmanager
def watched() -> Iterator[list]:
    """Within the block, the list receives why a call of `generate` does not go the fast way (None: it does)."""
    ways: list[str | None] = []
    why_not_fast = generation.why_not_fast

    def noted(*args):
        ways.append(why_not_fast(*args))
        return ways[-1]

    with replaced(why_not_fast=noted):
        yield ways


if __name__ == "__main__":
    main()
