"""A harness model that has a tokenizer and nothing else here: its decoding is somewhere else."""

from __future__ import annotations

import logging

from jinja2 import TemplateError
from lm_eval.api.model import TemplateLM

from sprint_lmeval.errors import InputError

log = logging.getLogger(f"lm_eval.{__name__}")


class TokenizerModel(TemplateLM):
    """What the harness asks of a model and a tokenizer answers; set `tokenizer` and `chat_template_args`."""

    chat_template_args: dict

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def tokenizer_name(self) -> str:
        return self.tokenizer.name_or_path.replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict], add_generation_prompt: bool = True) -> str:
        """As the harness's models do: a template that does not take the messages gets them without the system's."""
        options = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        options |= {"tokenize": False, **self.chat_template_args}
        try:
            return self.tokenizer.apply_chat_template(chat_history, **options)
        except TemplateError:
            log.warning("the chat template refuses these messages: the system's is left out")
            without = [message for message in chat_history if message["role"] != "system"]
            return self.tokenizer.apply_chat_template(without, **options)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs) -> list[int]:
        options = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return self.tokenizer(string, **options)["input_ids"]

    def generate_until(self, requests: list, disable_tqdm: bool = False) -> list[str]:
        raise NotImplementedError

    def loglikelihood(self, requests: list, *args, **kwargs) -> list:
        raise InputError(
            "this task scores given continuations (loglikelihood), which a server is not asked for: use "
            "vllm-pruned-bon or hf-pruned-bon"
        )

    loglikelihood_rolling = loglikelihood
    _loglikelihood_tokens = loglikelihood
