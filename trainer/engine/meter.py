"""The loss and the metrics of training or evaluation, accumulated in the graph and read on request only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.data.batch import Batch
from trainer.errors import UsageError
from trainer.kernels.keras_private import is_built
from trainer.tasks.numbers import numbers_of
from trainer.tasks.task import Task


class Meter:
    """The loss and the task's metrics of one phase, accumulated in the graph and read on request only.

    Args:
        task: The task.
        evaluation: True if the metrics include those of evaluations alone.
    """

    def __init__(self, task: Task, evaluation: bool = False) -> None:
        self.task = task
        self.loss = keras.metrics.Mean(name="loss")
        self.extra: Mapping[str, keras.metrics.Metric] = {
            **task.metrics(),
            **(task.evaluation_metrics() if evaluation else {}),
        }

    def update(self, batch: Batch, loss: Any, outputs: Any) -> None:
        """Add a batch, weighted by its number of images so that a short last batch counts for less."""
        self.loss.update_state(loss, sample_weight=tf.cast(tf.shape(tf.nest.flatten(batch)[0])[0], tf.float32))
        self.task.update(self.extra, batch, outputs)

    def check(self) -> None:
        """Refuse a task whose metrics differ from the names that it declares.

        Raises:
            UsageError: If they differ.
        """
        have, named = list(self.read()), list(self.task.names)
        if sorted(have) != sorted(named):
            raise UsageError(f"task {type(self.task).__name__} declares the names {named} but logs {have}")

    @property
    def images(self) -> int:
        """Number of images since the last reset; waits for the device."""
        return int(self.loss.count)

    def read(self) -> dict[str, float]:
        """Return the means up to now as floats; waits for the device."""
        read = {"loss": float(self.loss.result())}
        for name, metric in self.extra.items():
            read |= numbers_of(name, metric.result() if is_built(metric) else math.nan)
        return read

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of the metrics, in a fixed order."""
        return [variable for metric in (self.loss, *self.extra.values()) for variable in metric.variables]

    def reset(self) -> None:
        """Reset all metrics."""
        for metric in (self.loss, *self.extra.values()):
            metric.reset_state()
