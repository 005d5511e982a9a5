"""The forward pass of a task as the engine calls it: its seed, and checks of what it returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.data.batch import Batch
from trainer.engine.meter import Meter
from trainer.errors import UsageError
from trainer.kernels.keras_private import is_built
from trainer.tasks.task import Task
from trainer.tasks.variables import has_unbuilt_layers

EVALUATION_SEED = (0, 0)
"""Seed of random operations in evaluation, the same for every batch."""

TAKEN = frozenset({"kind", "epoch", "step", "time", "batch_loss", "gradient_norm"})
"""Names in the lines of single batches in `history.jsonl` that no scalar of a task may have."""


def step_seed(seed: int, step: tf.Tensor) -> tf.Tensor:
    """Return the seed of a step for stateless random operations, int32 `[2]`, a function of the run's seed alone.

    Args:
        seed: Seed of the run, from 0 to 2⁶³ - 1.
        step: 0-based step, an int64 scalar.
    """
    # Hashed, since the order and the augmentation of the data draw from (seed, epoch) and (seed, step).
    key = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=4).digest(), "little", signed=True)
    return tf.stack([tf.constant(key), tf.cast(step, tf.int32)])


def checked(result: Any, task: Task, method: str) -> tuple[tf.Tensor, Any]:
    """Return the loss and the outputs that a method of a task returned.

    Raises:
        UsageError: If it returned anything else.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise UsageError(
            f"cannot train: {type(task).__name__}.{method} must return the loss and the outputs, a tuple of two"
        )
    loss, outputs = result
    if tf.convert_to_tensor(loss).shape.rank != 0:
        raise UsageError(
            f"cannot train on a loss of shape {loss.shape}: a task must return a scalar, the mean over the batch"
        )
    return loss, outputs


def with_regularisers(loss: tf.Tensor, model: keras.Model) -> tf.Tensor:
    """Return `loss` plus the regularisation penalties from the last call of the model's layers."""
    for penalty in model.losses:
        loss = loss + tf.cast(penalty, loss.dtype)
    return loss


def scalars_of(task: Task) -> dict[str, tf.Tensor]:
    """Return what a task has put into its `scalars`, which is then empty, as float32.

    Raises:
        UsageError: If one is not a scalar, or its name is that of something else in the history.
    """
    scalars = {name: tf.cast(value, tf.float32) for name, value in task.scalars.items()}
    task.scalars.clear()
    for name, value in scalars.items():
        if value.shape.rank != 0:
            raise UsageError(
                f"cannot log {name!r} of the task {type(task).__name__}: it has the shape {value.shape}; scalars are "
                "one number per step"
            )
        if name in TAKEN:
            raise UsageError(
                f"cannot log {name!r} of the task {type(task).__name__}: the name is taken; choose another"
            )
    return scalars


def build(task: Task, model: keras.Model | Mapping[str, keras.Model], meter: Meter, spec: Any) -> None:
    """Create the variables of a task's layers and metrics that otherwise appear in the middle of the first step.

    Args:
        task: The task.
        model: What its `forward` is given.
        meter: Its metrics.
        spec: `tf.TypeSpec` structure of a batch.

    Raises:
        UsageError: If a layer cannot be called, since the task has no `forward`.
    """
    if not has_unbuilt_layers(task) and all(is_built(metric) for metric in meter.extra.values()):
        return
    if not task.has_forward:
        raise UsageError(
            f"cannot train: layers or metrics of the task {type(task).__name__} have no variables yet; build them in "
            "__init__"
        )

    def call(batch: Batch) -> None:
        _, outputs = task.forward(model, batch, True, EVALUATION_SEED)
        task.update(meter.extra, batch, outputs)
        task.scalars.clear()

    tf.function(call, autograph=False).get_concrete_function(spec)
