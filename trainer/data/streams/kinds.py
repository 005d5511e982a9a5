"""A stream as a `tf.data.Dataset` of batch tuples, whatever it was given as."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.data.batch import PARTS
from trainer.data.columns import as_written
from trainer.data.streams.python_batches import PythonBatches, wrong_parts
from trainer.errors import UsageError


@dataclass(frozen=True)
class Stream:
    """A stream of batches.

    Attributes:
        batches: One pass over the batches, each `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
        once: True if there is no second pass, as of a generator object.
    """

    batches: tf.data.Dataset
    once: bool = False

    @property
    def endless(self) -> bool:
        """True if a pass is known not to end."""
        return int(self.batches.cardinality()) == tf.data.INFINITE_CARDINALITY

    @property
    def length(self) -> int | None:
        """Number of batches of a pass; None if it is unknown or infinite."""
        known = int(self.batches.cardinality())
        return known if known >= 0 else None


def is_stream(x: Any) -> bool:
    """Return True if `x` is a `tf.data.Dataset`, or Python code that makes batches: see `stream_of`."""
    iterable = isinstance(x, Iterable) and not isinstance(x, str | bytes | dict | list | tuple)
    return isinstance(x, tf.data.Dataset) or _is_function(x) or (iterable and not hasattr(x, "__array__"))


def stream_of(x: Any) -> Stream:
    """Return a stream of batches.

    Args:
        x: A `tf.data.Dataset`; a function without arguments that returns an iterable, such as a generator function; an
            iterable, such as a `torch.utils.data.DataLoader` or a `keras.utils.PyDataset`; or an iterator, such as a
            generator object, which can be read only once.

    Raises:
        UsageError: If it is none of these, its batches are not `(x,)`, `(x, y)` or `(x, y, sample_weight)`, or there
            are none.
        DataError: If the first batch of Python code cannot be made.
    """
    if isinstance(x, tf.data.Dataset):
        source = Stream(_as_tuples(x))
    elif not is_stream(x):
        raise UsageError(f"cannot read batches from {type(x).__name__}; give a tf.data.Dataset or a generator function")
    elif _is_function(x):
        source = Stream(PythonBatches(lambda: iter(x())).dataset())
    elif isinstance(x, Iterator):
        source = Stream(PythonBatches(lambda: x).dataset(), once=True)
    else:
        source = Stream(PythonBatches(lambda: iter(x), _length(x)).dataset())
    if source.length == 0:
        raise UsageError("cannot use a stream without batches")
    return source


def _is_function(x: Any) -> bool:
    """Return True if `x` is a function that can be called without arguments."""
    if not callable(x) or isinstance(x, type | Iterable):
        return False
    try:
        inspect.signature(x).bind()
    except (TypeError, ValueError):
        return False
    return True


def _length(x: Any) -> int | None:
    """Return the number of batches of an iterable, -1 if it is infinite; None if it does not know."""
    if getattr(x, "num_batches", 0) is None:  # of a `keras.utils.PyDataset`
        return int(tf.data.INFINITE_CARDINALITY)
    try:
        return len(x)
    except (TypeError, NotImplementedError):  # such as PyTorch's loader of an iterable data set
        return None


def _as_tuples(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return a dataset whose elements are batch tuples; a single tensor or dict are the inputs.

    Raises:
        UsageError: If its tuples have more parts than a batch.
    """
    spec = dataset.element_spec
    if not isinstance(spec, tuple):
        return dataset.map(as_written(lambda x: (x,)))
    if not 1 <= len(spec) <= len(PARTS):
        raise wrong_parts(len(spec))
    return dataset
