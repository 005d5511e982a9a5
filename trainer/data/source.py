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
        dataset: One pass over the batches, each `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
        once: True if there is no second pass, as of a generator object.
    """

    dataset: tf.data.Dataset
    once: bool = False

    @property
    def length(self) -> int | None:
        """Number of batches; None if it is unknown, infinity (`tf.data.INFINITE_CARDINALITY`) as -1."""
        found = int(self.dataset.cardinality())
        return None if found == tf.data.UNKNOWN_CARDINALITY else found


def source_of(x: Any) -> Source | None:
    """Return a `tf.data.Dataset`, or Python code that makes batches, as a stream; None for anything else.

    Python code is a function without arguments that returns an iterable, such as a generator function; an iterable,
    such as a `torch.utils.data.DataLoader`; or an iterator, such as a generator object, which can be read only once.

    Raises:
        UsageError: If the batches are not `(x,)`, `(x, y)` or `(x, y, sample_weight)`, or there are none.
        DataError: If the first batch of Python code cannot be made.
    """
    if isinstance(x, tf.data.Dataset):
        return Source(_as_tuples(x))
    if _is_function(x):
        return PythonBatches(lambda: iter(x())).source()
    if isinstance(x, Iterator):
        return PythonBatches(lambda: x, once=True).source()
    if isinstance(x, Iterable) and not isinstance(x, str | bytes | dict | list | tuple) and not hasattr(x, "__array__"):
        return PythonBatches(lambda: iter(x), length=_length(x)).source()
    return None


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
    try:
        return len(x)
    except (TypeError, NotImplementedError):  # torch's loader of an iterable data set has no length
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
        raise UsageError(
            f"cannot use a dataset whose elements have {len(spec)} parts: {described(spec)}; give x, (x, y) or "
            "(x, y, sample_weight), and several inputs as a dict"
        )
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
        with reading("cannot read the first batch of the stream"):
            iterator = start()
            first = next(iterator, None)
        if first is None:
            raise UsageError("cannot use a stream without batches: it ends before the first")
        self.first = as_batch(first)
        self.spec = _spec_of(self.first)
        self._begun: Iterator[Any] | None = chain([first], iterator)

    def source(self) -> Source:
        """Return the batches as a stream."""
        dataset = tf.data.Dataset.from_generator(self._pass, output_signature=self.spec)
        if self._length is not None:
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(self._length))
        return Source(dataset.prefetch(AHEAD), self._once)

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
        raise UsageError(
            f"cannot use a batch of {len(parts)} parts: give x, (x, y) or (x, y, sample_weight), and several inputs "
            "as a dict"
        )
    return tuple(_tree(part, name) for part, name in zip(parts, PARTS, strict=False))


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
        raise UsageError(f"cannot use {name} of a batch: it does not convert to an array: {first_line(error)}") from error
    if array.dtype.kind not in "fiubSU":
        raise UsageError(f"cannot use {name} of a batch: {type(node).__name__} is not an array of numbers or texts")
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _spec_of(batch: Batch) -> Any:
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
