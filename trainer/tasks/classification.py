"""Classification: the class of each image, learned from logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainer.data.rows import Arrange, Batch, as_it_is
from trainer.data.structure import Signature, by_name
from trainer.errors import UsageError
from trainer.registry import tasks
from trainer.tasks.task import Task

if TYPE_CHECKING:
    import keras
    import numpy as np


@tasks.register("classification")
class Classification(Task):
    """Classes from logits, by sparse categorical cross-entropy.

    Args:
        label_smoothing: Share of the probability that is spread evenly over all classes, from 0 to below 1; affects
            the training loss only (Szegedy et al. 2016, arXiv 1512.00567, section 7).

    Raises:
        ValueError: If `label_smoothing` is out of range.
    """

    names = ("loss", "accuracy")
    reports = True
    separable = True

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1: {label_smoothing}")
        self.label_smoothing = label_smoothing

    def arrange(self, model: keras.Model, spec: Any) -> Arrange:
        """Return the function that matches the inputs with those of the model by name."""
        signature = Signature.of(model)
        if signature is None:
            return as_it_is
        inputs = by_name(spec[0], signature.inputs, "x")
        return lambda batch: (inputs(batch[0]), *batch[1:])

    def forward(self, model: keras.Model, batch: Batch, training: bool, seed: Any) -> tuple[Any, Any]:
        """Return the cross-entropy and the logits, float32 `[N, K]`."""
        import keras

        images, labels = batch[:2]
        logits = model(images, training=training)
        if self.label_smoothing and training:
            targets = keras.ops.one_hot(labels, logits.shape[-1])
            smooth = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=self.label_smoothing)
            return smooth(targets, logits), logits
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits), logits

    def check(self, model: keras.Model, spec: Any, labels: Any) -> None:
        """Check that images match the model's input, and labels its outputs.

        Raises:
            UsageError: If shapes differ, the model does not return one logit per class, or a label has no output.
        """
        if not isinstance(spec, tuple) or len(spec) != 2:
            raise UsageError(f"cannot classify: batches must be pairs of images and labels, these are {spec}")
        signature = Signature.of(model)
        if signature is not None and signature.inputs.single:
            have, want = tuple(spec[0].shape[1:]), tuple(signature.inputs.tree.shape[1:])
            if len(have) != len(want) or any(None not in (h, w) and h != w for h, w in zip(have, want, strict=True)):
                raise UsageError(f"cannot classify: the model takes images of shape {want}, the data have {have}")
        if len(model.output_shape) != 2:
            raise UsageError(f"cannot classify: the model must return logits [N, K], not {model.output_shape}")
        classes = model.output_shape[-1]
        if labels is not None and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise UsageError(
                f"cannot classify: labels range from {labels.min()} to {labels.max()}, "
                f"the model has outputs for 0 to {classes - 1}"
            )

    def metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return the accuracy."""
        import keras

        return {"accuracy": keras.metrics.SparseCategoricalAccuracy(name="accuracy")}

    def update(self, metrics: Mapping[str, keras.metrics.Metric], batch: Batch, outputs: Any) -> None:
        """Count the images whose label has the largest logit."""
        metrics["accuracy"].update_state(batch[1], outputs)

    def temperature(self, outputs: np.ndarray, labels: np.ndarray) -> float | None:
        """Return the maximum-likelihood temperature; see `trainer.tasks.temperature.fit_temperature`."""
        from trainer.tasks.temperature import fit_temperature

        return fit_temperature(outputs, labels)

    def report(self, outputs: np.ndarray, labels: np.ndarray, temperature: float | None) -> dict[str, Any]:
        """Return accuracy, precision, recall, F1, ECE, NLL, scores per class, and the confusion matrix.

        With a temperature, add `calibrated_ece` and `calibrated_nll`, those of the logits divided by it.
        """
        from trainer.evaluation import calibration_report, classification_report

        calibrated = calibration_report(outputs / temperature, labels, "calibrated_") if temperature else {}
        return classification_report(outputs, labels) | calibrated
