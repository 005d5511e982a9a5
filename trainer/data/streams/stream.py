"""Streams: data that are read in their own order from the beginning, and neither split nor recognised elsewhere.

A resumed run reads the stream again and skips the batches that it has used, so it is exact if the stream gives the same
batches again.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.data.batch import Batch, Fitting
from trainer.data.streams.arranged import arranged, unfitted
from trainer.data.streams.kinds import stream_of
from trainer.data.streams.passes import Passes, counted
from trainer.display.shown import Shown
from trainer.errors import UsageError

logger = logging.getLogger("trainer")


class Length(NamedTuple):
    """The length of an epoch of batches, as far as the run determines it.

    Attributes:
        steps_per_epoch: Batches per epoch, whatever the data say.
        steps: Batches of the whole run, which is a single epoch where the data do not know their length.
        counted: True if data that do not know their length may be read once to count their batches.
    """

    steps_per_epoch: int | None = None
    steps: int | None = None
    counted: bool = False


OWN = Length()
"""The length of an epoch that the data have by themselves."""


class TrainingStream(Shown):
    """Training batches from a stream, which is repeated without end, whatever the number of steps per epoch.

    Args:
        x: A `tf.data.Dataset`, or Python code that makes batches; see `trainer.data.streams.kinds.stream_of`. Of the
            inputs, uint8 means 0 to 255 and becomes float32 from 0 to 1, as everywhere.
        length: The length of an epoch; default: that of the stream.
        fitting: Arranges batches for the task.

    Raises:
        UsageError: If it is no stream of batches, is empty, or its length is needed and unknown.
        DataError: If it cannot be read.
    """

    labels = None

    def __init__(self, x: Any, length: Length = OWN, fitting: Fitting = unfitted) -> None:
        self._source = stream_of(x)
        batches = arranged(self._source.batches, fitting)
        self._passes = Passes(batches if self._source.once else batches.repeat(), "train on")
        self._used = False
        self.spec = batches.element_spec
        self.steps_per_epoch = self._length(length) or counted(batches)

    def _line(self) -> str:
        return f"{self.steps_per_epoch:,} batches per epoch"

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) onwards, pass after pass.

        The batches before it are read and skipped.

        Raises:
            UsageError: If they were read before and can be read only once.
            DataError: If they cannot be read.
        """
        if self._used and self._source.once:
            raise UsageError(
                f"cannot go back to step {first_step:,}: a generator object can be read only once; give the function "
                "that makes it, without calling it"
            )
        self._used = True
        return self._passes.next(first_step)

    def peek(self) -> Batch:
        """Return the first batch, which remains the first that `batches` returns.

        Raises:
            DataError: If the stream is empty or cannot be read.
        """
        return self._passes.peek()

    def _length(self, length: Length) -> int | None:
        """Return the number of batches per epoch; None if they must be counted.

        Raises:
            UsageError: If it is unknown and may not be counted.
        """
        if length.steps_per_epoch is not None:
            if self._source.once:
                logger.warning("a generator object is read only once: it has to give the batches of all epochs")
            return length.steps_per_epoch
        if self._source.length is not None:
            return self._source.length
        if length.steps is not None:
            return length.steps
        if self._source.once:
            raise UsageError(
                "cannot train: a generator object can be read only once, and its length is unknown; give the function "
                "that makes it, without calling it, or durations=Durations(steps=…)"
            )
        if self._source.endless:
            raise UsageError(
                "cannot train: the data are endless; give durations=Durations(steps_per_epoch=…) or Durations(steps=…)"
            )
        if not length.counted:
            raise UsageError(
                "cannot train: the number of batches is unknown, and the learning rate depends on it; give "
                "durations=Durations(steps_per_epoch=…), or an optimizer with a constant learning rate, such as "
                "keras.optimizers.Adam(1e-3)"
            )
        return None


class EvaluationStream(Shown):
    """Evaluation batches from a finite stream that gives the same batches every time.

    Args:
        x: As in `TrainingStream`.
        steps: Number of batches to use; default: all.
        fitting: Arranges batches for the task.

    Attributes:
        steps: Number of batches; None if it is unknown, and every pass ends where the stream does.

    Raises:
        UsageError: If it is no stream of batches, is empty or endless, or can be read only once.
        DataError: If it cannot be read.
    """

    labels = None

    def __init__(self, x: Any, steps: int | None = None, fitting: Fitting = unfitted) -> None:
        source = stream_of(x)
        if source.once:
            raise UsageError(
                "cannot evaluate on a generator object, which can be read only once; give the function that makes it, "
                "without calling it"
            )
        if steps is None and source.endless:
            raise UsageError(
                "cannot evaluate: the data are endless; use dataset.take(…), or for validation data "
                "durations=Durations(validation_steps=…)"
            )
        batches = arranged(source.batches, fitting)
        self._passes = Passes(batches if steps is None else batches.take(steps), "evaluate on")
        self.steps = source.length if steps is None else steps
        self.spec = batches.element_spec

    def _line(self) -> str:
        return f"{self.steps:,} batches" if self.steps is not None else "batches of unknown number"

    def batches(self) -> tf.data.Dataset:
        """Return one pass over all batches."""
        return self._passes.next()

    def peek(self) -> Batch:
        """Return the first batch, which remains the first of the next pass.

        Raises:
            DataError: If the stream is empty or cannot be read.
        """
        return self._passes.peek()
