"""Rows whose decoding raises: which one it is, and one sentence where the cause is known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from accelerate.utils.memory import should_reduce_batch_size

from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.generation.rows import Response, Row

log = logging.getLogger(f"lm_eval.{__name__}")
OF_A_DEVICE = ("CUDA error", "HIP error", "device-side assert", "cuDNN error", "CUBLAS_STATUS", "NCCL")
Decoded = Iterator[tuple[Row, Response]]


def narrowed(
    generate: Callable[[list[Row]], Decoded], rows: Sequence[Row], described: Callable[[list[Row]], str]
) -> Decoded:
    """Yield what `generate(rows)` yields; where it raises, go on with halves until one row is left that raises.

    So one row that cannot be decoded costs the responses of no other. Where a device failed or has too little memory,
    nothing is tried again.

    Args:
        generate: decodes distinct rows.
        rows: distinct rows.
        described: unfinished rows -> which question and candidate they are, what is kept and how to go on.

    Raises:
        InputError: as `generate` does, and where the device is the cause.
        Exception: whatever else decoding a single row raises, with a note that names the row.
    """
    left = dict.fromkeys(rows)
    try:
        for row, response in generate(list(rows)):
            left.pop(row, None)  # else it follows one of them
            yield row, response
        return
    except InputError:
        raise
    except Exception as error:  # whatever a model, a tokenizer or a driver raises
        if said := of_the_device(error):
            raise InputError(f"{said}; it happened at {described(list(left or rows))}") from error
        if not left:  # a row that follows them: the caller asks for it by itself
            log.warning("decoding raised (%s): what followed is tried again", cause(error))
            return
        if len(left) == 1:
            error.add_note(f"It happened at {described(list(left))}.")
            raise
        log.warning("decoding raised (%s): looking for the row among %d", cause(error), len(left))
    unfinished, middle = list(left), len(left) // 2
    for half in (unfinished[:middle], unfinished[middle:]):
        yield from narrowed(generate, half, described)


def of_the_device(error: Exception) -> str | None:
    """Return what to say where a device is the cause of an error, else None."""
    if should_reduce_batch_size(error):
        return (
            f"memory does not suffice ({cause(error)}): give a smaller batch_size, max_length= or max_gen_toks, "
            "dtype=bfloat16, or parallelize=True"
        )
    if any(known in str(error) for known in OF_A_DEVICE):
        return f"the device failed ({cause(error)}): start the command again"
    return None
