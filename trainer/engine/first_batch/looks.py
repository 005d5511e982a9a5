"""All looks at the data of a run before step 0: at its first batch, and at every row if that takes no time."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import optree

from trainer.data.batch import Batch
from trainer.data.pipeline import EvaluationPipeline, TrainingPipeline
from trainer.data.rows import named_leaves, row_bytes
from trainer.engine.first_batch.finite import check_finite, check_weights
from trainer.engine.first_batch.reach import reached
from trainer.engine.first_batch.scale import FEW, check_scale
from trainer.tasks.supervised import Supervised
from trainer.tasks.task import Task

WHOLE_BYTES = 256_000_000
"""Size of all floats of a set up to which every row is looked at, which takes 0.1 s."""

SAMPLE = 64
"""Rows whose scale is compared with that of what reaches the model's layers."""


def first_batch(pipeline: TrainingPipeline | EvaluationPipeline) -> Batch | None:
    """Return the first batch as a tree of NumPy arrays, or None if the pipeline cannot show it."""
    first = pipeline.peek() if hasattr(pipeline, "peek") else None
    batch: Batch | None = optree.tree_map(np.asarray, first) if isinstance(first, tuple) else None
    return batch


def look(part: str, pipeline: TrainingPipeline | EvaluationPipeline, batch: Batch, model: Any, task: Task) -> list[str]:
    """Refuse data that cannot be learned from; return what the user should know about them.

    Args:
        part: `training`, `validation` or `test`.
        pipeline: The batches.
        batch: The first of them, as NumPy arrays.
        model: The model, or a dict of models, of whose inputs nothing is known then.
        task: The task; only `Supervised` is known to need labels that are numbers, and weights that are not negative.

    Raises:
        DataError: If values are not finite or out of range, or weights are negative or all 0.
        UsageError: If the model scales inputs that are scaled already.
    """
    whole = _whole(pipeline)
    seen, where = (whole, f"the {part} data") if whole is not None else (batch, f"the first {part} batch")
    known = isinstance(task, Supervised)
    check_finite(seen if known else seen[:1], where)
    if known:
        check_weights(seen, where)
    same = look_at_inputs(batch, model, "train")
    return [
        f"{name} is the same in all rows of the first {part} batch: nothing can be learned from it" for name in same
    ]


def _whole(pipeline: Any) -> Batch | None:
    """Return the columns of rows in memory whose floats are few enough to look at all of them."""
    columns: Batch | None = getattr(getattr(pipeline, "rows", None), "columns", None)
    if columns is None:
        return None
    floats = [leaf for leaf in named_leaves(columns).values() if leaf.dtype.kind == "f"]
    return columns if sum(len(leaf) * row_bytes(leaf) for leaf in floats) <= WHOLE_BYTES else None


def look_at_inputs(batch: Batch, model: Any, verb: str) -> list[str]:
    """Refuse inputs whose scale is not the one that a model expects; return the names of those without variety.

    Args:
        batch: A batch, arranged for the model, as NumPy arrays.
        model: The model, or a dict of models, of whose inputs nothing is known then.
        verb: What cannot be done, for messages.

    Raises:
        DataError: If values are too small or too large.
        UsageError: If the model scales inputs that are scaled already.
    """
    inputs = named_leaves(batch[:1])
    sample = [leaf[:SAMPLE] for leaf in inputs.values()]
    ways = reached(model, sample) if isinstance(model, keras.Model) else []
    same = []
    for number, (name, leaf) in enumerate(inputs.items()):
        if leaf.dtype.kind not in "fiu" or not leaf.size:
            continue
        check_scale(name, leaf, [way for way in ways if way.number == number], verb)
        if len(leaf) >= FEW and (leaf == leaf[:1]).all():
            same.append(name)
    return same
