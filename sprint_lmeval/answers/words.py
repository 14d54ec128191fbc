r"""Words in and around an answer: prose before a value goes, an answer that is words gets one spelling."""

import re

from sprint_lmeval.answers.characters import TEXT

_TEXT = re.compile(rf"{TEXT} ?\{{([^{{}}]*)\}}")
_NUMBER_IN_TEXT = re.compile(
    rf"{TEXT} ?\{{ ?(-? ?(?:\\?\$ ?)?[\d.,]*\d(?:/\d+)?) ?(\\?%)?"
    r"( ?(?!(?:and|or|to|base|in)\b)[A-Za-z][A-Za-z. ]*)?\}(?! ?_)"
)
_WORDLESS = re.compile(rf"{TEXT} ?\{{((?=[^{{}}]*\d)(?:[A-Za-z]?[^A-Za-z{{}}])*[A-Za-z]?)\}}(?! ?_)")
_BLANK = re.compile(rf"{TEXT} ?\{{ *\}}")
_ANSWER_IS = r"(?:so |thus |hence )?(?:the )?(?:final |correct )?answer(?: is| ?:| ?=) ?:? ?"
_LEADS = r"(?:\b(?:is|are|equals|be|about|approximately|exactly|point)|[:=]) ?"
_PROSE = re.compile(
    rf"^(?:(?:{TEXT} ?\{{[^{{}}]*\}} ?[A-Za-z] ?)?{TEXT} ?\{{[^{{}}]*{_LEADS}\}}|{_ANSWER_IS}) ?(?=[^ ])", re.IGNORECASE
)
_PROSE_IN_TEXT = re.compile(rf"^({TEXT} ?\{{) ?{_ANSWER_IS}", re.IGNORECASE)
_NAME = re.compile(r"^[A-Za-z][a-z]{2,}(?: [a-z]+){0,3} ?=(?!=)")


def without_prose(text: str) -> str:
    r"""`\text{The answer is }5`, `\text{5 cm}`, `Area = 5` as `5`, `5\text{ cm}`, `\text{Area}=5`."""
    text = _PROSE_IN_TEXT.sub(r"\1", _PROSE.sub("", _BLANK.sub(r"\\ ", text)))
    text = _WORDLESS.sub(r"{\1}", _NUMBER_IN_TEXT.sub(_value_first, text))
    return _NAME.sub(lambda match: rf"\text{{{match[0][:-1].strip()}}}=", text)


def _value_first(match: re.Match) -> str:
    unit = rf"\text{{{match[3]}}}" if match[3] else ""
    return f"{{{match[1]}}}" + (r"\%" if match[2] else "") + unit


def word_text(text: str) -> str | None:
    r"""The words of `\text{Evelyn}` or `(C)` in one spelling, None for anything that is not words."""
    if re.fullmatch(r"[\s().,]*", _TEXT.sub("", text)) or re.fullmatch(r"\(?[A-Z]\)?|[A-Z][a-z]{3,}", text):
        return bare_words(text)
    return None


def bare_words(text: str) -> str | None:
    r"""Words in one spelling, with or without `\text`; choices in alphabetical order. None for other text."""
    text = re.sub(r"\s+", " ", _TEXT.sub(r"\1", text)).strip(" .,")
    if re.fullmatch(r"\([A-Za-z]\)", text):
        return text[1].lower()
    if not re.fullmatch(r"[A-Za-z0-9(][A-Za-z0-9 ,.:;'&/()-]*", text) or not re.search("[A-Za-z]", text):
        return None
    text = re.sub(r"^(?:an?|the) ", "", text.lower())
    if re.fullmatch(r"[a-z](?: ?(?:,| and ) ?(?:and )?[a-z])+", text):
        return ",".join(sorted(re.findall(r"\b[a-z]\b", text)))
    return text.replace(".", "").replace(", ", ",")
