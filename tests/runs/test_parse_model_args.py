"""Model arguments are read as the harness reads them, by everything that looks at a run."""

import pytest
from lm_eval.utils import simple_parse_args_string

from sprint_lmeval.runs.facts import facts_of_run, model_label, run_facts
from sprint_lmeval.runs.parse_model_args import model_arguments
from tests.shared.gate_examples import TASK, results, row

TEXTS = (
    "pretrained=tiny,dtype=float32,n=4",
    "a=True,b=FALSE,c=None,d=none",
    "a=1,b=-1,c=+1,d=--1,e=1.5,f=1e3,g=.5,h=nan,i=inf",
    "a='1',b=\"x\",c=',d=''",
    "a=b=c, d = e ,f,,=g",
    "a=1_000,b=²,c=١,d=0x10,e=" + "1" * 5000,
    "",
    "  ",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_read_as_the_harness_reads_it(text):
    assert str(model_arguments(text)) == str(simple_parse_args_string(text))  # as text, since nan is not nan


@pytest.mark.parametrize(
    ("given", "found"), [({"a": [1]}, {"a": [1]}), (None, {}), ([1], {}), (7, {}), ("a=1", {"a": 1})]
)
def test_whatever_stands_in_results(given, found):
    assert model_arguments(given) == found


@pytest.mark.parametrize("text", ["pretrained=m,load_in_4bit=False,x='7'", "pretrained=12,revision=main,y=True"])
def test_text_and_mapping_give_one_label_and_one_model(text, tmp_path):
    labels, models = set(), set()
    for given in (text, simple_parse_args_string(text)):
        found = results([row(0, "ci")], model_args=given)
        labels.add(model_label(found, facts_of_run(found, TASK, tmp_path)))
        models.add(run_facts(found, TASK)["model"])
    assert len(labels) == len(models) == 1 and labels.pop()[0] == models.pop()
