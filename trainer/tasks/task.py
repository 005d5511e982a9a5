"""The contract of a task, which turns a model and a batch into a loss and metrics inside the compiled step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.display.shown import Shown, arguments
from trainer.run import ENGINE_LOGS

if TYPE_CHECKING:
    import keras
    import numpy as np

Batch = tuple[Any, ...]


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

    def forward(self, model: keras.Model, batch: Batch, training: bool) -> tuple[Any, Any]:
        """Return the mean loss over the batch, a float32 scalar, and the outputs to pass to `update`.

        Runs inside a compiled function: use TensorFlow operations only.

        Args:
            model: The model; call it with `training=training`.
            batch: A batch of the pipeline, by default images float32 `[N, H, W, C]` in [0, 1] and labels int32 `[N]`.
            training: False in evaluation.
        """
        raise NotImplementedError

    def metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return new Keras metrics by name, without the loss; called once for training and once for evaluation."""
        return {}

    def update(self, metrics: Mapping[str, keras.metrics.Metric], batch: Batch, outputs: Any) -> None:
        """Update `metrics` with a batch and its outputs; runs after `forward`, inside the compiled function."""

    def check(self, model: keras.Model, spec: Any, labels: np.ndarray | None) -> None:
        """Refuse data that the model cannot learn from; called before step 0.

        Args:
            model: The model.
            spec: `tf.TypeSpec` structure of a batch.
            labels: All labels of the images in memory; None if the data are streamed.

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
