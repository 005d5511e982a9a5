"""Batches that Python code makes, as a `tf.data.Dataset`: arrays of any library become NumPy's, and all are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import optree
import tensorflow as tf

from trainer.data.batch import PARTS, Batch, described
from trainer.data.rows import is_list_of_numbers, named_leaves
from trainer.data.streams.reading import reading
from trainer.errors import DataError, UsageError
from trainer.text import first_line

AHEAD = 2
"""Batches that Python code makes ahead of the step that needs them."""


class PythonBatches:
    """Batches that Python code makes, one pass after the other.

    The first batch is made at once, because it determines the structure of all; the first pass then begins with it.

    Args:
        start: Starts a pass.
        length: Batches per pass, if known.

    Raises:
        UsageError: If there are no batches, or they are not batch tuples.
        DataError: If the first batch cannot be made.
    """

    def __init__(self, start: Callable[[], Iterator[Any]], length: int | None = None) -> None:
        self._start, self._length = start, length
        with reading("cannot use the stream"):
            iterator = start()
            first = next(iterator, None)
        if first is None:
            raise UsageError("cannot use a stream without batches")
        self.spec = spec_of_batch(as_batch(first))
        self._begun: Iterator[Any] | None = chain([first], iterator)

    def dataset(self) -> tf.data.Dataset:
        """Return one pass over the batches."""
        batches = tf.data.Dataset.from_generator(self._pass, output_signature=self.spec)
        if self._length is not None:
            batches = batches.apply(tf.data.experimental.assert_cardinality(self._length))
        return batches.prefetch(AHEAD)

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
        raise wrong_parts(len(parts))
    return tuple(_tree(part, name) for part, name in zip(parts, PARTS, strict=False))


def wrong_parts(number: int) -> UsageError:
    """Return the error for batches that are no tuple of inputs, labels and weights."""
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
