"""What decides a text, as a key: facts of the model, settings, prompt, candidate and seed -> 32 bytes.

Everything that could change one character of a response is in the key; what cannot is left out, so that a later run
finds it: batch size, devices of one kind, where files lie, and sampling settings of greedy rows. In bfloat16 and
float16 the batch size can decide between two near-equal tokens, as for any model: there a stored text is one of the
valid ones.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import fields

from lm_eval.models.utils_hf import get_dtype
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sprint_lmeval.checkpoints.fingerprint import adapter_fingerprint, model_fingerprint
from sprint_lmeval.generation.rows import Row, Settings

ENGINE = "hf"
DECODER = 1  # raised when generation/ would write another text for the same row
VERSIONS_OF = ("torch", "transformers", "tokenizers")
# Model arguments that are in the key by another name (fingerprints, settings, the prompt itself), or decide no text.
KNOWN_OTHERWISE = frozenset(
    """
    add_bos_token attn_implementation backend batch_size cache_dir chat_template_args delta device device_map dtype
    enable_thinking force_download gguf_file ignore_mismatched_sizes local_files_only logits_cache low_cpu_mem_usage
    max_batch_size max_cpu_memory max_length max_memory max_memory_per_gpu mixed_precision_dtype offload_buffers
    offload_folder offload_state_dict parallelize peft prefix_token_id proxies revision state_dict subfolder
    think_end_token token tokenizer torch_dtype tp_plan truncation trust_remote_code use_fast_tokenizer
    use_safetensors variant
    """.split()
)
OF_SPEED = ("experts_implementation", "softmax_dtype", "use_cache", "use_flash_attn")  # they leave a model as it is
NOT_OF_A_RESPONSE = ("batch_size",)
OF_SAMPLES = ("temperature", "top_k", "top_p")
VOLATILE = ("transformers_version", "_from_model_config", "_commit_hash")  # of a generation_config: decide nothing


def model_facts(
    pretrained: object,
    arguments: dict,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    device_type: str,
) -> dict:
    """Return everything about the model that decides a text, as JSON.

    Args:
        pretrained: folder or hub id, or a loaded model.
        arguments: of the harness's `hf` model, as the user gave them.
        model: the model, or a stand-in without weights that has its config and generation_config.
        tokenizer: as it is used.
        device_type: `cpu`, `cuda`, ...
    """
    by_name = isinstance(pretrained, str)
    revision = str(arguments.get("revision") or "main")
    hub = {key: arguments[key] for key in ("token", "cache_dir") if arguments.get(key)}
    peft, delta = (arguments.get(name) if by_name else None for name in ("peft", "delta"))
    own_code = bool(arguments.get("trust_remote_code") and getattr(model.config, "auto_map", None))
    return {
        "engine": ENGINE,
        "decoder": DECODER,
        "fingerprint": model_fingerprint(pretrained, **arguments),
        "revision": revision if by_name else None,
        "peft": adapter_fingerprint(peft, revision, **hub) if peft else None,
        "delta": model_fingerprint(delta, revision, **hub) if delta else None,
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS_OF},
        "dtype": _dtype(arguments, model) if by_name else str(model.dtype),
        "mixed_precision_dtype": _text(arguments.get("mixed_precision_dtype")),
        "device": device_type,
        "tokenizer": tokenizer_digest(tokenizer),
        "arguments": {k: _text(v) for k, v in arguments.items() if k not in KNOWN_OTHERWISE and v is not None},
        **({"own_code": True} if own_code else {}),  # where transformers has code too, it may say otherwise
        **loaded_facts(model),
    }


def altered_facts(pretrained: object, arguments: dict) -> dict:
    """Return what makes the model another one than its fingerprint says, as JSON: adapter, delta, quantisation, ...

    Empty where nothing does. The dtype is no alteration. Arguments beside a loaded model alter nothing.
    """
    if not isinstance(pretrained, str):
        return {}
    given = {k: v for k, v in arguments.items() if v is not None and v is not False}
    revision = str(given.get("revision") or "main")
    hub = {key: given[key] for key in ("token", "cache_dir") if given.get(key)}
    altered = {k: _text(v) for k, v in given.items() if k not in KNOWN_OTHERWISE and k not in OF_SPEED}
    for name, fingerprint in (("peft", adapter_fingerprint), ("delta", model_fingerprint)):
        if given.get(name):
            altered[name] = fingerprint(given[name], revision, **hub)
    if given.get("state_dict") is not None:
        altered["state_dict"] = "given"
    return altered


def loaded_facts(model: PreTrainedModel) -> dict:
    """Return the facts that a stand-in has to share with the model that is loaded later."""
    settings = model.generation_config.to_diff_dict() if getattr(model, "generation_config", None) else {}
    return {
        "attention": getattr(model.config, "_attn_implementation", None),
        "generation_config": {k: v for k, v in settings.items() if k not in VOLATILE},
    }


def run_key(facts: dict, settings: Settings, seeded: bool) -> tuple[bytes, str]:
    """Return the key of all that rows of one run share, and the JSON it is made of."""
    left_out = NOT_OF_A_RESPONSE if seeded else (*NOT_OF_A_RESPONSE, *OF_SAMPLES)
    of_settings = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in left_out}
    text = canonical({"model": facts, "settings": of_settings})
    return hashlib.sha256(text.encode()).digest(), text


def row_key(run: bytes, row: Row) -> bytes:
    """Return the key of one row's response."""
    more = {name: value for name, value in (("code", row.code), ("given", row.given)) if value not in (None, ())}
    text = canonical([row.prompt, str(row.candidate), row.seed, *([more] if more else [])])
    return hashlib.sha256(run + text.encode()).digest()


def canonical(value: object) -> str:
    """Return the one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a sha256 over what a tokenizer does with text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        content = json.loads(backend.to_str())
        content.update(padding=None, truncation=None)  # traces of the last call
    else:
        content = {"vocabulary": tokenizer.get_vocab(), "arguments": getattr(tokenizer, "init_kwargs", {})}
    special = [tokenizer.bos_token, tokenizer.eos_token, sorted(tokenizer.all_special_ids)]
    switches = {k: _text(getattr(tokenizer, k, None)) for k in ("add_bos_token", "clean_up_tokenization_spaces")}
    return hashlib.sha256(canonical([type(tokenizer).__name__, content, special, switches]).encode()).hexdigest()


def _dtype(arguments: dict, model: PreTrainedModel) -> str:
    """The dtype that was asked for; `auto` is the configuration's, or where it names none, the weights'."""
    asked = arguments.get("dtype") or arguments.get("torch_dtype") or "auto"
    if asked == "auto":
        return str(getattr(model.config, "dtype", None) or "auto")
    return str(get_dtype(asked))


def _text(value: object) -> object:
    return value if isinstance(value, bool | int | float | str | None) else str(value)
