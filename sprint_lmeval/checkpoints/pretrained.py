"""Which model is meant: short names, and its heads before its weights are loaded.

In: the value of `pretrained=`. Out: a folder or hub id that transformers loads, and the model's `HeadLayout` from its
configuration alone, so that a wrong head is refused at once and not after gigabytes of weights.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.pruning.heads import HeadLayout, head_layout
from sprint_lmeval.tiny import MODEL_FOLDER

log = logging.getLogger(f"lm_eval.{__name__}")

SHORT_NAMES = {"tiny": MODEL_FOLDER}
OF_THE_HUB = ("token", "cache_dir", "local_files_only", "proxies")  # how a model's files are had
OF_CONFIG = ("revision", "subfolder", *OF_THE_HUB)


def resolve_pretrained(name: str) -> str:
    """Return the folder of a model that this package ships; other names unchanged.

    Raises:
        InputError: a path that holds no model.
    """
    if name in SHORT_NAMES:
        return str(SHORT_NAMES[name])
    if name.startswith(("/", "./", "../", "~")) and not (Path(name).expanduser() / "config.json").is_file():
        raise InputError(f"pretrained={name} given, but there is no config.json in that folder: {WAYS_OUT}")
    return str(Path(name).expanduser()) if name.startswith("~") else name


WAYS_OUT = (
    "give the folder of a downloaded model (pretrained=FOLDER), the id of a model that the hub serves, "
    "or pretrained=tiny, the model that this package brings along"
)
CODE_OF_ITS_OWN = (
    "pretrained={name} brings code of its own, which runs only where you trust it: read it, then add "
    "trust_remote_code=True (`heads` and `adapters`: --trust-remote-code)"
)


def config_heads(name: str, /, **arguments: object) -> HeadLayout:
    """Return the heads of a model by reading its configuration only; no weights are fetched or allocated.

    Args:
        name: folder or hub id.
        arguments: as for `fetch_config`.

    Raises:
        InputError: the configuration cannot be had, or its model's heads cannot be pruned.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    config = fetch_config(name, **arguments)
    trusted = bool(arguments.get("trust_remote_code"))
    try:
        with init_empty_weights():
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trusted)
    except ValueError:  # transformers: not a causal language model, or code that is not trusted
        if getattr(config, "auto_map", None) and not trusted:
            raise InputError(CODE_OF_ITS_OWN.format(name=name)) from None
        kind = type(config).__name__.removesuffix("Config")
        raise InputError(f"{kind} given, allowed are decoder-only language models: {WAYS_OUT}") from None
    except Exception as error:  # third-party code that is given numbers of an untrusted file
        said = cause(error, 300)
        raise InputError(f"pretrained={name}: no model has this config.json ({said}): {WAYS_OUT}") from None
    try:
        return head_layout(model)
    except ValueError as error:
        raise InputError(str(error)) from None


def fetch_config(name: str, /, **arguments: object):
    """Return the model's configuration.

    Args:
        name: folder or hub id.
        arguments: model arguments, of which revision, subfolder, token, cache_dir and the like, and trust_remote_code
            count. Without trust_remote_code no code of the model runs, and nobody is asked whether it may.

    Raises:
        InputError: the configuration cannot be had; the sentence names the cause.
    """
    from transformers import AutoConfig

    named = {key: arguments[key] for key in OF_CONFIG if arguments.get(key)}
    trusted = bool(arguments.get("trust_remote_code"))
    try:
        return AutoConfig.from_pretrained(name, trust_remote_code=trusted, **named)
    except Exception as error:  # third-party code that reads an untrusted file: it raises what it likes
        if "trust_remote_code=True" in str(error) and not trusted:
            raise InputError(CODE_OF_ITS_OWN.format(name=name)) from None
        said = cause(error, 300)
        raise InputError(f"pretrained={name} could not be loaded ({said}): {WAYS_OUT}") from None


def load_eager(name: str, trust_remote_code: bool = False):
    """Return a model, ready to read, and its tokenizer; its attention is eager, so that it can hand out its weights.

    Raises:
        InputError: either cannot be had.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
        model = AutoModelForCausalLM.from_pretrained(
            name, attn_implementation="eager", dtype="auto", trust_remote_code=trust_remote_code
        )
    except Exception as error:  # third-party code that reads untrusted files: it raises what it likes
        raise InputError(f"pretrained={name} could not be loaded ({cause(error, 300)}): {WAYS_OUT}") from None
    return model.eval().to(default_device(None)), tokenizer


def default_device(given: str | None) -> str:
    """Return the device to use: what was given, or the best one there is.

    The harness's command line fills in `cuda:0` by itself, so a CUDA device that is absent is no error: as in the `hf`
    model another device serves, and the log says so.
    """
    import torch

    if given is not None and not (str(given).startswith("cuda") and not torch.cuda.is_available()):
        return str(given)
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if given is not None:
        log.info("device %s is not here, using %s", given, device)
    return device
