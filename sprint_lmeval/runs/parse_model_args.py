"""`--model_args` as a mapping, by the harness's own rules: one reading of it for everything that looks at a run."""

from __future__ import annotations


def model_arguments(given: object) -> dict:
    """Return model arguments by name, whether they are a text (`pretrained=tiny,n=4`) or a mapping; {} for neither.

    Values of a text are truth values, None, whole numbers, floats or texts, as the harness's own
    `simple_parse_args_string` reads them, whose module is slow to import.
    """
    if not isinstance(given, str):
        return dict(given) if isinstance(given, dict) else {}
    pairs = (part.partition("=") for part in given.strip().split(",") if part)
    return {name: _value(text.strip()) for name, _, text in pairs}


def _value(text: str) -> object:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float) if text.lstrip("+-").isdigit() else (float,):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


_WORDS = {"true": True, "false": False, "none": None}
