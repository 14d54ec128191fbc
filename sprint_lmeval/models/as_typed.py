"""What is wrong with model arguments as somebody typed them, before any of them is read."""

from __future__ import annotations

import re

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.names import MODEL_ARGUMENTS

OURS = (*MODEL_ARGUMENTS, "pretrained", "adapters", "base_url")
SWALLOWED = re.compile(rf",\s*({'|'.join(OURS)})\s*=")
SWALLOWED_BY_QUOTES = re.compile(r"['\"\[({].*?,\s*([a-z_]+)\s*=", re.DOTALL)


def check_as_typed(given: dict, options: dict | None = None) -> None:
    """Raise InputError where the harness has split `--model_args` in another way than was meant.

    It leaves commas inside quotes and brackets alone, also where a quote is an apostrophe and never closed.

    Args:
        given: model arguments by name.
        options: what the harness adds from its command line: batch_size, max_batch_size, device; None where not given.
    """
    for name, value in given.items():
        found = isinstance(value, str) and (SWALLOWED.search(value) or SWALLOWED_BY_QUOTES.search(value))
        if found:
            raise InputError(
                f"{name}={value} given, which holds {found[1]}= as well: a quote or bracket in it is not closed; leave "
                "it out, or give model arguments in a file (--config)"
            )
        if _is_candidate(name):
            raise InputError(f"{name} given behind a comma: separate candidates by `:`, such as head_masks=L1H2:L1H3")
    for name in given.keys() & {name for name, value in (options or {}).items() if value is not None}:
        raise InputError(f"{name} given twice, as a model argument and as an option: leave one of the two out")


def _is_candidate(name: str) -> bool:
    try:
        Candidate.parse(name)
    except ValueError:
        return False
    return True
