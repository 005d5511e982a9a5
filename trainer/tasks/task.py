"""The contract of a task, which turns a model and a batch into a loss and metrics inside the compiled step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.data.rows import Arrange, Batch, as_it_is
from trainer.display.shown import Shown, arguments
from trainer.run import ENGINE_LOGS

if TYPE_CHECKING:
    import keras
    import numpy as np


class Task(Shown):
    """Base class: override `forward`, and also `metrics`, `update` and `names` to log more than the loss.

    The counterpart of Lightning's `training_step`: distillation, mixup or an autoencoder is a task of a few lines.
    The engine adds the model's own losses (regularisers).

    Attributes:
        names: Names that the task logs: `loss` and those of `metrics`; with the prefix `val_` in validation.
        reports: True if `report` needs all outputs of an evaluation, which are then kept in memory.
    """

    names: ClassVar[Collection[str]] = ("loss",)
    reports: ClassVar[bool] = False

    def _line(self) -> str:
        return arguments(self)

    def arrange(self, model: keras.Model, spec: Any) -> Arrange:
        """Return the function that brings a batch of the data into the structure that `forward` takes.

        It moves tensors and arrays, and changes no value. By default batches stay as they are.

        Args:
            model: The model.
            spec: Structure of a batch of the data, a tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)` of trees of
                `tf.TensorSpec`.

        Raises:
            UsageError: If the data do not have the structure of the model.
        """
        return as_it_is

    def forward(self, model: keras.Model, batch: Batch, training: bool, seed: Any) -> tuple[Any, Any]:
        """Return the mean loss over the batch, a float32 scalar, and the outputs to pass to `update`.

        Runs inside a compiled function: use TensorFlow operations only.

        Args:
            model: The model; call it with `training=training`.
            batch: A batch of the pipeline, for an `ImageSet` images float32 `[N, H, W, C]` in [0, 1] and labels int32
                `[N]`; in general `(x,)`, `(x, y)` or `(x, y, sample_weight)`, trees of tensors.
            training: False in evaluation.
            seed: Seed of this step for stateless random operations, int32 `[2]`.
        """
        raise NotImplementedError

    def metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return new Keras metrics by name, without the loss; called once for training and once for evaluation."""
        return {}

    def update(self, metrics: Mapping[str, keras.metrics.Metric], batch: Batch, outputs: Any) -> None:
        """Update `metrics` with a batch and its outputs; runs after `forward`, inside the compiled function."""

    def check(self, model: keras.Model, spec: Any, labels: Any) -> None:
        """Refuse data that the model cannot learn from; called before step 0.

        Args:
            model: The model.
            spec: `tf.TypeSpec` structure of a batch.
            labels: All labels, a tree of arrays; None if the data are streamed.

        Raises:
            UsageError: If the data do not match the model.
        """

    def temperature(self, outputs: np.ndarray, labels: np.ndarray) -> float | None:
        """Return the temperature that calibrates the model's logits; None if the task has none.

        Args:
            outputs: The model's outputs for the validation images, `[N, …]`.
            labels: int32 `[N]`.
        """
        return None

    def report(self, outputs: np.ndarray, labels: np.ndarray, temperature: float | None) -> dict[str, Any]:
        """Return numbers about a test set beyond its metrics, computed from all outputs and labels.

        Args:
            outputs: The model's outputs, `[N, …]`.
            labels: int32 `[N]`.
            temperature: The result of `temperature` for the validation images; None if it was not computed.
        """
        return {}


def logged_names(task: Task, validation: bool) -> list[str]:
    """Return the names that a run logs, without those that plugins add."""
    phases = ("", "val_") if validation else ("",)
    return [*(f"{phase}{name}" for phase in phases for name in task.names), *ENGINE_LOGS]
