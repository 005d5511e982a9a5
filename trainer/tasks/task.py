"""`Task` says what is learned: it turns a model and a batch into a loss and metrics, inside the compiled step."""

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
    """Base class: override `forward`, and `metrics`, `update` and `names` to have more than the loss logged.

    The counterpart of Lightning's `training_step`: distillation, mixup or an autoencoder is a task of a few lines.
    Losses that the model adds to itself (regularisers) are added by the engine.

    Attributes:
        names: Names that the task logs for training, `loss` and those of `metrics`; with `val_` in front they stand for
            validation.
        reports: Whether `report` wants all outputs of an evaluation, which are then kept in memory.
    """

    names: ClassVar[Collection[str]] = ("loss",)
    reports: ClassVar[bool] = False

    def _line(self) -> str:
        return arguments(self)

    def forward(self, model: keras.Model, batch: Batch, training: bool) -> tuple[Any, Any]:
        """Return the mean loss over the batch, a float32 scalar, and the outputs that `update` will see.

        Runs inside a compiled function: use TensorFlow operations only.

        Args:
            model: The model; call it with `training=training`.
            batch: What the pipeline yields, by default images float32 `[N, H, W, C]` in [0, 1] and labels int32 `[N]`.
            training: False in evaluation.
        """
        raise NotImplementedError

    def metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return new Keras metrics by name, besides the loss; called once for training and once for evaluation."""
        return {}

    def update(self, metrics: Mapping[str, keras.metrics.Metric], batch: Batch, outputs: Any) -> None:
        """Update `metrics` with a batch and its outputs; runs inside the compiled function, after `forward`."""

    def check(self, model: keras.Model, spec: Any, labels: np.ndarray | None) -> None:
        """Refuse data that the model cannot learn; called before step 0.

        Args:
            model: The model.
            spec: `tf.TypeSpec` structure of a batch.
            labels: All labels of the images in memory; None where data are streamed.

        Raises:
            UsageError: If they do not fit.
        """

    def temperature(self, outputs: np.ndarray, labels: np.ndarray) -> float | None:
        """Return by what logits are to be divided for probabilities that mean what they say, if that makes sense.

        Args:
            outputs: What the model returns for the validation images, `[N, …]`.
            labels: int32 `[N]`.
        """
        return None

    def report(self, outputs: np.ndarray, labels: np.ndarray, temperature: float | None) -> dict[str, Any]:
        """Return more numbers about a test set than its metrics, from all outputs of the model and all labels.

        Args:
            outputs: What the model returns, `[N, …]`.
            labels: int32 `[N]`.
            temperature: What `temperature` returned for validation images; None if nobody asked.
        """
        return {}


def logged_names(task: Task, validation: bool) -> list[str]:
    """Return the names that a run logs without its plugins' additions."""
    phases = ("", "val_") if validation else ("",)
    return [*(f"{phase}{name}" for phase in phases for name in task.names), *ENGINE_LOGS]
