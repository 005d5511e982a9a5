"""Is a `keras.utils.PyDataset` read in an order of ours, from any step?"""

from __future__ import annotations

import numpy as np
import pytest

from trainer.errors import DataError, UsageError


def made(keras, size: int | None = 5, workers: int = 1, **attributes):
    """Return a data set of batches that hold their number and how many epochs have ended."""

    class Numbers(keras.utils.PyDataset):
        ended = begun = 0

        @property
        def num_batches(self):
            return size

        def __getitem__(self, index):
            return np.full((2, 1), index, np.uint8), np.full(2, self.ended)

        def on_epoch_begin(self):
            self.begun += 1

        def on_epoch_end(self):
            self.ended += 1

    return type("Numbers", (Numbers,), attributes)(workers=workers)


def read(pipeline, number: int, first: int = 0) -> list[tuple[int, int]]:
    found = pipeline.batches(first).take(number)
    return [(round(255 * float(x[0, 0])), int(y[0])) for x, y in found]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_pass_has_each_batch_once_in_an_order_of_its_own_from_any_step(keras, workers):
    from trainer.data.streams.py_dataset import TrainingPyDataset

    pipeline = TrainingPyDataset(made(keras, workers=workers), seed=7)
    assert [list(leaf.shape) for leaf in pipeline.spec] == [[None, 1], [None]]
    whole = read(pipeline, 15)
    orders = [[number for number, _ in whole[first : first + 5]] for first in (0, 5, 10)]
    assert all(sorted(order) == list(range(5)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert [ended for _, ended in whole] == [0] * 5 + [1] * 5 + [2] * 5
    for first in (3, 5, 11):
        resumed = TrainingPyDataset(made(keras), seed=7)
        resumed.peek()
        assert read(resumed, 15 - first, first) == whole[first:]
    assert read(TrainingPyDataset(made(keras), seed=8), 15) != whole


def test_an_endless_data_set_needs_a_length_and_starts_anywhere_without_reading(keras):
    from trainer.data.streams.py_dataset import TrainingPyDataset
    from trainer.data.streams.stream import Length

    with pytest.raises(UsageError, match=r"^cannot train on Numbers: it is endless; give .*steps_per_epoch=…\)$"):
        TrainingPyDataset(made(keras, size=None))
    pipeline = TrainingPyDataset(made(keras, size=None), length=Length(steps_per_epoch=4))
    assert [number for number, _ in read(pipeline, 3, first=100)] == [100, 101, 102]


def test_what_cannot_be_read_is_one_line(keras):
    from trainer.data.streams.py_dataset import TrainingPyDataset

    with pytest.raises(UsageError, match=r"^cannot train on Numbers: it has no batches$"):
        TrainingPyDataset(made(keras, size=0))

    def fail(self, index):
        raise OSError("no such disk")

    with pytest.raises(DataError, match=r"^cannot use Numbers: the data cannot be read: OSError: no such disk \(test"):
        TrainingPyDataset(made(keras, __getitem__=fail))
