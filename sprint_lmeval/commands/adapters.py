"""`sprint-lmeval adapters`: candidates in, adapter folders out, and how to serve them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sprint_lmeval.candidates import BASE, Candidate, parse_candidates
from sprint_lmeval.commands.parsing import positive_number
from sprint_lmeval.errors import InputError
from sprint_lmeval.names import documentation
from sprint_lmeval.strategies.head_lists import every_head, parse_layers

if TYPE_CHECKING:
    from sprint_lmeval.adapters.maker import AdapterMaker

MANY = 16  # so many adapters are listed one by one in the command that serves them


def add(commands):
    parser = commands.add_parser(
        "adapters",
        help="pruned heads as LoRA adapters, for vLLM, PEFT and others",
        description=f"One adapter folder per candidate, from the model's safetensors files ({documentation('scale')}).",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="a model folder, a hub id, or tiny")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where adapters go, a folder each")
    parser.add_argument("--candidates", metavar="LIST", help="such as L5H0:L5H0+L10H3, or a file of them")
    parser.add_argument("--layers", metavar="LIST", help="every head of these layers (default: those of spread)")
    parser.add_argument("--rank", type=positive_number, metavar="R", help="zeros fill it up (default: what vLLM takes)")
    parser.add_argument("--revision", help="of a model on the hub")
    parser.add_argument("--trust-remote-code", action="store_true", help="run model code from the hub")
    parser.add_argument("--overwrite", action="store_true", help="replace adapters of another model or rank")
    return parser


def call(options) -> str:
    """Return what was written and how to serve it."""
    from sprint_lmeval.adapters.maker import ENGINE_RANKS, AdapterMaker, make_adapters

    if options.rank is not None and options.rank not in ENGINE_RANKS:
        ranks = ", ".join(map(str, ENGINE_RANKS))
        raise InputError(f"--rank {options.rank} given, vLLM takes {ranks}: give one of them, or leave it out")
    folder = Path(options.output).expanduser()
    if not str(folder.resolve()).isprintable():
        raise InputError(f"-o {options.output!a} given, whose name is not all printable text: give another folder")
    maker = AdapterMaker(options.model, revision=options.revision, trust_remote_code=options.trust_remote_code)
    candidates = chosen(options, [layer.heads for layer in maker.layout.layers])
    rank = options.rank or maker.rank(candidates)
    made = list(make_adapters(maker, candidates, folder, options.rank, options.overwrite))
    new = sum(is_new for _, is_new in made)
    there = f", {len(made) - new} of them were there" if new < len(made) else ""
    skipped = " (base needs none)" if BASE in candidates else ""
    ranks = {options.rank or maker.rank([candidate]) for candidate, _ in made}
    said = f"{len(made)} adapters of rank {', '.join(map(str, sorted(ranks)))} in {folder}{there}{skipped}"
    return f"{said}\nserve them with vLLM:\n  {serving(maker, [candidate for candidate, _ in made], folder, rank)}"


def chosen(options, heads: list[int]) -> list[Candidate]:
    """Return the candidates of `--candidates`, or every head of `--layers`."""
    if options.candidates is not None and options.layers is not None:
        raise InputError("--candidates and --layers given, which both say for what: leave one of the two out")
    if options.candidates is None:
        return every_head(heads, parse_layers(options.layers, heads))
    try:
        candidates = parse_candidates(options.candidates)
    except ValueError as error:
        raise InputError(str(error)) from None
    if candidates == [BASE]:
        raise InputError("--candidates base given, the unpruned model needs no adapter: give heads, such as L5H0")
    return candidates


def serving(maker: AdapterMaker, candidates: list[Candidate], folder: Path, rank: int) -> str:
    """Return the command that serves the adapters: a few by name, many as they are asked for."""
    from sprint_lmeval.adapters.cache import KEPT_IN_MEMORY, LOADED_AT_ONCE, pruned_modules
    from sprint_lmeval.adapters.maker import adapter_name

    modules = pruned_modules(maker.layout, candidates)
    if len(modules) == len(maker.layout.names) or not all(name.startswith("model.layers.") for name in modules):
        modules = sorted({name.rpartition(".")[2] for name in modules})  # vLLM may have other names before it
    count, folder = len(candidates), folder.resolve()
    command = (
        f"vllm serve {shlex.quote(maker.name)} --enable-lora --max-lora-rank {rank} "
        f"--lora-target-modules {' '.join(modules)} "
        f"--max-loras {min(LOADED_AT_ONCE, count)} --max-cpu-loras {min(KEPT_IN_MEMORY, count)}"
    )
    if count <= MANY:
        names = map(adapter_name, candidates)
        return f"{command} --lora-modules {' '.join(shlex.quote(lora_module(name, folder / name)) for name in names)}"
    environment = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 VLLM_PLUGINS=lora_filesystem_resolver \\\n  "
    cache = f"VLLM_LORA_RESOLVER_CACHE_DIR={shlex.quote(str(folder))} \\\n  "
    return f"{environment}{cache}{command} --api-server-count 1"


def lora_module(name: str, folder: Path) -> str:
    """Return an adapter as vLLM's `--lora-modules` reads it: NAME=PATH, or JSON where the path has one of its signs."""
    plain = not set("=,") & set(str(folder))
    return f"{name}={folder}" if plain else json.dumps({"name": name, "path": str(folder)}, ensure_ascii=False)
