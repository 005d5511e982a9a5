"""Classification: the class of each row, learned from logits or probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer.data.batch import Batch, Tree, described
from trainer.errors import UsageError
from trainer.registry import tasks
from trainer.tasks.heads import head_activations
from trainer.tasks.losses import build_loss
from trainer.tasks.metrics import Measure
from trainer.tasks.objective import Objective, class_numbers
from trainer.tasks.outputs import as_list, with_others
from trainer.tasks.supervised import Supervised

if TYPE_CHECKING:
    import keras
    import numpy as np


@tasks.register("classification")
class Classification(Supervised):
    """Classes by cross-entropy: a case of `supervised` that also reports on confidence, calibration and confusions.

    Labels may be class numbers, `[N]` or `[N, 1]`, or one number per class, `[N, K]`: one-hot or soft. The model may
    end in logits, softmax or sigmoid, with one unit per class, or a single one for two classes.

    Args:
        label_smoothing: Share of the probability that is spread evenly over all classes, from 0 to below 1; affects
            the training loss only (Szegedy et al. 2016, arXiv 1512.00567, section 7).
        class_weight: Weight of each class in the training loss, by number or name, or `balanced`; default: all count
            the same.
        metrics: Further metrics, as in `supervised`; they are given class numbers and logits `[N, K]`.

    Raises:
        ValueError: If `label_smoothing` is out of range.
    """

    reports = True
    separable = True
    unknown_head = True

    def __init__(self, label_smoothing: float = 0.0, class_weight: Any = None, metrics: Any = ()) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1: {label_smoothing}")
        super().__init__("crossentropy", metrics, class_weight=class_weight)
        self.label_smoothing = label_smoothing
        self.names = ("loss", "accuracy", *list(self.names)[1:])
        self.settled = not as_list(metrics)

    def _line(self) -> str:
        shown = {"class_weight": self.class_weight, "metrics": self.wanted or None}
        more = [f"{name}={value!r}" for name, value in shown.items() if value is not None]
        return ", ".join([f"label_smoothing={self.label_smoothing!r}", *more])

    def _check_labels(self, objective: Objective, labels: np.ndarray) -> None:
        """Check labels; a single unit tells labels 0 and 1 apart, and takes no number between them."""
        super()._check_labels(objective, labels)
        if objective.predicts == "labels" and ((labels > 0) & (labels < 1)).any():
            raise UsageError(
                "cannot classify: labels lie between 0 and 1, and a single unit tells 0 and 1 apart; use the task "
                "supervised, with loss=mean_squared_error for numbers or loss=binary_crossentropy for probabilities"
            )

    def objectives(self, model: keras.Model, labels: Tree, outputs: Tree) -> list[Objective]:
        """Return what the only output of the model learns.

        Raises:
            UsageError: If there are several, or labels and outputs do not belong together.
        """
        if isinstance(outputs, dict | list | tuple) or len(outputs.shape) != 2:
            raise UsageError(
                f"cannot classify: the model must return logits [N, K], not {described(outputs)}; use task supervised"
            )
        return super().objectives(model, labels, outputs)

    def forward(self, model: keras.Model, batch: Batch, training: bool, seed: Any) -> tuple[Any, Any]:
        """Return the cross-entropy and the logits, float32 `[N, K]`, K at least 2."""
        loss, outputs = super().forward(model, batch, training, seed)
        return loss, logits_of(model, outputs)

    def _loss(self, objective: Objective, labels: Any, outputs: Any, weights: Any, training: bool) -> Any:
        if not self.label_smoothing or not training:
            return super()._loss(objective, labels, outputs, weights, training)
        import keras

        if objective.sparse:
            labels = keras.ops.one_hot(objective.class_numbers(labels), objective.outputs.shape[-1])
        kind = "binary_crossentropy" if objective.predicts == "labels" else "categorical_crossentropy"
        smoothing = {"label_smoothing": self.label_smoothing}
        logits = objective.built.from_logits
        return build_loss(kind, objective.name, "", logits, **smoothing).loss(labels, outputs, weights)

    # Metrics: they see class numbers and logits, whatever labels and outputs are

    def _measures(self, objectives: Sequence[Objective], counted: Sequence[str]) -> list[Measure]:
        import tensorflow as tf

        (learned,) = objectives
        classes = max(2, learned.outputs.shape[-1])
        logits = tf.TensorSpec([None, classes], tf.float32)
        seen = Objective.of(
            learned.name, "sparse_categorical_crossentropy", tf.TensorSpec([None], tf.int32), logits, "linear", True
        )
        return [Measure(each, seen) for each in with_others(as_list(self.wanted), counted)]

    def metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return the accuracy and what was asked for."""
        import keras

        return {"accuracy": keras.metrics.SparseCategoricalAccuracy(name="accuracy"), **super().metrics()}

    def update(self, metrics: Mapping[str, keras.metrics.Metric], batch: Batch, outputs: Any) -> None:
        """Count the rows whose class has the largest logit, and add the batch to the other metrics."""
        labels = _classes(batch[1], outputs.shape[-1])
        metrics["accuracy"].update_state(labels, outputs)
        for measure in self.measures:
            if measure.name in metrics:
                measure.update(metrics[measure.name], labels, outputs)

    # After training

    def truth(self, labels: np.ndarray) -> np.ndarray:
        """Return class numbers, int `[N]`."""
        import numpy as np

        return np.asarray(_classes(labels, 0 if labels.ndim == 1 else labels.shape[-1]))

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


def logits_of(model: keras.Model, outputs: Any) -> Any:
    """Return a classifier's outputs as logits: numbers whose softmax is the probability of each class.

    Args:
        model: A model that ends in logits, softmax or sigmoid.
        outputs: Its outputs, a tensor or array `[N, K]`; `[N, 1]` tells two classes apart.

    Returns:
        `[N, K]`, K at least 2; logits with a unit per class are returned as they are.
    """
    import keras

    ops, single = keras.ops, outputs.shape[-1] == 1
    if next(iter(head_activations(model)), "") in ("softmax", "sigmoid"):
        shares = ops.cast(outputs, "float32")
        shares = ops.concatenate([1 - shares, shares], -1) if single else shares
        return ops.log(ops.maximum(shares, keras.config.epsilon()))
    return ops.concatenate([ops.zeros_like(outputs), outputs], -1) if single else outputs


def _classes(labels: Any, units: int) -> Any:
    """Return class numbers from a tensor or array of labels; those with one number per unit by the largest."""
    return class_numbers(labels, one_hot=len(labels.shape) == 2 and labels.shape[-1] == units and units > 1)
