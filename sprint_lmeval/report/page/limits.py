"""How many characters of each kind of text the page shows: files of strangers may hold a million of each."""

RESPONSE = 200_000
PROBLEM = 50_000
ANSWER = 5_000
NAME = 300  # of a task, a model, a strategy, a subject, a question
NOTE = 1_000


def shorten(text: str, length: int) -> str:
    """Return the text, without its middle where it is longer than `length` characters."""
    left_out = len(text) - length
    if left_out <= 0:
        return text
    start = length * 2 // 5
    return f"{text[:start]} … {left_out:,} characters left out … {text[start + left_out :]}"
