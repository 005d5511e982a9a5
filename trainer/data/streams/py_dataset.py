"""`keras.utils.PyDataset`: batches that are read by number, in an order of ours, so that a run resumes without reading.

The order of pass p over the batches is a permutation keyed by (seed, p). A data set may change itself in
`on_epoch_begin` and `on_epoch_end`, such as to shuffle its rows: both are called once per pass, between its batches
and those of the next, and in a resumed run as often as before, so that it is exact if they are deterministic.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data.batch import Batch, Fitting
from trainer.data.streams.arranged import arranged, unfitted
from trainer.data.streams.python_batches import AHEAD, as_batch, checked, spec_of_batch
from trainer.data.streams.reading import reading
from trainer.data.streams.stream import OWN, Length
from trainer.display.shown import Shown
from trainer.errors import UsageError

logger = logging.getLogger("trainer")


class TrainingPyDataset(Shown):
    """Training batches from a `keras.utils.PyDataset`, whose `workers` are threads.

    Args:
        data: The data set; if its `num_batches` is None, it is read in its own order without end.
        seed: Seed of the order, at least 0.
        length: The length of an epoch; default: that of a pass.
        fitting: Arranges batches for the task.

    Raises:
        UsageError: If there are no batches, or their number is needed and unknown.
        DataError: If the first batch cannot be made.
    """

    labels = None

    def __init__(
        self, data: keras.utils.PyDataset, seed: int = 0, length: Length = OWN, fitting: Fitting = unfitted
    ) -> None:
        self._data, self._seed, self._fitting, name = data, seed, fitting, type(data).__name__
        with reading(f"cannot use {name}"):
            self._size = data.num_batches
        epoch = length.steps_per_epoch or self._size or length.steps
        if self._size == 0:
            raise UsageError(f"cannot train on {name}: it has no batches")
        if epoch is None:
            raise UsageError(f"cannot train on {name}: it is endless; give durations=Durations(steps_per_epoch=…)")
        if data.use_multiprocessing:
            logger.warning("%s is read by threads of this process: use_multiprocessing has no effect", name)
        self.steps_per_epoch: int = epoch
        with reading(f"cannot use {name}"):
            self._first = as_batch(data[next(iter(self._order(0)))])
        self._raw = spec_of_batch(self._first)
        self._begun = 0
        self.spec = self.batches().element_spec

    def _line(self) -> str:
        return f"{self.steps_per_epoch:,} batches per epoch"

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) onwards, pass after pass without end."""
        made = tf.data.Dataset.from_generator(lambda: self._from(first_step), output_signature=self._raw)
        return self._arranged(made).prefetch(AHEAD)

    def peek(self) -> Batch:
        """Return the first batch."""
        first: Batch = next(iter(self._arranged(tf.data.Dataset.from_tensors(self._first))))
        return first

    def _arranged(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        return arranged(batches, self._fitting)

    def _from(self, first_step: int) -> Iterator[Batch]:
        """Yield the batches from a step onwards."""
        number, skipped = divmod(first_step, self._size) if self._size is not None else (0, first_step)
        with ThreadPoolExecutor(max(1, self._data.workers), "batches") as pool:
            while True:
                self._begin(number)
                for place, element in enumerate(self._read(pool, self._order(number, skipped)), skipped + 1):
                    yield checked(as_batch(element), self._raw, place)
                number, skipped = number + 1, 0

    def _begin(self, number: int) -> None:
        """Call the hooks of the data set up to the beginning of a 0-based pass, unless that was done."""
        while self._begun <= number:
            if self._begun:
                self._data.on_epoch_end()
            self._data.on_epoch_begin()
            self._begun += 1

    def _order(self, number: int, skipped: int = 0) -> Iterable[int]:
        """Return the numbers of the batches of a 0-based pass, without the first `skipped`."""
        if self._size is None:
            return count(skipped)
        order: list[int] = np.random.default_rng([self._seed, number]).permutation(self._size).tolist()
        return order[skipped:]

    def _read(self, pool: ThreadPoolExecutor, order: Iterable[int]) -> Iterator[Any]:
        """Yield batches in order, while the workers make the next ones."""
        waiting: deque[Future[Any]] = deque()
        for index in order:
            waiting.append(pool.submit(self._data.__getitem__, index))
            if len(waiting) >= self._data.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
