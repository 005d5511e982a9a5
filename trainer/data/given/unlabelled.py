"""Inputs without labels, batch by batch: what a model predicts for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainer.data.batch import Tree, described
from trainer.data.given.labelled import rows_of
from trainer.data.rows import ArrayRows, is_rows
from trainer.data.streams.kinds import is_stream, stream_of
from trainer.data.streams.reading import reading
from trainer.data.structure import Side, by_name
from trainer.errors import UsageError


class Inputs(NamedTuple):
    """Inputs of a model, batch by batch.

    Attributes:
        spec: Structure of a batch of inputs, a tree of `tf.TensorSpec`, the batch axis open, dtypes as stored.
        batches: Returns the batches, trees of arrays or tensors.
        number: Number of rows; None if it is unknown.
    """

    spec: Tree
    batches: Callable[[], Iterator[Tree]]
    number: int | None = None


def inputs_of(x: Any, batch_size: int) -> Inputs:
    """Return the inputs in a user's data; labels in them are left out.

    Args:
        x: An array or a tree of arrays, `Rows`, a stream of batches (see `trainer.data.streams.kinds.stream_of`) or an
            evaluation pipeline.
        batch_size: Rows per batch of what has no batches of its own.

    Raises:
        UsageError: If `x` is none of these, has no rows or no end, or `batch_size` is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"cannot predict: batch_size must be at least 1, not {batch_size}")
    if is_stream(x) and not is_rows(x):
        source = stream_of(x)
        if source.endless:
            raise UsageError("cannot predict: the dataset has no end; limit it with take(n)")
        return Inputs(_inputs(source.batches.element_spec), lambda: _read(source.batches))
    if hasattr(x, "batches") and hasattr(x, "steps"):
        return Inputs(_inputs(x.spec), lambda: map(_inputs, iter(x.batches())))
    rows = x if is_rows(x) else _rows(x)

    def batches() -> Iterator[Tree]:
        for start in range(0, len(rows), batch_size):
            yield rows.take(np.arange(start, min(start + batch_size, len(rows))))[0]

    return Inputs(rows.spec[0], batches, len(rows))


def fitted(inputs: Inputs, wanted: Side) -> Callable[[Tree], Tree]:
    """Return the function that brings inputs into the structure of a model's.

    Raises:
        UsageError: If the structures or kinds of numbers differ, or the input is a single row.
    """
    pick = by_name(inputs.spec, wanted, "x")
    have, want = (tf.nest.flatten(tree) for tree in (pick(inputs.spec), wanted.tree))
    if len(have) == 1 and _is_row((inputs.number, *have[0].shape[1:]), tuple(want[0].shape[1:])):
        raise UsageError(
            f"cannot predict: x is a single row, the model takes {described(wanted.tree)}; add a batch axis: x[None]"
        )
    for leaf, model in zip(have, want, strict=True):
        if leaf.shape.rank == 4 and model.dtype.is_floating and not leaf.dtype.is_floating and leaf.dtype != tf.uint8:
            raise UsageError(
                f"images must be uint8 (0 to 255) or floats (0 to 1), not {leaf.dtype.name}; convert them: "
                "x.astype('uint8')"
            )
    return pick


def _read(batches: tf.data.Dataset) -> Iterator[Tree]:
    """Yield the inputs of batches.

    Raises:
        DataError: If they cannot be read.
    """
    with reading("cannot predict"):
        yield from map(_inputs, batches)


def _is_row(whole: tuple[int | None, ...], row: tuple[int | None, ...]) -> bool:
    """Return True if an array has the shape of a row of the model, with or without a last axis of length 1."""
    return None not in whole and (whole == row or (whole == row[:-1] and row[-1:] == (1,)))


def _inputs(batch: Any) -> Tree:
    """Return the inputs of a batch `(x,)`, `(x, y)` or `(x, y, sample_weight)`, or of one that is nothing else."""
    return batch[0] if isinstance(batch, tuple) else batch


def _rows(x: Any) -> ArrayRows:
    """Return arrays as rows.

    Raises:
        UsageError: If they are no arrays, or there are none.
    """
    leaves = tf.nest.flatten(x)
    if leaves and all(hasattr(leaf, "__len__") and not len(leaf) for leaf in leaves):
        raise UsageError("cannot predict: there are no inputs; pass at least one")
    rows = rows_of(x, images=False)
    if rows is None:
        raise UsageError(
            f"cannot predict for {type(x).__name__}: give arrays, a tree of them, Rows, or batches in a tf.data.Dataset"
        )
    assert isinstance(rows, ArrayRows)
    return rows
