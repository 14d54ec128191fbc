"""What a tokenizer answers the harness where the model is somewhere else."""

import jinja2
import pytest
from transformers import AutoTokenizer

from sprint_lmeval.models.engines.tokenizer_model import TokenizerModel
from sprint_lmeval.tiny import MODEL_FOLDER

SAYS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<new>{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + SAYS
TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]


def model_with(template: str) -> TokenizerModel:
    model = TokenizerModel()
    model.tokenizer, model.chat_template_args = AutoTokenizer.from_pretrained(MODEL_FOLDER), {}
    model.tokenizer.chat_template = template
    return model


def test_a_template_without_system_role_gets_the_other_messages(caplog):
    assert model_with(SAYS).apply_chat_template(TALK) == "<system>Be brief.<user>2+2?<new>"
    assert not caplog.records
    assert model_with(NO_SYSTEM).apply_chat_template(TALK) == "<user>2+2?<new>"
    assert "the system's is left out" in caplog.text


def test_another_mistake_of_a_template_is_not_hidden():
    with pytest.raises(jinja2.TemplateError, match="never"):
        model_with("{{ raise_exception('never') }}").apply_chat_template(TALK)
