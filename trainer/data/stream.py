"""Streams: data that can only be read in their own order, from their beginning.

They are given as batches, and are neither split nor recognised elsewhere. A resumed run reads the stream again and
skips what it had used, so it is exact if the stream gives the same batches again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.data.columns import as_written, scaled, scaled_spec
from trainer.data.reading import reading
from trainer.data.rows import Arrange, Batch, as_it_is, named_leaves
from trainer.data.source import Source, source_of
from trainer.data.structure import described
from trainer.display.shown import Shown
from trainer.errors import DataError, UsageError
from trainer.stage import Stage

logger = logging.getLogger("trainer")

MANY = 100_000
"""Batches after which counting them is given up, since a stream may be endless."""

Fitting = Callable[[Any], Arrange]
"""Returns how a batch of a given spec is brought into the structure that a task expects."""


class Length(NamedTuple):
    """The length of a stream of training batches, as far as a run determines it.

    Attributes:
        steps_per_epoch: Batches per epoch, whatever the stream says.
        steps: Batches of the whole run, which are the only epoch of a stream of unknown length.
        counted: True if a stream of unknown length may be read once to count its batches.
    """

    steps_per_epoch: int | None = None
    steps: int | None = None
    counted: bool = False


class TrainingStream(Shown):
    """Training batches from a stream, which is repeated without end.

    Args:
        x: A `tf.data.Dataset`, or Python code that makes batches; see `trainer.data.source.source_of`. Of the inputs,
            uint8 means 0 to 255 and becomes float32 from 0 to 1, as everywhere.
        length: The length of an epoch, for a stream that does not know its own.
        fitting: Arranges batches for the task.

    Raises:
        UsageError: If it is no stream of batches, is empty, or its length is needed and unknown.
    """

    labels = None

    def __init__(self, x: Any, length: Length = Length(), fitting: Fitting = lambda spec: as_it_is) -> None:
        self._source = _source(x, "train on")
        self._dataset = _prepared(self._source.dataset, fitting)
        self._begun: tuple[Iterator[Batch], Batch] | None = None
        self.spec = self._dataset.element_spec
        self.steps_per_epoch = self._length(length)

    def _line(self) -> str:
        return f"{self.steps_per_epoch:,} batches per epoch"

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) onwards, pass after pass.

        The batches before it are read and skipped.

        Raises:
            DataError: If they cannot be read.
        """
        begun, self._begun = self._begun, None
        if begun is None and not first_step:
            return self._passes()
        iterator, first = begun or (iter(self._passes()), None)
        if not first_step:
            return remaining(iterator, first)
        _skip(iterator, first_step, taken=first is not None)
        return remaining(iterator)

    def peek(self) -> Batch:
        """Return the first batch, which stays the first of the next call of `batches`.

        The iterator that it was taken from is kept: a dataset that reshuffles gives another order to each.

        Raises:
            DataError: If the stream is empty or cannot be read.
        """
        if self._begun is None:
            iterator = iter(self._passes())
            with reading("cannot train on the stream"):
                first = next(iterator, None)
            if first is None:
                raise DataError("cannot train on the stream: it has no batches")
            self._begun = iterator, first
        return self._begun[1]

    def _passes(self) -> tf.data.Dataset:
        return self._dataset if self._source.once else self._dataset.repeat()

    def _length(self, length: Length) -> int:
        known = self._source.length
        if length.steps_per_epoch is not None:
            return length.steps_per_epoch
        if known is not None and known >= 0:
            return known
        if length.steps is not None:
            return length.steps
        if self._source.once:
            raise UsageError(
                "cannot train: a generator object can be read only once and does not know its length; give the "
                "function that makes it without calling it, or durations=Durations(steps=…)"
            )
        if known == tf.data.INFINITE_CARDINALITY:
            raise UsageError(
                "cannot train: the dataset is endless; give durations=Durations(steps_per_epoch=…) or Durations(steps=…)"
            )
        if not length.counted:
            raise UsageError(
                "cannot train: the number of batches is unknown, and the learning rate depends on it; give "
                "durations=Durations(steps_per_epoch=…), or an optimizer whose learning rate is constant"
            )
        return counted(self._dataset)


class EvaluationStream(Shown):
    """Evaluation batches from a finite stream that gives the same batches every time.

    Args:
        x: As in `TrainingStream`.
        steps: Number of batches to take; default: all.
        fitting: Arranges batches for the task.

    Attributes:
        steps: Number of batches; None if it is unknown, and the stream is read to its end every time.

    Raises:
        UsageError: If it is no stream of batches, is empty or endless, or can be read only once.
    """

    labels = None

    def __init__(self, x: Any, steps: int | None = None, fitting: Fitting = lambda spec: as_it_is) -> None:
        source = _source(x, "evaluate on")
        if source.once:
            raise UsageError(
                "cannot evaluate on a generator object, which can be read only once; give the function that makes it "
                "without calling it"
            )
        if steps is None and source.length == tf.data.INFINITE_CARDINALITY:
            raise UsageError(
                "cannot evaluate: the dataset is endless; give durations=Durations(validation_steps=…), or take(…) "
                "a part of it"
            )
        self._dataset = _prepared(source.dataset, fitting)
        self.steps = steps or source.length
        self.spec = self._dataset.element_spec

    def _line(self) -> str:
        return f"{self.steps:,} batches" if self.steps is not None else "batches of unknown number"

    def batches(self) -> tf.data.Dataset:
        """Return one pass over all batches."""
        return self._dataset if self.steps is None else self._dataset.take(self.steps)

    def peek(self) -> Batch:
        """Return the first batch, read in a pass of its own.

        Raises:
            DataError: If the stream is empty or cannot be read.
        """
        with reading("cannot evaluate on the stream"):
            first: Batch | None = next(iter(self._dataset), None)
        if first is None:
            raise DataError("cannot evaluate on the stream: it has no batches")
        return first


def remaining(iterator: Iterator[Batch], first: Batch | None = None) -> tf.data.Dataset:
    """Return what an iterator over a dataset has left, after a batch that was already taken from it."""
    following = tf.data.Dataset.range(tf.int64.max).map(as_written(lambda _: iterator.get_next()))
    return following if first is None else tf.data.Dataset.from_tensors(first).concatenate(following)


def counted(dataset: tf.data.Dataset) -> int:
    """Return the number of batches of a dataset, which is read to its end.

    Raises:
        UsageError: If it does not end.
        DataError: If it is empty or cannot be read.
    """
    number, start = 0, time.perf_counter()
    with Stage("counting the batches of the stream") as progress, reading("cannot count the batches of the stream"):
        for number, _ in enumerate(dataset, 1):
            progress.details = [f"{number:,} so far"]
            if number == MANY:
                raise UsageError(
                    f"cannot train: the stream has not ended after {MANY:,} batches; give "
                    "durations=Durations(steps_per_epoch=…)"
                )
    if not number:
        raise DataError("cannot train on the stream: it has no batches")
    logger.info(
        "counted the batches of the stream in %.1f s: Durations(steps_per_epoch=%d) saves that",
        time.perf_counter() - start,
        number,
    )
    return number


def refuse_unbatched(spec: Any, ranks: Any = None) -> None:
    """Refuse single rows in place of batches: a leaf of a batch has at least its batch axis.

    Raises:
        UsageError: If there are any.
    """
    scalars = [name for name, leaf in named_leaves(spec).items() if leaf.shape.rank == 0]
    if scalars:
        raise UsageError(
            f"cannot use single rows: {scalars[0]} has no batch axis; give batches, such as dataset.batch(128)"
        )


def _source(x: Any, purpose: str) -> Source:
    source = source_of(x)
    if source is None:
        raise UsageError(f"cannot {purpose} {type(x).__name__}: it is no stream of batches")
    if source.length == 0:
        raise UsageError(f"cannot {purpose} a dataset without batches")
    return source


def _prepared(dataset: tf.data.Dataset, fitting: Fitting) -> tf.data.Dataset:
    """Return batches as a task sees them, their inputs scaled; a dataset that needs no change is left as it is."""
    raw = dataset.element_spec
    refuse_unbatched(raw)
    arrange = fitting(scaled_spec(raw))

    def changed(*batch: Any) -> Batch:
        x, *rest = arrange(batch)
        return (tf.nest.map_structure(scaled, x), *rest)

    whole = scaled_spec(raw) == raw and arrange(raw) == raw
    return dataset if whole else dataset.map(as_written(changed), num_parallel_calls=1)


def _skip(iterator: Iterator[Batch], first_step: int, taken: bool) -> None:
    """Read the batches before a step and say how long that took.

    Args:
        iterator: The stream.
        first_step: The 0-based global step that comes next.
        taken: True if the first batch was already taken.

    Raises:
        DataError: If they cannot be read, or there are too few.
    """
    start = time.perf_counter()
    what = f"cannot resume at step {first_step:,}"
    with Stage("skipping batches of the stream", first_step, "batches") as progress, reading(what):
        for progress.done in range(1 + taken, first_step + 1):
            if next(iterator, None) is None:
                raise DataError(f"{what}: the stream has only {progress.done - 1:,} batches")
    logger.info(
        "resumed: skipping %s batches of the stream took %.1f s; exact if the stream gives the same batches again",
        f"{first_step:,}",
        time.perf_counter() - start,
    )
