"""Passes over a stream: taking one up where an iterator stands, skipping batches, counting them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.data.batch import Batch
from trainer.data.columns import as_written
from trainer.data.streams.reading import reading
from trainer.errors import DataError, UsageError
from trainer.stage import Stage
from trainer.text import count

logger = logging.getLogger("trainer")

MANY = 100_000
"""Batches after which counting is given up, since a stream may be endless."""

BRIEF = 2.0
"""Seconds of counting that nobody minds."""

PATIENCE = 10.0
"""Seconds of counting after which the user is told that a stream may be endless."""


class Passes:
    """Passes over a dataset, the next of which begins with the batch that was looked at.

    The iterator of that batch is kept and read on: a dataset that reshuffles gives every iterator another order,
    and one that caches needs one that reads it to the end.

    Args:
        batches: The dataset.
        purpose: What its batches are for, such as `train on`.
    """

    def __init__(self, batches: tf.data.Dataset, purpose: str) -> None:
        self._batches, self._purpose = batches, purpose
        self._begun: tuple[Any, Batch] | None = None

    def peek(self) -> Batch:
        """Return the first batch of the next pass.

        Raises:
            DataError: If there is none, or it cannot be read.
        """
        if self._begun is None:
            iterator, what = iter(self._batches), f"cannot {self._purpose} the stream"
            with Stage("reading the first batch of the stream"), reading(what):
                first = next(iterator, None)
            if first is None:
                raise DataError(f"{what}: it has no batches")
            self._begun = iterator, first
        return self._begun[1]

    def next(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the next pass, from a 0-based step onwards; the batches before it are read and skipped.

        Raises:
            DataError: If they cannot be read, or there are too few.
        """
        begun, self._begun = self._begun, None
        if begun is None and not first_step:
            return self._batches
        iterator, first = begun or (iter(self._batches), None)
        if not first_step:
            return tf.data.Dataset.from_tensors(first).concatenate(remaining(iterator))
        skip(iterator, first_step, taken=first is not None)
        return remaining(iterator)


def remaining(iterator: Any) -> tf.data.Dataset:
    """Return what an iterator over a dataset has left."""
    more = tf.data.Dataset.range(tf.int64.max).map(as_written(lambda _: iterator.get_next_as_optional()))
    return more.take_while(as_written(lambda batch: batch.has_value())).map(as_written(lambda batch: batch.get_value()))


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
    logger.warning(
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
    number, warned, start = 0, False, time.perf_counter()
    with Stage("counting the batches of the stream") as progress, reading("cannot count the batches of the stream"):
        for number, _ in enumerate(batches, 1):
            progress.details = [f"{number:,} so far"]
            if not warned and time.perf_counter() - start > PATIENCE:
                warned = True
                logger.warning(
                    "still counting the batches of the stream, %s so far; if it is endless, interrupt and give "
                    "durations=Durations(steps_per_epoch=…)",
                    f"{number:,}",
                )
            if number == MANY:
                raise UsageError(
                    f"cannot train on the stream: it has not ended after {MANY:,} batches; give "
                    "durations=Durations(steps_per_epoch=…)"
                )
    if not number:
        raise DataError("cannot train on the stream: it has no batches")
    seconds = time.perf_counter() - start
    logger.log(
        logging.INFO if seconds < BRIEF else logging.WARNING,
        "counting %s of the stream took %.1f s; durations=Durations(steps_per_epoch=%d) avoids it",
        count(number, "batch", "batches"),
        seconds,
        number,
    )
    return number
