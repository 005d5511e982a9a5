"""A stream as a `tf.data.Dataset` of batch tuples, whatever it was: a dataset, or Python code that makes batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import optree
import tensorflow as tf

from trainer.data.columns import as_written
from trainer.data.reading import reading
from trainer.data.rows import PARTS, Batch, is_list_of_numbers, named_leaves
from trainer.data.structure import described
from trainer.errors import DataError, UsageError
from trainer.text import first_line

AHEAD = 2
"""Batches that Python code makes ahead of the step that needs them."""


@dataclass(frozen=True)
class Source:
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
    """Return True if `x` is a `tf.data.Dataset`, or Python code that makes batches: see `source_of`."""
    iterable = isinstance(x, Iterable) and not isinstance(x, str | bytes | dict | list | tuple)
    return isinstance(x, tf.data.Dataset) or _is_function(x) or (iterable and not hasattr(x, "__array__"))


def source_of(x: Any) -> Source:
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
        source = Source(_as_tuples(x))
    elif not is_stream(x):
        raise UsageError(f"cannot read batches from {type(x).__name__}; give a tf.data.Dataset or a generator function")
    elif _is_function(x):
        source = PythonBatches(lambda: iter(x())).source()
    elif isinstance(x, Iterator):
        source = PythonBatches(lambda: x, once=True).source()
    else:
        source = PythonBatches(lambda: iter(x), length=_length(x)).source()
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
        raise _wrong_parts(len(spec))
    return dataset


class PythonBatches:
    """Batches that Python code makes, one pass after the other.

    The first batch is made at once, because it determines the structure of all; the first pass then begins with it.

    Args:
        start: Starts a pass.
        once: True if `start` always returns the same iterator.
        length: Batches per pass, if known.

    Raises:
        UsageError: If there are no batches, or they are not batch tuples.
        DataError: If the first batch cannot be made.
    """

    def __init__(self, start: Callable[[], Iterator[Any]], once: bool = False, length: int | None = None) -> None:
        self._start, self._once, self._length = start, once, length
        with reading("cannot use the stream"):
            iterator = start()
            first = next(iterator, None)
        if first is None:
            raise UsageError("cannot use a stream without batches")
        self.spec = spec_of_batch(as_batch(first))
        self._begun: Iterator[Any] | None = chain([first], iterator)

    def source(self) -> Source:
        """Return the batches as a stream."""
        batches = tf.data.Dataset.from_generator(self._pass, output_signature=self.spec)
        if self._length is not None:
            batches = batches.apply(tf.data.experimental.assert_cardinality(self._length))
        return Source(batches.prefetch(AHEAD), self._once)

    def _pass(self) -> Iterator[Batch]:
        """Yield the batches of a pass, the first of which continues where the structure was looked at."""
        iterator, self._begun = self._begun, None
        if iterator is None:
            iterator = self._start()
        for number, element in enumerate(iterator, 1):
            yield checked(as_batch(element), self.spec, number)


def as_batch(element: Any) -> Batch:
    """Return what Python code made for a step as a batch tuple of NumPy arrays; tensors of other libraries are copied.

    Raises:
        UsageError: If it has no parts or too many, or a leaf is not an array of numbers or texts.
    """
    parts = list(element) if isinstance(element, list | tuple) else [element]
    while parts and parts[-1] is None:
        parts.pop()
    if not 1 <= len(parts) <= len(PARTS) or any(part is None for part in parts):
        raise _wrong_parts(len(parts))
    return tuple(_tree(part, name) for part, name in zip(parts, PARTS, strict=False))


def _wrong_parts(number: int) -> UsageError:
    return UsageError(
        f"cannot use batches of {number} parts; give x, (x, y) or (x, y, sample_weight), and several inputs as a dict"
    )


def _tree(node: Any, name: str) -> Any:
    """Return a tree of arrays, with tuples in place of lists, which tf.data would turn into tensors."""
    if isinstance(node, dict):
        return {key: _tree(child, f"{name}.{key}") for key, child in node.items()}
    if isinstance(node, list | tuple) and not is_list_of_numbers(node):
        return tuple(_tree(child, f"{name}[{i}]") for i, child in enumerate(node))
    if hasattr(node, "detach"):  # a tensor of PyTorch, which may need gradients or live on another device
        node = node.detach().cpu()
    try:
        array = np.asarray(node)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"cannot use {name} of a batch: it does not convert to an array: {first_line(error)}"
        ) from error
    if array.dtype.kind not in "fiubSU":
        raise UsageError(f"cannot use {name} of a batch: {type(node).__name__} is not an array of numbers or texts")
    return array.astype(np.float32) if array.dtype == np.float64 else array


def spec_of_batch(batch: Batch) -> Any:
    """Return the structure of all batches from that of one: only the batch axis is open."""

    def spec(leaf: np.ndarray) -> tf.TensorSpec:
        shape = [None, *leaf.shape[1:]] if leaf.ndim else []
        return tf.TensorSpec(shape, tf.string if leaf.dtype.kind in "SU" else tf.as_dtype(leaf.dtype))

    return optree.tree_map(spec, batch)


def checked(batch: Batch, spec: Any, number: int) -> Batch:
    """Return a batch that has the structure, the dtypes and the shapes of the first.

    Args:
        batch: The batch.
        spec: The structure of the first.
        number: Its number in its pass, from 1.

    Raises:
        DataError: If it differs.
    """
    fits = optree.tree_structure(batch) == optree.tree_structure(spec) and all(
        _fits(leaf, wanted) for leaf, wanted in zip(optree.tree_leaves(batch), optree.tree_leaves(spec), strict=True)
    )
    if fits:
        return batch
    raise DataError(
        f"batch {number:,} of the stream is {_listed(batch)}, but the first was {_listed(spec)}; "
        "make all batches alike, or give a tf.data.Dataset whose element_spec leaves axes open"
    )


def _fits(leaf: np.ndarray, wanted: tf.TensorSpec) -> bool:
    kind = tf.string if leaf.dtype.kind in "SU" else tf.as_dtype(leaf.dtype)
    return kind == wanted.dtype and wanted.shape.is_compatible_with(leaf.shape)


def _listed(batch: Any) -> str:
    return ", ".join(f"{name} {described(leaf)}" for name, leaf in named_leaves(batch).items())
