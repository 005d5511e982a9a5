"""Passes over a stream: taking one up where an iterator stands, skipping batches, counting them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.data.columns import as_written
from trainer.data.reading import reading
from trainer.data.rows import Batch
from trainer.errors import DataError, UsageError
from trainer.stage import Stage
from trainer.text import count

logger = logging.getLogger("trainer")

MANY = 100_000
"""Batches after which counting is given up, since a stream may be endless."""


def first_of(batches: Iterator[Batch], purpose: str) -> Batch:
    """Return the first batch.

    Args:
        batches: An iterator at its beginning.
        purpose: What the batches are for, such as `train on`.

    Raises:
        DataError: If there is none, or it cannot be read.
    """
    with reading(f"cannot {purpose} the stream"):
        for first in batches:
            return first
    raise DataError(f"cannot {purpose} the stream: it has no batches")


def remaining(iterator: Any, first: Batch | None = None) -> tf.data.Dataset:
    """Return what an iterator over a dataset has left, after a batch that was already taken from it."""
    following = tf.data.Dataset.range(tf.int64.max).map(as_written(lambda _: iterator.get_next()))
    return following if first is None else tf.data.Dataset.from_tensors(first).concatenate(following)


def skip(iterator: Iterator[Batch], first_step: int, taken: bool) -> None:
    """Read the batches before a step, and say how long that took.

    Args:
        iterator: The stream from its beginning.
        first_step: The step that comes next, 0-based.
        taken: True if the first batch was already taken.

    Raises:
        DataError: If the batches cannot be read, or there are too few.
    """
    start, what = time.perf_counter(), f"cannot continue at step {first_step:,}"
    with Stage("skipping batches of the stream", first_step, "batches") as progress, reading(what):
        for progress.done in range(1 + taken, first_step + 1):
            if next(iterator, None) is None:
                raise DataError(f"{what}: the stream has only {progress.done - 1:,} batches")
    logger.info(
        "skipping %s of the stream took %.1f s; the run continues exactly if the stream gives the same batches again",
        count(first_step, "batch", "batches"),
        time.perf_counter() - start,
    )


def counted(batches: tf.data.Dataset) -> int:
    """Return the number of batches in a pass, which is read to its end, and say how long that took.

    Raises:
        UsageError: If it does not end.
        DataError: If it is empty or cannot be read.
    """
    number, start = 0, time.perf_counter()
    with Stage("counting the batches of the stream") as progress, reading("cannot count the batches of the stream"):
        for number, _ in enumerate(batches, 1):
            progress.details = [f"{number:,} so far"]
            if number == MANY:
                raise UsageError(
                    f"cannot train on the stream: it has not ended after {MANY:,} batches; give "
                    "durations=Durations(steps_per_epoch=…)"
                )
    if not number:
        raise DataError("cannot train on the stream: it has no batches")
    logger.info(
        "counting %s of the stream took %.1f s; durations=Durations(steps_per_epoch=%d) avoids it",
        count(number, "batch", "batches"),
        time.perf_counter() - start,
        number,
    )
    return number
