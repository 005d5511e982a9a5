"""Batches of a stream as a task sees them: in the structure that it expects, with scaled inputs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.data.batch import Arrange, Batch, Fitting, as_it_is
from trainer.data.columns import as_written, scaled, scaled_spec, single
from trainer.data.rows import named_leaves
from trainer.errors import UsageError


def unfitted(spec: Any) -> Arrange:
    """Return the arrangement of a batch that stays as it is."""
    return as_it_is


def arranged(batches: tf.data.Dataset, fitting: Fitting = unfitted) -> tf.data.Dataset:
    """Return batches as a task sees them; a dataset that needs no change is returned itself.

    Args:
        batches: Batches `(x,)`, `(x, y)` or `(x, y, sample_weight)`; uint8 inputs become float32 from 0 to 1, and
            float64 becomes float32, as with arrays.
        fitting: Arranges batches for the task.

    Raises:
        UsageError: If the elements are single rows, or do not have the structure of the model.
    """
    raw = batches.element_spec
    scalars = [name for name, leaf in named_leaves(raw).items() if leaf.shape.rank == 0]
    if scalars:
        raise _unbatched(f"{scalars[0]} has no batch axis")
    spec = scaled_spec(raw)
    arrange = fitting(spec)

    def changed(*batch: Any) -> Batch:
        x, *rest = arrange(batch)
        return (tf.nest.map_structure(scaled, x), *tf.nest.map_structure(single, rest))

    stays = spec == raw and arrange(raw) == raw
    return batches if stays else batches.map(as_written(changed))


def _unbatched(why: str) -> UsageError:
    return UsageError(f"cannot use single rows: {why}; give batches, such as dataset.batch(128)")
