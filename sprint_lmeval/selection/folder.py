"""A selector as a folder: model.safetensors, config.json and README.md (its card); no pickle, no code.

A folder from outside is untrusted: kinds and sizes of files, keys of the configuration, names, shapes and values of
tensors are checked before anything is made of them, and a checksum shows whether a folder was edited. Written whole or
not at all, and never over something that is not a selector.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from sprint_lmeval.candidates import MAX_CANDIDATES, MAX_NUMBER, Candidate
from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.files import open_regular, parse_json, read_bounded
from sprint_lmeval.selection.methods.method import Method, Tensors
from sprint_lmeval.selection.methods.registry import method_named

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
MAX_CONFIG_BYTES = 4 << 20  # 100,000 candidates take 2 MiB
MAX_WEIGHTS_BYTES = 256 << 20
MAX_HEADER_BYTES = 64 << 10  # of the safetensors file: no method has twenty tensors
MAX_ENTRIES = 10_000
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib")
HASHES = "question_hashes"  # int64: the first 8 bytes of each training question's hash
KEYS = {
    "format": int,
    "method": str,
    "candidates": list,
    "model": dict,
    "encoder": (dict, type(None)),
    "setting": dict,
    "training": dict,
    "validation": dict,
    "versions": dict,
    "sha256": str,
}
DTYPES = {"I64": "int64", "I32": "int32", "F32": "float32", "F16": "float16", "U8": "uint8"}
REMEDY = "train it anew with `sprint-lmeval train`, or take an unchanged copy"


def write_folder(path: Path, config: dict, tensors: Tensors, card: str, overwrite: bool = False) -> None:
    """Write a selector folder; a link at `path` is replaced, and the same selector is not written twice.

    Raises:
        InputError: `path` is there already and is not a selector that may be replaced, or what was given would be
            refused when it is read.
    """
    from safetensors.numpy import save

    if not overwrite and holds(path, config, tensors):
        return
    refuse_taken(path, overwrite)
    staged = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        content = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
        (staged / WEIGHTS).write_bytes(content)  # not save_file, whose error for a full disk is its own
        signed = {**config, "sha256": digest(config, tensors)}
        (staged / CONFIG).write_text(json.dumps(signed, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        (staged / CARD).write_text(card, encoding="utf-8")
        (staged / WEIGHTS).chmod(0o644)
        staged.chmod(0o755)
        _refuse_unreadable(staged, path)
        _put_in_place(staged, path)
    except OSError as error:
        raise InputError(f"{path} could not be written ({error.strerror or error}): give another place") from error
    except ValueError as error:  # NaN, or what JSON cannot hold
        raise error if isinstance(error, InputError) else InputError(f"{path} was not written: {error}") from None
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)


def _refuse_unreadable(staged: Path, path: Path) -> None:
    try:
        _read(staged)
    except InputError as error:
        raise InputError(f"{path} was not written, for it could not be read again: {error}") from None


def holds(path: Path, config: dict, tensors: Tensors) -> bool:
    """Whether a folder is a whole selector of this configuration and these tensors."""
    try:
        return is_selector(path) and read_folder(path)[0]["sha256"] == digest(config, tensors)
    except (InputError, ValueError):  # damaged; NaN in what was given
        return False


def refuse_taken(path: Path, overwrite: bool) -> None:
    """Raise InputError unless a selector may be written to `path`."""
    if not os.path.lexists(path) or (path.is_dir() and not path.is_symlink() and not any(path.iterdir())):
        return
    if not is_selector(path):
        raise InputError(f"{path} is there already and is not a selector folder: give another place")
    if not overwrite:
        raise InputError(f"{path} is a selector already: give another place, or --overwrite")


def is_selector(path: Path) -> bool:
    """Whether a folder holds the files of a selector and nothing else."""
    return path.is_dir() and {p.name for p in path.iterdir()} == {CONFIG, WEIGHTS, CARD}


def _put_in_place(staged: Path, path: Path) -> None:
    if not os.path.lexists(path):
        staged.rename(path)
        return
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    path.rename(aside / "was")
    try:
        staged.rename(path)
    except OSError:
        (aside / "was").rename(path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def digest(config: dict, tensors: Tensors) -> str:
    """sha256 over the configuration (but for itself) and all tensors."""
    plain = {key: value for key, value in config.items() if key != "sha256"}
    found = hashlib.sha256(json.dumps(plain, sort_keys=True, allow_nan=False).encode())
    for name in sorted(tensors):
        array = tensors[name]
        found.update(f"{name} {array.dtype} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
    return found.hexdigest()


def read_folder(path: Path) -> tuple[dict, Tensors]:
    """Return configuration and tensors of a selector folder. InputError, naming the folder, for anything else."""
    try:
        return _read(path)
    except InputError as error:
        raise InputError(f"selector {path}: {error}") from None
    except OSError as error:
        raise InputError(f"selector {path}: cannot be read ({error.strerror or error})") from None


def _read(path: Path) -> tuple[dict, Tensors]:
    config = read_config(path)
    method = method_named(config["method"])
    tensors = _read_tensors(path / WEIGHTS)
    _check_tensors(tensors, method, config)
    try:
        whole = digest(config, tensors) == config["sha256"]
    except (ValueError, RecursionError) as error:  # numbers that are not finite; nested too deeply
        raise InputError(f"{CONFIG} holds what no selector has ({cause(error, 80)}): {REMEDY}") from None
    if not whole:
        raise InputError(f"was changed after it had been written (its checksum does not fit): {REMEDY}")
    return config, tensors


def read_config(path: Path) -> dict:
    """Return config.json with its keys and candidates checked; the tensors are not read."""
    if not path.is_dir():
        raise InputError("no such folder")
    _refuse_pickles(path)
    for name, limit in ((CONFIG, MAX_CONFIG_BYTES), (WEIGHTS, MAX_WEIGHTS_BYTES)):
        _check_file(path / name, limit)
    try:
        config = parse_json(read_bounded(path / CONFIG, MAX_CONFIG_BYTES, "configurations"), standard=True)
    except ValueError as error:
        raise InputError(f"{CONFIG} is not JSON ({cause(error, 80)}): {REMEDY}") from None
    _check_keys(config)
    return config


def _refuse_pickles(path: Path) -> None:
    """Raise InputError where a file that may run code lies in the folder or anywhere below it."""
    for number, entry in enumerate(path.rglob("*")):
        if number == MAX_ENTRIES:
            raise InputError(f"holds more than {MAX_ENTRIES:,} files, and a selector has three: {REMEDY}")
        if entry.suffix.lower() in PICKLES:
            name = entry.relative_to(path)
            raise InputError(f"holds {name}, a kind of file that may run code when read: {REMEDY}")


def _check_file(path: Path, limit: int) -> None:
    if not path.is_file():
        raise InputError(f"has no {path.name}, so it is not a selector: {REMEDY}")
    if path.stat().st_size > limit:
        raise InputError(f"{path.name} has {path.stat().st_size:,} bytes, at most {limit:,} are read")


def _check_keys(config: object) -> None:
    if not isinstance(config, dict):
        raise InputError(f"{CONFIG} must hold an object: {REMEDY}")
    for key, kind in KEYS.items():
        if key not in config:
            raise InputError(f"{CONFIG} lacks {key!r}, so it is not a selector's or was cut: {REMEDY}")
        if not isinstance(config[key], kind) or isinstance(config[key], bool):
            raise InputError(f"{key!r} in {CONFIG} is {str(config[key])[:40]!r}, which is of the wrong kind: {REMEDY}")
    if config["format"] != FORMAT:
        raise InputError(f"format {config['format']!s:.20} given, this version reads {FORMAT}: update sprint-lmeval")
    _check_candidates(config["candidates"])
    check_model({**config["model"], "altered": config["training"].get("altered")})
    _check_setting(method_named(config["method"]), config)


def _check_candidates(names: list) -> None:
    if not 0 < len(names) <= MAX_CANDIDATES:
        raise InputError(f"{len(names)} candidates in {CONFIG}, allowed are 1 to {MAX_CANDIDATES:,}")
    try:
        parsed = [Candidate.parse(name) for name in names]
    except ValueError as error:
        raise InputError(f"{CONFIG}: {error}") from None
    if len(set(parsed)) != len(parsed):
        raise InputError(f"a candidate stands twice in {CONFIG}: {REMEDY}")


def check_model(model: dict, where: str = CONFIG) -> None:
    """Raise InputError where what is known of a model is not of the kind that a configuration holds."""
    heads = model.get("heads_per_layer")
    if heads is not None and not (
        isinstance(heads, list) and 0 < len(heads) <= MAX_NUMBER and all(type(h) is int and h > 0 for h in heads)
    ):
        raise InputError(f"heads_per_layer in the {where} must be a list of whole numbers above 0: {_remedy(where)}")
    for key in ("name", "fingerprint", "architecture", "revision"):
        if not isinstance(model.get(key), str | type(None)):
            raise InputError(f"the model's {key} in the {where} must be text: {_remedy(where)}")
    if not isinstance(model.get("altered"), dict | None):
        raise InputError(f"altered in the {where} must be an object: {_remedy(where)}")


def _remedy(where: str) -> str:
    return REMEDY if where == CONFIG else "make the matrix anew with `sprint-lmeval sweep`"


def _check_setting(method: Method, config: dict) -> None:
    if set(config["setting"]) != set(method.options):
        raise InputError(f"the setting in {CONFIG} is not one of method {method.name}: {REMEDY}")
    for name, value in config["setting"].items():
        method.options[name].check(name, value)
    encoder = config["encoder"]
    if method.encodes != (encoder is not None):
        raise InputError(f"method {method.name} {'needs an' if method.encodes else 'has no'} encoder: {REMEDY}")
    if encoder is not None:
        kinds = {"name": str, "fingerprint": str, "dim": int}
        if not all(type(encoder.get(key)) is kind for key, kind in kinds.items()) or not 0 < encoder["dim"] <= 1 << 16:
            raise InputError(f"the encoder in {CONFIG} lacks a name, a fingerprint or a dimension: {REMEDY}")


# ---- tensors ----


def _read_tensors(path: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    with open_regular(path) as stream:
        described = int.from_bytes(stream.read(8), "little")
    if described > MAX_HEADER_BYTES:
        what = f"a header of {described:,} bytes, at most {MAX_HEADER_BYTES:,} are read"
        raise InputError(f"{WEIGHTS} is damaged or no safetensors file ({what}): {REMEDY}")
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  (not a dict)
                kind = file.get_slice(name).get_dtype()
                if kind not in DTYPES:
                    raise InputError(f"tensor {name[:40]!r} is of kind {kind}, allowed are {', '.join(DTYPES)}")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{WEIGHTS} is damaged or no safetensors file ({cause(error)}): {REMEDY}") from None


def _check_tensors(tensors: Tensors, method: Method, config: dict) -> None:
    m, dim = len(config["candidates"]), (config["encoder"] or {"dim": 0})["dim"]
    expected = {**method.shapes(m, dim), HASHES: ("int64", ("questions",))}
    if set(tensors) != set(expected):
        missing, unknown = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
        what = (
            f"lacks tensor {missing[0]!r}" if missing else f"has a tensor {unknown[0][:40]!r} that is not its method's"
        )
        raise InputError(f"{WEIGHTS} {what} ({method.name}): {REMEDY}")
    sizes: dict[str, int] = {}
    for name, (dtype, shape) in expected.items():
        _check_shape(name, tensors[name], dtype, shape, sizes)
        _check_values(name, tensors[name], m)
    method.check(tensors)


def _check_shape(name: str, array: np.ndarray, dtype: str, shape: tuple, sizes: dict[str, int]) -> None:
    fits = array.dtype == dtype and array.ndim == len(shape)
    if fits:
        wanted = [
            sizes.setdefault(s, length) if isinstance(s, str) else s
            for s, length in zip(shape, array.shape, strict=True)
        ]
        fits = list(array.shape) == wanted and 0 not in wanted
    if not fits:
        raise InputError(f"tensor {name!r} is {array.dtype} {array.shape}, it must be {dtype} {shape}: {REMEDY}")


def _check_values(name: str, array: np.ndarray, m: int) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"tensor {name!r} has values that are not finite: {REMEDY}")
    if name == "order" and sorted(array.tolist()) != list(range(m)):
        raise InputError(f"tensor 'order' does not name each of the {m} candidates once: {REMEDY}")
    if array.dtype == np.uint8 and array.max() > 1:
        raise InputError(f"tensor {name!r} has values above 1, and an outcome is 0 or 1: {REMEDY}")
