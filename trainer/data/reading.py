"""What goes wrong while batches are read, in one line: the code that makes them may raise anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from trainer.errors import DataError, InkwellError
from trainer.text import first_line, in_line

ENDED = "the data ended"
"""Reason of a stream that has no more batches."""

_NOISE = re.compile(r"Graph execution error:|Detected at node|<stack traces unavailable>|\s+File |\s*$")
"""Lines of TensorFlow that come before the message of an error."""
_PREFIX = re.compile(
    r"^(\{\{function_node [^}]*\}\} )?(Error in user-defined function passed to .*? iterator: \S+: )?"
    r"((DataError|UsageError): )?"
)
"""What TensorFlow puts before the message of the code that made a batch; our own errors need no class."""
_SUFFIX = re.compile(r" \[Op:\w+\].*$")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever the code that makes batches raises into an error of one line.

    Args:
        what: What cannot be done without the batches, such as `cannot continue after step 7`.

    Raises:
        DataError: If the batches cannot be read.
    """
    try:
        yield
    except InkwellError:
        raise
    except Exception as error:
        if (reason := reason_of(error)) is None:
            raise
        raise DataError(f"{what}: {reason}") from error


def reason_of(error: Exception) -> str | None:
    """Return why batches could not be read, in one line; None for an error of the model or the task."""
    if not isinstance(error, tf.errors.OpError):
        return f"{type(error).__name__}: {first_line(error)}"
    text = str(error)
    if isinstance(error, tf.errors.OutOfRangeError) or "OutOfRangeError: End of sequence" in text:
        return ENDED
    if "IteratorGetNext" not in text:
        return None
    lines = [line for line in text.splitlines() if not _NOISE.match(line)]
    said = _SUFFIX.sub("", _PREFIX.sub("", lines[0])) if lines else type(error).__name__
    return f"the data cannot be read: {in_line(said)}"
