"""`sprint-lmeval heads`: a model folder or hub id in, its layers and heads out, or with --rank a list of its heads.

To list them only the model's configuration is read: the model is built on the meta device, without weights.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.commands.parsing import positive_number
from sprint_lmeval.errors import InputError
from sprint_lmeval.files import write_whole
from sprint_lmeval.names import documentation
from sprint_lmeval.strategies.head_lists import spread_candidates

if TYPE_CHECKING:
    from sprint_lmeval.pruning.heads import HeadLayout

RANKS = ("retrieval", "attribution")


def add(commands):
    parser = commands.add_parser("heads", help="list a model's layers and heads", allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="a model folder, a hub id, or tiny")
    parser.add_argument("--trust-remote-code", action="store_true", help="run model code from the hub")
    parser.add_argument(
        "--rank", choices=RANKS, help=f"write the heads that matter most first ({documentation('methods')})"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="of --rank: the list (.txt)")
    parser.add_argument("--top", type=positive_number, metavar="N", help="of --rank: how many heads (default all)")
    parser.add_argument("--task", help="of --rank attribution: a task of training questions")
    parser.add_argument(
        "--questions", type=positive_number, default=32, metavar="N", help="of --rank attribution: how many (32)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of --rank: of made-up tokens or drawn questions (0)")
    parser.add_argument("--overwrite", action="store_true", help="of --rank: replace a file that is there")
    return parser


def call(options) -> str:
    """Return the listing, or what was written."""
    if options.rank is None:
        if options.output or options.top or options.task:
            raise InputError("-o, --top or --task given, which are for --rank: add --rank retrieval or attribution")
        return head_listing(options.model, trust_remote_code=options.trust_remote_code)
    return ranked_list(options)


def ranked_list(options) -> str:
    """Write the heads as a file of candidates, those that matter most first, and return what the user reads.

    Raises:
        InputError: on options, a model or a file that do not fit; before the model is loaded where that shows.
    """
    output = Path(options.output or "")
    if output.suffix != ".txt":
        raise InputError(f"-o {options.output or 'nothing'} given, the list of --rank is a file that ends in .txt")
    if output.exists() and not options.overwrite:
        raise InputError(f"{output} is there already: give another name, or --overwrite")
    if (options.rank == "attribution") != bool(options.task):
        raise InputError("--rank attribution reads training questions and retrieval none: --task is for attribution")
    scores, texts = _scores(options)
    ranked = sorted(scores, key=scores.get, reverse=True)[: options.top]
    model = Path(options.model).name if Path(options.model).is_dir() else options.model
    lines = [f"# {len(ranked)} of {len(scores)} heads of {model} by {options.rank}, highest first{texts}."]
    write_whole(output, "\n".join([*lines, *(f"{head}  # {scores[head]:.6g}" for head in ranked)]) + "\n")
    return f"{output}: {len(ranked)} of {len(scores)} heads, {ranked[0]} ({scores[ranked[0]]:.4g}) first"


def _scores(options) -> tuple[dict[Candidate, float], str]:
    """Return the score of each head, and of which texts it is."""
    from sprint_lmeval.checkpoints.pretrained import config_heads, load_eager, resolve_pretrained
    from sprint_lmeval.pruning.head_scores import attribution_scores, retrieval_scores
    from sprint_lmeval.pruning.heads import head_layout

    name, trusted = resolve_pretrained(options.model), options.trust_remote_code
    config_heads(name, trust_remote_code=trusted)  # a model without heads is refused before its weights are loaded
    texts = _worked(options)
    model, tokenizer = load_eager(name, trusted)
    layout = head_layout(model)
    try:
        if texts:
            encoded = ((tokenizer(prompt)["input_ids"], _rest(tokenizer, answer)) for prompt, answer in texts)
            found = attribution_scores(model, layout, encoded)
        else:
            special = set(tokenizer.all_special_ids)
            vocabulary = [token for token in range(len(tokenizer)) if token not in special]
            found = retrieval_scores(model, layout, vocabulary, seed=options.seed)
    except ValueError as error:
        raise InputError(str(error)) from None
    scores = {
        Candidate(((layer, head),)): float(score) for layer, row in enumerate(found) for head, score in enumerate(row)
    }
    return scores, f", on {len(texts)} questions of {options.task}, seed {options.seed}" if texts else ""


def _worked(options) -> list[tuple[str, str]]:
    from sprint_lmeval.harness.worked_questions import worked_questions

    return worked_questions(options.task, options.questions, options.seed) if options.task else []


def _rest(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def head_listing(model: str, trust_remote_code: bool = False) -> str:
    """Return a text that lists the heads of `model` (`tiny`, a folder or a hub id).

    Raises:
        InputError: the model cannot be found, or its heads cannot be pruned.
    """
    from sprint_lmeval.checkpoints.pretrained import config_heads, resolve_pretrained

    layout = config_heads(resolve_pretrained(model), trust_remote_code=trust_remote_code)
    return "\n".join(f"{name:<13} {value}" for name, value in listed(model, layout))


def listed(model: str, layout: HeadLayout) -> list[tuple[str, str]]:
    """Return (name, value) lines; consecutive layers of equal shape share one."""
    heads = [layer.heads for layer in layout.layers]
    spread = spread_candidates(heads)
    spread_layers = sorted({layer for candidate in spread for layer, _ in candidate.heads})
    last = len(heads) - 1
    return [
        ("model", model),
        ("architecture", layout.architecture),
        ("layers", f"{len(heads)}: L0 … L{last}"),
        *[("heads", line) for line in layer_lines(layout.layers)],
        ("single heads", f"{sum(heads)}: L0H0 … L{last}H{heads[last] - 1}"),
        ("spread", f"base, then {len(spread)} heads of layers {', '.join(map(str, spread_layers))}"),
    ]


def layer_lines(layers: tuple) -> list[str]:
    """Return one line per run of layers with the same number and width of heads."""
    lines = []
    for (heads, head_dim), run in groupby(enumerate(layers), key=lambda item: (item[1].heads, item[1].head_dim)):
        numbers = [number for number, _ in run]
        where = f"L{numbers[0]}" + (f" … L{numbers[-1]}" if len(numbers) > 1 else "")
        lines.append(f"{where}: {heads} each, H0 … H{heads - 1}, head_dim {head_dim}")
    return lines
