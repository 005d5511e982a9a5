"""Errors of one line for batches that cannot be read: the code that makes them may raise anything."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from trainer.errors import DataError, InkwellError
from trainer.text import first_line, shortened


class DataEnded(DataError):  # noqa: N818, the name says what happened
    """Data that ended before the batches that were expected of them were read."""


_NOISE = re.compile(r"Graph execution error:|Detected at node|<stack traces unavailable>|\s+File |\s*$")
"""Lines of TensorFlow that come before the message of an error."""
_PREFIX = re.compile(
    r"^(\{\{function_node [^}]*\}\} )?(Error in user-defined function passed to .*? iterator: \S+: )?"
    r"(?P<ours>(DataError|UsageError): )?"
)
"""Text that TensorFlow puts before the message of the code that made a batch; our own errors need no class."""
_FRAME = re.compile(r'^\s+File "(.+)", line (\d+)', re.MULTILINE)
_SUFFIX = re.compile(r" \[Op:\w+\].*$")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn any exception of the code that makes batches into an error of one line; errors of the model stay.

    Args:
        what: What cannot be done without the batches, such as `cannot continue after step 7`.

    Raises:
        DataEnded: If there are no more batches.
        DataError: If they cannot be read.
    """
    try:
        yield
    except InkwellError:
        raise
    except Exception as error:
        if (failure := failure_of(error, what)) is None:
            raise
        raise failure from error


def failure_of(error: Exception, what: str) -> DataError | None:
    """Return the error of one line for what was raised while batches were read; None if it is not about the data.

    Args:
        error: What was raised: by TensorFlow if a graph reads the batches, else by the code that makes them.
        what: As in `reading`.
    """
    if isinstance(error, tf.errors.OutOfRangeError):
        return DataEnded(f"{what}: the data ended; give more batches, or train and validate with fewer steps")
    reason = _reason(error)
    return None if reason is None else DataError(f"{what}: the data cannot be read: {shortened(reason)}")


def _reason(error: Exception) -> str | None:
    """Return the message of the code that makes batches; None if the error comes from elsewhere in a graph."""
    if not isinstance(error, tf.errors.OpError):
        frames = traceback.extract_tb(error.__traceback__)
        return f"{type(error).__name__}: {first_line(error)}{_place(frames[-1].filename, frames[-1].lineno)}"
    text = str(error)
    if "IteratorGetNext" not in text:
        return None
    lines = [line for line in text.splitlines() if not _NOISE.match(line)]
    said = _PREFIX.match(lines[0]) if lines else None
    if said is None:
        return type(error).__name__
    places = [] if said["ours"] else _FRAME.findall(text.partition("Traceback (most recent call last)")[2])
    return _SUFFIX.sub("", lines[0][said.end() :]) + (_place(*places[-1]) if places else "")


def _place(file: str, line: int | str | None) -> str:
    return f" ({Path(file).name}, line {line})"
