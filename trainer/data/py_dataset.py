"""`keras.utils.PyDataset`: batches that are read by number, in an order of ours, so that a run resumes without reading.

The order of pass p over the batches is a permutation keyed by (seed, p). A data set may change itself in
`on_epoch_begin` and `on_epoch_end`, such as to shuffle its rows: both are called once per pass, in turn, and by a
resumed run as often as before, so that it is exact if they are deterministic.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import keras
import numpy as np
import tensorflow as tf

from trainer.data.reading import reading
from trainer.data.rows import Batch
from trainer.data.source import AHEAD, as_batch, checked, spec_of_batch
from trainer.data.stream import Fitting, prepared, unchanged
from trainer.display.shown import Shown
from trainer.errors import UsageError

logger = logging.getLogger("trainer")


class TrainingPyDataset(Shown):
    """Training batches from a `keras.utils.PyDataset`, whose `workers` are threads.

    Args:
        data: The data set. One whose `num_batches` is None is read in its own order without end.
        seed: Seed of the order.
        steps_per_epoch: Batches per epoch; default: those of a pass.
        fitting: Arranges batches for the task.

    Raises:
        UsageError: If there are no batches, or it is endless and `steps_per_epoch` is missing.
        DataError: If its first batch cannot be made.
    """

    labels = None

    def __init__(
        self,
        data: keras.utils.PyDataset,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        fitting: Fitting = unchanged,
    ) -> None:
        self._data, self._seed, self._fitting = data, seed, fitting
        self._size = data.num_batches
        if self._size == 0:
            raise UsageError(f"cannot train on {type(data).__name__}: it has no batches")
        if steps_per_epoch is None and self._size is None:
            raise UsageError(
                f"cannot train on {type(data).__name__}: it is endless; give durations=Durations(steps_per_epoch=…)"
            )
        self.steps_per_epoch: int = steps_per_epoch or self._size
        with reading(f"cannot read the first batch of {type(data).__name__}"):
            self._first = as_batch(data[next(self._order(0))])
        self._raw = spec_of_batch(self._first)
        self.spec = self._prepared(tf.data.Dataset.from_tensors(self._first)).element_spec
        self._passes = 0
        if data.use_multiprocessing:
            logger.info("%s is read by threads: use_multiprocessing has no effect", type(data).__name__)

    def _line(self) -> str:
        return f"{self.steps_per_epoch:,} batches per epoch"

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) onwards, pass after pass without end."""
        made = tf.data.Dataset.from_generator(lambda: self._from(first_step), output_signature=self._raw)
        return self._prepared(made).prefetch(AHEAD)

    def peek(self) -> Batch:
        """Return the first batch."""
        first: Batch = next(iter(self._prepared(tf.data.Dataset.from_tensors(self._first))))
        return first

    def _prepared(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        return prepared(batches, self._fitting)

    def _from(self, first_step: int) -> Iterator[Batch]:
        """Yield the batches from a global step onwards."""
        number, skipped = divmod(first_step, self._size) if self._size is not None else (0, first_step)
        with ThreadPoolExecutor(self._data.workers, "batches") as pool:
            while True:
                self._begin(number)
                for element in self._read(pool, self._order(number, skipped)):
                    yield checked(as_batch(element), self._raw)
                number, skipped = number + 1, 0

    def _begin(self, number: int) -> None:
        """Call the hooks of the data set up to the beginning of a pass, unless that was done."""
        while self._passes <= number:
            if self._passes:
                self._data.on_epoch_end()
            self._data.on_epoch_begin()
            self._passes += 1

    def _order(self, number: int, skipped: int = 0) -> Iterator[int]:
        """Return the numbers of the batches of a pass, without those skipped."""
        if self._size is None:
            return count(skipped)
        return iter(np.random.default_rng([self._seed, number]).permutation(self._size)[skipped:].tolist())

    def _read(self, pool: ThreadPoolExecutor, order: Iterator[int]) -> Iterator[object]:
        """Yield batches in order, while the workers make the next ones."""
        waiting: deque[Future[object]] = deque()
        for index in order:
            waiting.append(pool.submit(self._data.__getitem__, index))
            if len(waiting) == self._data.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
