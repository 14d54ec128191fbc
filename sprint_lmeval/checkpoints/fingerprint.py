"""Which model this is, whatever its folder is called: a sha256 over its configuration, weights and code.

In: a folder, a hub id or a loaded model. Out: 64 hexadecimal digits. Files are hashed as a stream and no weights are
loaded. Content decides: names, sizes and times of files do not, nor do the names that the hub's cache gives. What
decides an answer beside these files (dtype, attention, settings, tokenizer) is not part of it. The same weights in
other files (other shards, another format, a loaded model) have another fingerprint.

The hash of a file is kept in the user's cache folder. It holds while device, inode, size and both times of the file
stay the same; the system sets the change time (ctime) at every write and rename. No hash is kept of:

- a file that changed less than a minute ago: it could change again and keep its times (within one tick of the clock, or
  through a memory map whose page is not written back yet);
- a file on a file system without change times, or where users can set them (FUSE, SMB, FAT).

A changed machine clock and an edit of the disk below the file system go unnoticed. Hashing costs 0.64 s of a processor
for each GB, a kept hash 0.07 ms (AMD EPYC, `python -m benchmarks.fingerprint`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sprint_lmeval.checkpoints.pretrained import OF_THE_HUB, resolve_pretrained
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.files import open_regular, read_json, whole_file

if TYPE_CHECKING:
    from torch import nn

MAX_JSON = 64 << 20
MAX_SHARDS = 10_000
VOLATILE = ("_name_or_path", "transformers_version", "_commit_hash")  # of a configuration: say nothing of the model
SHA256 = re.compile(r"[0-9a-f]{64}")
IMPORTED = re.compile(rb"^\s*(?:from|import)\s+\.(\w+)", re.MULTILINE)  # as transformers looks for it
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
REST_NS = 60 * 10**9  # Linux writes a changed page of a memory map back within 35 s
TRUE_CHANGE_TIMES = frozenset(
    "bcachefs beegfs btrfs ceph ext2 ext3 ext4 f2fs gpfs jfs lustre nfs nfs4 overlay xfs zfs".split()
)


def model_fingerprint(
    pretrained: str | nn.Module,
    revision: str | None = None,
    *,
    subfolder: str = "",
    variant: str | None = None,
    use_safetensors: bool | None = None,
    gguf_file: str | None = None,
    trust_remote_code: bool = False,
    **others: object,
) -> str:
    """Return the fingerprint of a model.

    Args:
        pretrained: folder, hub id, `tiny`, or a loaded model, whose tensors are hashed.
        revision, subfolder, variant, use_safetensors, gguf_file: as in transformers' `from_pretrained`.
        trust_remote_code: whether code of another repository, which the configuration may name, is part of it.
        others: further model arguments, of which token, cache_dir and the like count. Files that the hub has and this
            machine has not are fetched.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    if not isinstance(pretrained, str):
        return _of_module(pretrained)
    model = ModelFiles(resolve_pretrained(pretrained), revision, subfolder, others)
    if gguf_file is not None:
        return _combined({}, {gguf_file: model.path(gguf_file)})
    config = _json(model.path("config.json"))
    files = {name: model.path(name) for name in model.weights(variant, use_safetensors)}
    if model.find(ADAPTER[0]):  # transformers loads it onto the model
        files |= {name: path for name in ADAPTER if (path := model.find(name))}
    return _combined(config, files | model.code(config, trust_remote_code))


def adapter_fingerprint(adapter: str, revision: str | None = None, **others: object) -> str:
    """Return the fingerprint of a PEFT adapter: a folder or hub id with adapter_config.json and its weights."""
    files = ModelFiles(adapter, revision, "", others)
    weights = next((name for name in ADAPTER[1:] if files.find(name)), None)
    return _combined(_json(files.path(ADAPTER[0])), {weights: files.path(weights)} if weights else {})


def weight_files(pretrained: str, revision: str | None = None, **arguments: object) -> list[str]:
    """Return the paths of the files that hold a model's weights; takes the arguments of `model_fingerprint`."""
    model = ModelFiles(resolve_pretrained(pretrained), revision, str(arguments.get("subfolder") or ""), arguments)
    return [model.path(name) for name in model.weights(arguments.get("variant"), arguments.get("use_safetensors"))]


def _combined(config: dict, files: dict[str, str]) -> str:
    config = {key: value for key, value in config.items() if key not in VOLATILE}
    content = {"config": config, "files": [[name, file_sha256(path)] for name, path in files.items()]}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# ---- which files ----


class ModelFiles:
    """The files of a model by name: of a folder, or of the hub, which are fetched when they are asked for."""

    def __init__(self, name: str, revision: str | None, subfolder: str, others: dict) -> None:
        self.name, self.revision, self.subfolder = name, revision or "main", subfolder or ""
        self.of_the_hub = {key: others[key] for key in OF_THE_HUB if others.get(key) is not None}
        folder = Path(name).expanduser()
        self.folder = folder / self.subfolder if folder.is_dir() else None

    def find(self, file: str) -> str | None:
        """Return a file's path, None where the model has no such file."""
        if self.folder is not None:
            return str(self.folder / file) if (self.folder / file).is_file() else None
        from transformers.utils import cached_file

        missing = {f"_raise_exceptions_for_{kind}": False for kind in ("missing_entries", "connection_errors")}
        where = {"revision": self.revision, "subfolder": self.subfolder, **self.of_the_hub}
        try:
            return cached_file(self.name, file, **where, **missing)
        except OSError as error:
            said = cause(error)
            raise InputError(
                f"the files of {self.name} could not be had ({said}): give the folder of the model"
            ) from None

    def path(self, file: str) -> str:
        """Return the path of a file that must be there."""
        path = self.find(file)
        if path is None:
            raise InputError(f"{self.name} has no file {file}: its fingerprint needs it; restore the model's files")
        return path

    def weights(self, variant: str | None, use_safetensors: bool | None) -> list[str]:
        """Return the names of the files that transformers would load, in the order in which it looks for them."""
        dotted = f".{variant}" if variant else ""
        safe = [f"model{dotted}.safetensors", f"model.safetensors.index{dotted}.json"]
        pickled = [f"pytorch_model{dotted}.bin", f"pytorch_model.bin.index{dotted}.json"]
        for file in pickled if use_safetensors is False else [*safe, *pickled]:
            path = self.find(file)
            if path is not None:
                return _shards(path) if file.endswith(".json") else [file]
        raise InputError(
            f"{self.name} has no weights that transformers would load ({safe[0]}): restore the model's files"
        )

    def code(self, config: dict, trusted: bool) -> dict[str, str]:
        """Return name and path of the Python files that a model brings along.

        Of a folder all of them, whatever imports them; of the hub those that `auto_map` of the model's or tokenizer's
        configuration names, and what these import.
        """
        of_tokenizer = self.find("tokenizer_config.json")
        maps = [one.get("auto_map") for one in (config, _json(of_tokenizer) if of_tokenizer else {})]
        listed = [value for one in maps if isinstance(one, dict) for value in one.values()]
        named = [name for one in listed for name in (one if isinstance(one, list) else [one]) if isinstance(name, str)]
        found = {}
        for repository, module in sorted({(name.rpartition("--")[0], name.rpartition("--")[2]) for name in named}):
            if not repository:
                found |= self._modules(module)
            elif trusted:
                other = ModelFiles(repository, None, "", self.of_the_hub)
                found |= {f"{repository}--{name}": path for name, path in other._modules(module).items()}
        return dict(sorted(found.items()))

    def _modules(self, name: str) -> dict[str, str]:
        if self.folder is not None:
            return {path.relative_to(self.folder).as_posix(): str(path) for path in self.folder.rglob("*.py")}
        found, waiting = {}, [f"{name.split('.')[0]}.py"]
        while waiting:
            file = waiting.pop()
            if file not in found and (path := self.find(file)):
                found[file] = path
                waiting += [f"{module.decode()}.py" for module in IMPORTED.findall(Path(path).read_bytes())]
        return found


def _shards(index: str) -> list[str]:
    listed = _json(index).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
        raise InputError(f"{index} lists no weights: restore the model's files")
    shards = sorted(set(listed.values()))
    if len(shards) > MAX_SHARDS or any(Path(s).is_absolute() or ".." in Path(s).parts for s in shards):
        raise InputError(f"{index} lists weights outside of the model's folder: restore the model's files")
    return shards


def _json(path: str) -> dict:
    content = read_json(path, MAX_JSON, "descriptions of a model")
    if not isinstance(content, dict):
        raise InputError(f"{path} is not an object: restore the model's files")
    return content


# ---- one file, read once ----


def file_sha256(path: str) -> str:
    """Return the sha256 of a file's content, from the user's cache where the file has certainly not changed since."""
    real = os.path.realpath(path)
    kept = _cache_folder() / f"{hashlib.sha256(os.fsencode(real)).hexdigest()}.json"
    with open_regular(real) as stream:  # opened first: a network file system then reports the newest times
        stamp = _stamp(stream)
        known = _kept(kept, stamp)
        if known is None:
            rested = time.time_ns() - stamp[-1] > REST_NS
            known = _streamed(stream)
            if rested and _stamp(stream) == stamp and _file_system(real) in TRUE_CHANGE_TIMES:
                _keep(kept, [*stamp, known])
    return known


def _streamed(stream: IO[bytes]) -> str:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(stream: IO[bytes]) -> list[int]:
    status = os.fstat(stream.fileno())
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _file_system(path: str) -> str | None:
    """Return the kind of file system that a path is on; None where the system does not list them as Linux does."""
    nearest = ("", None)
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for mount in mounts:
            fields, _, behind = mount.partition(" - ")
            point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields.split()[4])
            if len(point) >= len(nearest[0]) and os.path.commonpath([point, path]) == point:
                nearest = (point, behind.split()[0])
    return nearest[1]


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "sprint-lmeval" / "fingerprints"


def _kept(path: Path, stamp: list[int]) -> str | None:
    try:
        content = json.loads(path.read_bytes()[:10_000])
    except (OSError, ValueError):
        return None
    fits = isinstance(content, list) and content[:-1] == stamp and isinstance(content[-1], str)
    return content[-1] if fits and SHA256.fullmatch(content[-1]) else None


def _keep(path: Path, content: list) -> None:
    """A home without room or right to write costs a second reading, nothing else."""
    with suppress(InputError), whole_file(path, lasting=False) as stream:
        stream.write(json.dumps(content).encode())


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
