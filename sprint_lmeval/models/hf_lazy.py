"""A harness model whose weights are read when the first row has to be decoded, and not before.

Until then a stand-in without weights (meta device) is in the model's place: it has the configuration, the generation
settings and the heads, which is all that strategies, prompts, stored responses and results need.
"""

from __future__ import annotations

import copy
import logging

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils_hf import get_dtype
from transformers import GenerationConfig, PreTrainedModel

from sprint_lmeval.errors import InputError, cause, needs
from sprint_lmeval.store.keys import loaded_facts

log = logging.getLogger(f"lm_eval.{__name__}")
EAGER = ("gguf_file", "autogptq", "gptqmodel")  # here the configuration alone does not say what is loaded


class LazyWeights(HFLM):
    """`HFLM` that can wait with its weights: set `_wait` before `__init__`, call `load_weights` before decoding."""

    _wait = False
    _waiting: dict | None = None  # what `_create_model` was called with

    @property
    def weights_loaded(self) -> bool:
        return self._waiting is None

    def _create_model(self, pretrained: str, **arguments) -> None:
        if not self._wait or any(arguments.get(name) for name in EAGER):
            self._load(pretrained, **arguments)
            return
        self._waiting = {"pretrained": pretrained, **arguments}
        self._model = _stand_in(self.AUTO_MODEL_CLASS, self._config, pretrained, arguments)

    def load_weights(self) -> None:
        """Load what was waiting, as `HFLM.__init__` does it. Raises InputError where it cannot be had."""
        if self.weights_loaded:
            return
        log.info("loading the weights of %s", self._waiting["pretrained"])
        expected = loaded_facts(self._model)
        try:
            self._load(**self._waiting)
        except OSError as error:
            raise InputError(f"the model could not be loaded: {cause(error, 300)}") from error
        self._waiting = None
        self.model.eval()
        self.model.tie_weights()
        if str(self.device) != "cpu" and not getattr(self.model, "hf_device_map", None):
            self.model.to(self.device)
        found = loaded_facts(self.model)
        different = [name for name, value in expected.items() if found[name] != value]
        if different:
            raise InputError(
                f"the loaded model has another {different[0]} ({found[different[0]]}) than its files say "
                f"({expected[different[0]]}), so its responses cannot be told apart in a store: leave store= out"
            )

    def _load(self, pretrained: str, peft: str | None = None, **arguments) -> None:
        """Load a model and its adapter; embeddings get the adapter's size where it holds any.

        The harness gives them the tokenizer's size, so that adapters of models with more rows than tokens do not fit.
        """
        if peft and arguments.get("delta"):
            raise InputError("peft= and delta= given: leave one of the two out")
        if peft:
            needs("peft", "peft")
        super()._create_model(pretrained, **arguments)
        if not peft:
            return
        from peft import PeftModel

        revision = arguments.get("revision")
        rows = self._model.get_input_embeddings().weight.shape[0]
        needed = _vocabulary_of_adapter(peft, revision, self._model) or rows
        if needed != rows:
            log.info("the embeddings of %s get %d rows, as its adapter %s has", pretrained, needed, peft)
            self._model.resize_token_embeddings(needed)
        self._model = PeftModel.from_pretrained(self._model, peft, revision=revision)
        self._model.tie_weights = lambda *_, **__: None  # done; the harness would tie what the adapter has apart


def _vocabulary_of_adapter(peft: str, revision: str | None, model: PreTrainedModel) -> int | None:
    """Return how many tokens the weights of an adapter are for; None where it has none of embeddings or output head."""
    from peft.utils import load_peft_weights

    embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
    names = {name for name, module in model.named_modules() if module in embeddings}
    axis_of = {"weight": 0, "base_layer.weight": 0, "lora_B.weight": 0, "lora_embedding_A": 1}
    sizes = {f"base_model.model.{name}.{end}": axis for name in names for end, axis in axis_of.items()}
    weights = load_peft_weights(peft, device="cpu", **({"revision": revision} if revision else {}))
    return next((tensor.shape[sizes[name]] for name, tensor in weights.items() if name in sizes), None)


def _stand_in(kind: type, config, pretrained: str, arguments: dict) -> PreTrainedModel:
    from accelerate import init_empty_weights

    given = {"trust_remote_code": bool(arguments.get("trust_remote_code"))}
    if arguments.get("attn_implementation"):
        given["attn_implementation"] = arguments["attn_implementation"]
    config = copy.deepcopy(config)
    dtype = get_dtype(arguments.get("dtype") or "auto")
    dtype = getattr(config, "dtype", None) if dtype == "auto" else dtype
    if isinstance(dtype, torch.dtype):
        given["dtype"] = dtype
    with init_empty_weights():
        model = kind.from_config(config, **given)
    where = {key: arguments[key] for key in ("revision", "subfolder", "cache_dir", "token") if arguments.get(key)}
    try:
        model.generation_config = GenerationConfig.from_pretrained(pretrained, **where)
    except OSError:
        log.debug("%s has no generation_config.json", pretrained)
    model.name_or_path = pretrained
    model.to = lambda *_, **__: model  # the harness moves its model to the device; there is nothing to move yet
    return model
