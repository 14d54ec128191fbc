"""Which model this is, whatever its folder is called: a sha256 over its configuration and weights.

In: a folder, a hub id or a loaded model. Out: 64 hexadecimal digits. Files are read as a stream and no weights are
loaded; the sum of each file is kept in the user's cache folder under its path, size and time of change, so that
gigabytes are read once. What decides an answer beside these files (dtype, attention, settings, tokenizer) is not part
of it. The same weights in other files (other shards, another format, a loaded model) have another fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sprint_lmeval.checkpoints.pretrained import resolve_pretrained
from sprint_lmeval.errors import InputError, cause

if TYPE_CHECKING:
    from torch import nn

CHUNK = 1 << 22
MAX_JSON = 64 << 20
MAX_SHARDS = 10_000
VOLATILE = ("_name_or_path", "transformers_version", "_commit_hash")  # of a configuration: say nothing of the model
SHA256 = re.compile(r"[0-9a-f]{64}")
OF_THE_HUB = ("token", "cache_dir", "force_download", "local_files_only", "proxies")

Finder = Callable[[str], str | None]  # file name -> path, None where the model has no such file


def model_fingerprint(
    pretrained: str | nn.Module,
    revision: str | None = None,
    *,
    subfolder: str = "",
    variant: str | None = None,
    use_safetensors: bool | None = None,
    gguf_file: str | None = None,
    **of_the_hub: object,
) -> str:
    """Return the fingerprint of a model.

    Args:
        pretrained: folder, hub id, `tiny`, or a loaded model, whose tensors are hashed.
        revision, subfolder, variant, use_safetensors, gguf_file: as in transformers' `from_pretrained`.
        of_the_hub: token, cache_dir and the like; what the hub has and this machine has not is fetched.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    if not isinstance(pretrained, str):
        return _of_module(pretrained)
    find = _finder(resolve_pretrained(pretrained), revision, subfolder, of_the_hub)
    if gguf_file is not None:
        return _combined({}, [(gguf_file, _required(find, gguf_file, pretrained))])
    config = _json(_required(find, "config.json", pretrained))
    names = [*_weights(find, pretrained, variant, use_safetensors), *_code(find, config)]
    return _combined(config, [(name, _required(find, name, pretrained)) for name in names])


def adapter_fingerprint(adapter: str, revision: str | None = None, **of_the_hub: object) -> str:
    """Return the fingerprint of a PEFT adapter: a folder or hub id with adapter_config.json and its weights."""
    find = _finder(adapter, revision, "", of_the_hub)
    config = _json(_required(find, "adapter_config.json", adapter))
    names = [n for n in ("adapter_model.safetensors", "adapter_model.bin") if find(n)][:1]
    return _combined(config, [(name, _required(find, name, adapter)) for name in names])


def weight_files(pretrained: str, revision: str | None = None, **options: object) -> list[str]:
    """Return the paths of the files that hold a model's weights; takes the options of `model_fingerprint`."""
    of_files = {key: options.pop(key) for key in ("variant", "use_safetensors") if key in options}
    find = _finder(resolve_pretrained(pretrained), revision, str(options.pop("subfolder", "")), options)
    names = _weights(find, pretrained, of_files.get("variant"), of_files.get("use_safetensors"))
    return [_required(find, name, pretrained) for name in names]


def _combined(config: dict, files: list[tuple[str, str]]) -> str:
    config = {key: value for key, value in config.items() if key not in VOLATILE}
    content = {"config": config, "files": [[name, file_sha256(path)] for name, path in files]}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# ---- which files ----


def _finder(name: str, revision: str | None, subfolder: str, of_the_hub: dict) -> Finder:
    folder = Path(name).expanduser()
    if folder.is_dir():
        inside = folder / (subfolder or "")
        return lambda file: str(inside / file) if (inside / file).is_file() else None

    def find(file: str) -> str | None:
        from transformers.utils import cached_file

        options = {key: value for key, value in of_the_hub.items() if key in OF_THE_HUB and value is not None}
        missing = {f"_raise_exceptions_for_{kind}": False for kind in ("missing_entries", "connection_errors")}
        try:
            return cached_file(name, file, revision=revision or "main", subfolder=subfolder or "", **missing, **options)
        except OSError as error:
            said = cause(error)
            raise InputError(f"the files of {name} could not be had ({said}): give the folder of the model") from None

    return find


def _required(find: Finder, file: str, name: str) -> str:
    path = find(file)
    if path is None:
        raise InputError(f"{name} has no file {file}: its fingerprint needs it; restore the model's files")
    return path


def _weights(find: Finder, name: str, variant: str | None, use_safetensors: bool | None) -> Iterator[str]:
    """Names of the files that transformers would load, in the order in which it looks for them."""
    dotted = f".{variant}" if variant else ""
    safe = [f"model{dotted}.safetensors", f"model.safetensors.index{dotted}.json"]
    pickled = [f"pytorch_model{dotted}.bin", f"pytorch_model.bin.index{dotted}.json"]
    for file in pickled if use_safetensors is False else [*safe, *pickled]:
        path = find(file)
        if path is None:
            continue
        shards = [file] if not file.endswith(".json") else _shards(path)
        return iter(shards)
    raise InputError(f"{name} has no weights that transformers would load ({safe[0]}): restore the model's files")


def _shards(index: str) -> list[str]:
    listed = _json(index).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
        raise InputError(f"{index} lists no weights: restore the model's files")
    shards = sorted(set(listed.values()))
    if len(shards) > MAX_SHARDS or any(Path(s).is_absolute() or ".." in Path(s).parts for s in shards):
        raise InputError(f"{index} lists weights outside of the model's folder: restore the model's files")
    return shards


def _code(find: Finder, config: dict) -> list[str]:
    """Modules that a model brings along itself, as far as its configuration names them."""
    listed = config.get("auto_map")
    names = [n for n in listed.values() if isinstance(n, str)] if isinstance(listed, dict) else []
    modules = {f"{name.split('.')[0]}.py" for name in names if "--" not in name}
    return sorted(module for module in modules if find(module))


def _json(path: str) -> dict:
    try:
        if os.path.getsize(path) > MAX_JSON:
            raise InputError(f"{path} has more than {MAX_JSON:,} bytes, so it is no description of a model")
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read ({error}): restore the model's files") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not an object: restore the model's files")
    return content


# ---- one file, read once ----


def file_sha256(path: str) -> str:
    """Return the sha256 of a file's content, from the user's cache where the file has not changed since."""
    real = os.path.realpath(path)
    name = os.path.basename(real)
    if os.path.basename(os.path.dirname(real)) == "blobs" and SHA256.fullmatch(name):
        return name  # the hub's cache names large files by their content
    status = os.stat(real)
    stamp = [real, status.st_size, status.st_mtime_ns]
    kept = _cache_folder() / f"{hashlib.sha256(os.fsencode(real)).hexdigest()}.json"
    known = _kept(kept, stamp)
    if known is None:
        known = _streamed(real)
        _keep(kept, [*stamp, known])
    return known


def _streamed(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): restore the model's files") from None
    return digest.hexdigest()


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "sprint-lmeval" / "fingerprints"


def _kept(path: Path, stamp: list) -> str | None:
    try:
        content = json.loads(path.read_bytes()[:10_000])
    except (OSError, ValueError):
        return None
    fits = isinstance(content, list) and content[:-1] == stamp and isinstance(content[-1], str)
    return content[-1] if fits and SHA256.fullmatch(content[-1]) else None


def _keep(path: Path, content: list) -> None:
    """Write whole or not at all; a home without room or right to write costs a second reading, nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as stream:
            json.dump(content, stream)
        os.replace(stream.name, path)
    except OSError:
        return


# ---- a loaded model ----


def _of_module(model: nn.Module) -> str:
    import torch

    config = model.config.to_dict() if hasattr(model, "config") else {}
    config = {key: value for key, value in config.items() if key not in VOLATILE}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor!r}".encode())
            continue
        if tensor.is_meta:
            raise InputError(f"{name} of the given model has no weights (meta device): give a model that was loaded")
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().flatten().cpu().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
