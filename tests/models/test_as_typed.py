"""Model arguments that the harness splits in another way than was meant, and some that it splits rightly."""

import re

import pytest
from lm_eval._cli.utils import key_val_to_dict

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.as_typed import check_as_typed

REFUSED = [
    ("pretrained=it's here,head_masks=base", "which holds head_masks= as well"),
    ('pretrained=a"b,store=s.sqlite', "which holds store= as well"),
    ("pretrained=a(b,n=4", "which holds n= as well"),
    ("pretrained=tiny,head_masks=[base,strategy=fixed", "which holds strategy= as well"),
    ("head_masks='base, pretrained=tiny", "which holds pretrained= as well"),
    ("pretrained=it's,dtype=float32", "which holds dtype= as well"),
    ("pretrained=it's,device=cpu,store=s", "which holds"),
]
TAKEN = [
    "pretrained=it's here",
    "pretrained='it is here',head_masks=base",
    'pretrained="it\'s here",head_masks=base',
    'pretrained=tiny,head_masks=["base", "L1H2"]',
    "pretrained=a=b,store=c=d",
]


@pytest.mark.parametrize(("typed", "sentence"), REFUSED)
def test_an_argument_that_another_one_swallowed(typed, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        check_as_typed(key_val_to_dict(typed))


@pytest.mark.parametrize("typed", TAKEN)
def test_what_is_closed_is_taken(typed):
    check_as_typed(key_val_to_dict(typed), {"device": None})


def test_a_candidate_behind_a_comma():
    with pytest.raises(InputError, match="L1H3 given behind a comma: separate candidates by `:`"):
        check_as_typed({"head_masks": "L1H2", "L1H3": ""})


def test_an_option_that_is_given_twice():
    with pytest.raises(InputError, match="device given twice"):
        check_as_typed({"device": "cpu"}, {"device": "cuda", "batch_size": None})
