"""Rows as a batch of whole columns, from which batches are gathered inside the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.batch import Arrange, Batch, as_it_is
from trainer.data.mapped import Mapped
from trainer.data.rows import Rows

as_written = tf.autograph.experimental.do_not_convert
"""Exempts a function from AutoGraph, which takes longer than tracing it."""


class Columns:
    """The columns of rows, arranged for a task; rows that offer no columns are read by `take`.

    Args:
        rows: The rows.
        arrange: Brings a batch into the structure that the task expects.

    Attributes:
        spec: `tf.TensorSpec` structure of a batch, inputs scaled.
        labels: All labels, a tree of arrays `[N, …]`; None if there are none, or they are not in memory.
    """

    def __init__(self, rows: Rows, arrange: Arrange = as_it_is) -> None:
        self._rows, self._arrange = rows, arrange
        self._raw = arrange(rows.spec)
        self.spec = scaled_spec(self._raw)
        columns = getattr(rows, "columns", None)
        whole = arrange(columns) if columns is not None else None
        self.labels = whole[1] if whole is not None and len(whole) > 1 else None
        self._held = tf.nest.map_structure(_held, whole) if whole is not None else None

    def batch(self, indices: tf.Tensor, raw: bool = False) -> Batch:
        """Return the rows at `indices`, int `[B]`, inputs scaled unless they are wanted `raw`."""
        if self._held is not None:
            batch = tf.nest.map_structure(lambda column: _gather(column, indices), self._held)
        else:
            batch = self._taken(indices)
        return batch if raw else (tf.nest.map_structure(scaled, batch[0]), *batch[1:])

    def _taken(self, indices: tf.Tensor) -> Batch:
        """Return the rows at `indices` as `Rows.take` reads them."""
        specs = tf.nest.flatten(self._raw)

        def take(numbers: np.ndarray) -> list[np.ndarray]:
            leaves = tf.nest.flatten(self._arrange(self._rows.take(numbers)))
            return [np.asarray(leaf, spec.dtype.as_numpy_dtype) for leaf, spec in zip(leaves, specs, strict=True)]

        leaves = tf.numpy_function(take, [indices], [spec.dtype for spec in specs], stateful=False)
        shaped = [tf.ensure_shape(leaf, spec.shape) for leaf, spec in zip(leaves, specs, strict=True)]
        return tf.nest.pack_sequence_as(self._raw, shaped)


def _held(column: Any) -> tf.Tensor | Mapped:
    """Return the object to gather from: a tensor, or what is looked up on access."""
    return column if isinstance(column, Mapped) else tf.constant(column)


def _gather(column: tf.Tensor | Mapped, indices: tf.Tensor) -> tf.Tensor:
    """Return the rows at `indices`, `[B, …]`, in their original dtype."""
    if not isinstance(column, Mapped):
        return tf.gather(column, indices)
    # Declared stateless, so that tf.data may run it in parallel even if operations are deterministic.
    kind = tf.as_dtype(column.dtype)
    read = tf.numpy_function(column.__getitem__, [indices], kind, stateful=False)
    return single(tf.ensure_shape(read, [None, *column.shape[1:]]))


def single(leaf: tf.Tensor) -> tf.Tensor:
    """Return a tensor with float64 as float32, as Keras computes."""
    return tf.cast(leaf, tf.float32) if leaf.dtype == tf.float64 else leaf


def scaled(leaf: tf.Tensor) -> tf.Tensor:
    """Return an input as a task sees it: uint8 divided by 255 as float32, otherwise as `single` does."""
    return tf.cast(leaf, tf.float32) / 255.0 if leaf.dtype == tf.uint8 else single(leaf)


def scaled_spec(spec: Any) -> Any:
    """Return the spec of a batch whose inputs went through `scaled`, and all else through `single`."""

    def as_float(leaf: Any, *kinds: tf.DType) -> Any:
        return (
            tf.TensorSpec(leaf.shape, tf.float32) if isinstance(leaf, tf.TensorSpec) and leaf.dtype in kinds else leaf
        )

    x, *rest = spec
    inputs = tf.nest.map_structure(lambda leaf: as_float(leaf, tf.uint8, tf.float64), x)
    return (inputs, *tf.nest.map_structure(lambda leaf: as_float(leaf, tf.float64), rest))


def is_image(leaf: Any) -> bool:
    """Return True if an input `[B, H, W, C]`, tensor or spec, holds images that can be augmented."""
    return leaf.shape.rank == 4 and leaf.shape[-1] in (1, 3) and leaf.dtype in (tf.uint8, tf.float32)
