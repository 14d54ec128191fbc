"""Rows whose decoding raises: the one that does is found, those beside it are decoded."""

import pytest

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Response, Row
from sprint_lmeval.models.failures import narrowed

ROWS = [Row(f"prompt {number}", Candidate.parse("L0H1")) for number in range(9)]


class Decoder:
    """Decodes rows until one of `wrong` comes up, as a batch does: its neighbours are lost with it."""

    def __init__(self, *wrong: int, raised: Exception | None = None, finished: int = 0) -> None:
        self.wrong, self.raised = [ROWS[i] for i in wrong], raised or KeyError("some layer")
        self.finished, self.calls = finished, 0

    def __call__(self, rows):
        self.calls += 1
        fails = any(row in rows for row in self.wrong)
        for row in [row for row in rows if row not in self.wrong][: self.finished if fails else None]:
            yield row, Response(row.prompt, False, 1)
        if fails:
            raise self.raised


def decoded(decoder: Decoder, rows=ROWS) -> tuple[list[str], Exception | None]:
    texts = []
    try:
        for _, response in narrowed(decoder, rows, lambda left: " and ".join(row.prompt for row in left)):
            texts.append(response.text)
    except Exception as error:
        return texts, error
    return texts, None


def test_nothing_raises():
    decoder = Decoder()
    assert decoded(decoder) == ([row.prompt for row in ROWS], None) and decoder.calls == 1
    assert decoded(Decoder(), []) == ([], None)


@pytest.mark.parametrize("finished", [0, 1, 3])
@pytest.mark.parametrize("wrong", range(9))
def test_the_row_that_raises_is_named_and_those_before_it_are_decoded(wrong, finished):
    decoder = Decoder(wrong, finished=finished)
    texts, error = decoded(decoder)
    assert isinstance(error, KeyError) and error.__notes__ == [f"It happened at prompt {wrong}."]
    assert {row.prompt for row in ROWS[:wrong]} <= set(texts), "what stands before it is decoded"
    assert len(texts) == len(set(texts)), "and nothing is decoded twice"
    assert decoder.calls <= 9


def test_what_raises_once_goes_on():
    decoder = Decoder(4)
    real = Decoder.__call__

    def once(rows):
        yield from real(decoder, rows)

    def forgetting(rows):
        try:
            yield from once(rows)
        except KeyError:
            decoder.wrong = []
            raise

    texts, error = decoded(forgetting)
    assert error is None and sorted(texts) == [row.prompt for row in ROWS]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate"), r"^memory does not suffice \(CUDA out of.*batch_size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "^memory does not suffice"),
        (
            RuntimeError("CUDA error: device-side assert triggered\nmore"),
            r"^the device failed \(CUDA error: device-side",
        ),
    ],
)
def test_a_device_that_failed_is_one_sentence_and_is_not_tried_again(raised, said):
    decoder = Decoder(8, raised=raised, finished=7)
    texts, error = decoded(decoder)
    assert isinstance(error, InputError) and "\n" not in str(error) and decoder.calls == 1 and len(texts) == 7
    with pytest.raises(InputError, match=said):
        raise error
    assert str(error).endswith("; it happened at prompt 7 and prompt 8")


def test_a_mistake_stays_a_mistake():
    decoder = Decoder(0, raised=InputError("the server is away"))
    _, error = decoded(decoder)
    assert str(error) == "the server is away" and decoder.calls == 1 and not hasattr(error, "__notes__")


def test_an_interruption_is_no_failure():
    decoder = Decoder(3, raised=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        decoded(decoder)
    assert decoder.calls == 1
