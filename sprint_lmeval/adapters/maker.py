"""Candidate -> LoRA adapter folder: the pruned head as weights that any engine for adapters serves.

In: a model's safetensors files and candidates. Out: folders as PEFT writes them, one a candidate. Pruning heads takes
their columns out of the output projection: W x becomes W x - W[:, columns] x[columns]. That is a LoRA of rank
head_dim on this projection, with A the identity's rows of these columns and B = -W[:, columns]; several heads stand
one below the other, and a rank that an engine does not take is filled up with zeros. Merged, the columns become exactly
zero. Biases are untouched. Only the projections are read, one at a time; the model is never loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from transformers.pytorch_utils import Conv1D

from sprint_lmeval.adapters.folder import CONFIG_FILE, WEIGHTS_FILE, is_there, rank_there, write_files
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.checkpoints.fingerprint import weight_files
from sprint_lmeval.checkpoints.pretrained import config_heads, fetch_config, resolve_pretrained
from sprint_lmeval.errors import InputError
from sprint_lmeval.pruning.heads import HeadLayout
from sprint_lmeval.pruning.hooks import check_heads

# What vLLM takes as max_lora_rank (vllm/config/lora.py).
ENGINE_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LONGEST_NAME = 200  # of a folder, in characters; file systems allow 255 bytes
FINGERPRINT_DIGITS = 12


class AdapterMaker:
    """Makes the adapters of one model.

    Args:
        pretrained: folder, hub id or `tiny`, with safetensors files.
        arguments: revision, subfolder, variant, token, cache_dir, trust_remote_code, as for `from_pretrained`.

    Raises:
        InputError: the model is quantised, has no safetensors files, or its projections are not in them as they are in
            the model.
    """

    def __init__(self, pretrained: str, **arguments: object) -> None:
        self.name = resolve_pretrained(pretrained)
        self.revision = arguments.get("revision")
        if getattr(fetch_config(self.name, **arguments), "quantization_config", None) is not None:
            raise InputError(f"{pretrained} is quantised, {NOT_QUANTISED}")
        self.layout = config_heads(self.name, **arguments)
        self._weights = Weights(self.name, arguments)
        self._last: tuple[int, torch.Tensor] | None = None

    def rank(self, candidates: Iterable[Candidate]) -> int:
        """Return the rank for engines that serves all of these candidates. InputError where there is none."""
        candidates = list(candidates)
        _check(self.layout, candidates)
        return engine_rank(self.layout, candidates)

    def write(
        self,
        candidate: Candidate,
        folder: Path,
        rank: int | None = None,
        overwrite: bool = False,
        at_most: int | None = None,
    ) -> bool:
        """Write one adapter; False where it is there already.

        Args:
            candidate: not `base`, which needs no adapter.
            folder: of this adapter; made where it is missing.
            rank: zeros fill the adapter up to it; None: the smallest one that vLLM takes.
            overwrite: replace an adapter of another model or rank.
            at_most: the same adapter in another rank up to this one does too; None: `rank`, or any.

        Raises:
            InputError: a head that the model has not, another adapter in the folder, a full or read-only disk.
        """
        layers, least = sorted({layer for layer, _ in candidate.heads}), self.rank([candidate])

        def content(rank: int) -> dict[str, bytes]:
            return self._files(layers, rank, self.tensors(candidate, rank))

        other = rank_there(folder)
        if not overwrite and other in ENGINE_RANKS and other >= least and is_there(folder, content(other)):
            if other <= (at_most or rank or ENGINE_RANKS[-1]):
                return False
            overwrite = True  # too wide for this engine; nothing but zeros goes
        return write_files(folder, content(rank or least), overwrite)

    def write_nothing(self, folder: Path) -> bool:
        """Write an adapter of zeros: the unpruned model, for an engine that wants one in every row."""
        weight, name = self._projection(0), f"base_model.model.{self.layout.names[0]}"
        zeros = {
            f"{name}.lora_A.weight": weight.new_zeros(ENGINE_RANKS[0], weight.shape[1]),
            f"{name}.lora_B.weight": weight.new_zeros(weight.shape[0], ENGINE_RANKS[0]),
        }
        return write_files(folder, self._files([0], ENGINE_RANKS[0], zeros), overwrite=False)

    def _files(self, layers: list[int], rank: int, tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
        return {CONFIG_FILE: self._config(layers, rank), WEIGHTS_FILE: save(tensors, {"format": "pt"})}

    def tensors(self, candidate: Candidate, rank: int | None = None) -> dict[str, torch.Tensor]:
        """Return A [rank, heads * head_dim] and B [out, rank] of every projection, under PEFT's names."""
        if not candidate.heads:
            raise InputError("base given, the unpruned model needs no adapter: leave it out")
        _check(self.layout, [candidate])
        needed = smallest_rank(self.layout, [candidate])
        if rank is not None and rank < needed:
            raise InputError(f"rank {rank} given, {candidate} needs at least {needed}: leave the rank out")
        found = {}
        for layer in sorted({layer for layer, _ in candidate.heads}):
            a, b = self._pair(layer, [head for number, head in candidate.heads if number == layer], rank or needed)
            name = f"base_model.model.{self.layout.names[layer]}"
            found[f"{name}.lora_A.weight"], found[f"{name}.lora_B.weight"] = a, b
        return found

    def _pair(self, number: int, heads: list[int], rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        weight, dim = self._projection(number), self.layout.layers[number].head_dim
        columns = torch.cat([torch.arange(head * dim, (head + 1) * dim) for head in heads])
        a = torch.zeros(rank, weight.shape[1], dtype=weight.dtype)
        a[torch.arange(len(columns)), columns] = 1
        b = torch.zeros(weight.shape[0], rank, dtype=weight.dtype)
        b[:, : len(columns)] = -weight[:, columns]
        return a, b

    def _projection(self, number: int) -> torch.Tensor:
        """Return a layer's projection, [out, heads * head_dim]; the last one read is kept for its other heads."""
        if self._last is None or self._last[0] != number:
            self._last = None
            layer, name = self.layout.layers[number], self.layout.names[number]
            weight = self._weights.read(name)
            if isinstance(layer.projection, Conv1D):
                weight = weight.T if weight.ndim == 2 else weight
            expected = (_outputs(layer.projection), layer.heads * layer.head_dim)
            if tuple(weight.shape) != expected:
                raise InputError(
                    f"{name} is {list(weight.shape)} in the files of {self.name} and {list(expected)} in the model "
                    f"(fused with something else?): adapters cannot be made of it, {WITHOUT_ADAPTERS}"
                )
            self._last = (number, weight)
        return self._last[1]

    def _config(self, layers: list[int], rank: int) -> bytes:
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.name,
            "revision": self.revision,
            "r": rank,
            "lora_alpha": rank,  # alpha / r = 1
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": isinstance(self.layout.layers[layers[0]].projection, Conv1D),
            "target_modules": [self.layout.names[layer] for layer in layers],
            "inference_mode": True,
        }
        return (json.dumps(config, indent=2) + "\n").encode()


WITHOUT_ADAPTERS = "evaluate the model with hf-pruned-bon, which needs none"
NOT_QUANTISED = (
    f"and an adapter is made of the projections' own numbers: give the unquantised model, or {WITHOUT_ADAPTERS}"
)


class Weights:
    """Tensors of a model by name, read one at a time from its safetensors files."""

    def __init__(self, name: str, arguments: dict) -> None:
        self.name = name
        paths = weight_files(name, **arguments)
        if not all(path.endswith(".safetensors") for path in paths):
            raise InputError(
                f"{name} has no safetensors files, which adapters are made of: save the model with save_pretrained"
            )
        self._file_of: dict[str, str] = {}
        for path in paths:
            with _opened(path) as file:
                self._file_of |= dict.fromkeys(file.keys(), path)

    def read(self, module: str) -> torch.Tensor:
        """Return the weight of a module, named as in the loaded model."""
        name = self._stored_name(module)
        with _opened(self._file_of[name]) as file:
            weight = file.get_tensor(name)
        if weight.dtype not in FLOATS:
            raise InputError(f"{name} of {self.name} is stored as {weight.dtype} (quantised), {NOT_QUANTISED}")
        return weight

    def _stored_name(self, module: str) -> str:
        """Files may lack the model's outer prefixes or have others: what counts is the part from the layer's number."""
        if f"{module}.weight" in self._file_of:
            return f"{module}.weight"
        parts = module.split(".")
        number = next((i for i, part in enumerate(parts) if part.isdecimal()), 1)
        tail = ".".join([*parts[number - 1 :], "weight"])
        found = [name for name in self._file_of if name == tail or name.endswith(f".{tail}")]
        if len(found) != 1:
            what = f"{len(found)} tensors of that name" if found else "no tensor of that name (fused or quantised?)"
            raise InputError(
                f"{module}.weight: the files of {self.name} have {what}, so that adapters cannot be made of them: "
                + WITHOUT_ADAPTERS
            )
        return found[0]


def smallest_rank(layout: HeadLayout, candidates: Iterable[Candidate]) -> int:
    """Return the largest width that a candidate prunes in one layer; 0 for nothing but `base`."""
    ranks = [0]
    for candidate in candidates:
        for number in {layer for layer, _ in candidate.heads}:
            heads = sum(layer == number for layer, _ in candidate.heads)
            ranks.append(heads * layout.layers[number].head_dim)
    return max(ranks)


def engine_rank(layout: HeadLayout, candidates: Iterable[Candidate]) -> int:
    """Return the smallest rank that vLLM takes for all of these candidates."""
    candidates = list(candidates)
    needed = smallest_rank(layout, candidates)
    rank = next((rank for rank in ENGINE_RANKS if rank >= needed), None)
    if rank is None:
        widest = max(candidates, key=lambda candidate: smallest_rank(layout, [candidate]))
        raise InputError(
            f"candidate {widest} silences {needed} values of one layer, an adapter in vLLM has at most "
            f"{ENGINE_RANKS[-1]}: prune fewer heads of one layer, or {WITHOUT_ADAPTERS}"
        )
    return rank


def adapter_name(candidate: Candidate, fingerprint: str | None = None) -> str:
    """Return the name of a candidate's adapter: its notation, which its folder bears too.

    On a server the beginning of the model's fingerprint follows: an engine's prefix cache knows adapters by their names
    only, and would give another model's keys and values to an adapter that is loaded again under an old name.
    """
    name = str(candidate)
    if len(name) > LONGEST_NAME:
        raise InputError(f"candidate {name[:40]}... has {len(candidate.heads)} heads, too many for an adapter's name")
    return f"{name}@{fingerprint[:FINGERPRINT_DIGITS]}" if fingerprint else name


def make_adapters(
    maker: AdapterMaker, candidates: Sequence[Candidate], folder: Path, rank: int | None = None, overwrite: bool = False
) -> Iterator[tuple[Candidate, bool]]:
    """Write the adapters of all candidates but `base` and yield each with whether it is new; layer by layer."""
    at_most = rank or maker.rank(candidates)
    for candidate in sorted(candidate for candidate in candidates if candidate != BASE):
        yield candidate, maker.write(candidate, folder / adapter_name(candidate), rank, overwrite, at_most)


def _check(layout: HeadLayout, candidates: Sequence[Candidate]) -> None:
    try:
        check_heads(layout, candidates)
    except ValueError as error:
        raise InputError(str(error)) from None


def _outputs(projection: torch.nn.Module) -> int:
    return projection.nf if isinstance(projection, Conv1D) else projection.weight.shape[0]


def _opened(path: str):
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error}): restore the model's files") from None
