"""The objective of one output of a model: its loss, its labels, and the form in which metrics take both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.data.batch import Tree, described
from trainer.errors import UsageError
from trainer.tasks.losses import Built, Predicts, build_loss
from trainer.tasks.outputs import of_output

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

BY_SHAPE = ("crossentropy", "ce")
"""Keras's names for the cross-entropy that suits the shapes of labels and outputs."""

SAME_SHAPE = {
    *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error"),
    *("huber", "log_cosh", "poisson", "kl_divergence", "cosine_similarity", "hinge", "squared_hinge"),
    *("binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy"),
    *("categorical_hinge", "dice", "tversky"),
}
"""Losses whose labels have the shape of the output, up to an axis of length 1: NumPy would spread anything else."""


@dataclass(frozen=True)
class Objective:
    """The objective of one output of a model.

    Attributes:
        name: Name of the output.
        built: Its loss.
        labels: `tf.TensorSpec` of its labels.
        outputs: `tf.TensorSpec` of the output.
        of_several: True if the model has other outputs too, so that messages name this one.
    """

    name: str
    built: Built
    labels: tf.TensorSpec
    outputs: tf.TensorSpec
    of_several: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        loss: Any,
        labels: tf.TensorSpec,
        outputs: tf.TensorSpec,
        activation: str,
        from_logits: bool | None,
        of_several: bool = False,
    ) -> Objective:
        """Return the objective of an output; see `trainer.tasks.losses.build_loss`.

        Raises:
            UsageError: If the loss is unknown, or labels, loss and output do not belong together.
        """
        if isinstance(loss, str) and loss.lower() in BY_SHAPE:
            loss = _crossentropy(labels, outputs)
        made = cls(name, build_loss(loss, name, activation, from_logits), labels, outputs, of_several)
        made._check_shapes()
        return made

    @property
    def loss(self) -> keras.losses.Loss:
        """The loss, called with labels, outputs and weights."""
        return self.built.loss

    @property
    def predicts(self) -> Predicts:
        """The meaning of the output."""
        return self.built.predicts

    @property
    def _which(self) -> str:
        return f" {self.name!r}" if self.of_several else ""

    @property
    def sparse(self) -> bool:
        """True if labels are class numbers, False if they are one number per class, or no classes at all."""
        return self.predicts == "classes" and (len(self.labels.shape) < len(self.outputs.shape) or self._is_column)

    @property
    def _is_column(self) -> bool:
        return self.labels.shape[-1] == 1 and self.outputs.shape[-1] != 1

    @property
    def classes(self) -> int | None:
        """Number of classes where each row, or each pixel, belongs to one; None otherwise."""
        units = self.outputs.shape[-1] if len(self.outputs.shape) > 1 else 1
        if self.predicts == "labels":
            return 2 if units == 1 else None
        return units if self.predicts == "classes" else None

    def class_numbers(self, labels: Any) -> Any:
        """Return the class of each row or pixel, int32, from labels, tensors or arrays; of soft ones the largest."""
        return class_numbers(labels, one_hot=self.predicts == "classes" and not self.sparse)

    def numbers(self, labels: Tree) -> np.ndarray:
        """Return the class of each row or pixel, int32 `[M]`, of all labels of a model.

        Raises:
            UsageError: If one is not a class.
        """
        import numpy as np

        own = np.asarray(of_output(labels, self.name))
        self.check_labels(own)
        return np.asarray(self.class_numbers(own)).ravel()

    def probabilities(self, outputs: Any) -> Any:
        """Return the probabilities that outputs mean; outputs of other kinds are returned unchanged."""
        import keras

        if not self.built.from_logits:
            return outputs
        outputs = keras.ops.cast(outputs, "float32")
        return keras.ops.softmax(outputs) if self.predicts == "classes" else keras.ops.sigmoid(outputs)

    def flat(self, labels: Any, outputs: Any) -> tuple[Any, Any]:
        """Return labels and probabilities in the form of `trainer.tasks.overall.Overall`."""
        import keras

        outputs = self.probabilities(outputs)
        if self.predicts == "labels" and self.classes is None:
            return keras.ops.cast(keras.ops.round(labels), "int32"), outputs
        if self.classes is None:
            return labels, outputs
        units = () if self.predicts == "labels" else (self.classes,)
        return keras.ops.reshape(self.class_numbers(labels), (-1,)), keras.ops.reshape(outputs, (-1, *units))

    def check_labels(self, labels: np.ndarray) -> None:
        """Check labels that are known before training.

        Raises:
            UsageError: If one is not a class of the output.
        """
        import numpy as np

        if not len(labels) or not np.issubdtype(labels.dtype, np.number):
            return
        if self.sparse and self.classes is not None:
            self._check_numbers(labels, self.classes)
        elif self.predicts in ("labels", "classes"):
            self._check_shares(labels)

    def _check_numbers(self, labels: np.ndarray, classes: int) -> None:
        import numpy as np

        low, high = labels.min(), labels.max()
        if not np.issubdtype(labels.dtype, np.integer) and (labels != np.round(labels)).any():
            odd = labels[labels != np.round(labels)].flat[0]
            raise UsageError(
                f"cannot learn{self._which}: labels must be whole numbers, one is {odd:g}; for a number instead of a "
                "class, use a loss such as mean_squared_error"
            )
        if 0 <= low <= high < classes:
            return
        cure = (
            f"labels go from 1 to {classes}: subtract 1"
            if (low, high) == (1, classes)
            else f"give the last layer {int(high) + 1} units, or correct the labels"
            if low >= 0
            else "number the classes from 0"
        )
        raise UsageError(
            f"cannot learn{self._which}: labels range from {low:g} to {high:g}, the model has outputs for 0 to "
            f"{classes - 1}; {cure}"
        )

    def _check_shares(self, labels: np.ndarray) -> None:
        """Check labels that say how far each class is present, from 0 to 1."""
        import numpy as np

        if not 0 <= labels.min() <= labels.max() <= 1:
            raise UsageError(
                f"cannot learn{self._which}: labels range from {labels.min():g} to {labels.max():g}, but the loss "
                f"{self.built.name!r} takes labels from 0 to 1; for a number instead of a class, use the task "
                "supervised and a loss such as mean_squared_error"
            )
        if self.predicts != "classes":
            return
        totals = labels.sum(axis=-1).ravel()
        off = np.flatnonzero(np.abs(totals - 1) > 0.01)
        if len(off):
            raise UsageError(
                f"cannot learn{self._which}: the labels of a row must sum to 1, those of row {off[0]} (0-based) sum to "
                f"{totals[off[0]]:g}; for any number of classes per row, use the task supervised and "
                "loss=binary_crossentropy"
            )

    def _check_shapes(self) -> None:
        """Check that labels and output can be compared.

        Raises:
            UsageError: If they cannot; the message says which loss would suit them.
        """
        have, want = tuple(self.labels.shape), tuple(self.outputs.shape)
        if self.predicts == "classes" and want[-1] == 1:
            raise UsageError(
                f"cannot learn{self._which} by {self.built.name!r}: a single unit is no choice between classes; use "
                "binary_crossentropy, or one unit per class"
            )
        if self.built.name == "sparse_categorical_crossentropy":
            if not _alike(have, want[:-1]) and not _alike(have, (*want[:-1], 1)):
                one_hot = (
                    "; labels with one number per class need categorical_crossentropy" if _alike(have, want) else ""
                )
                raise self._refusal(one_hot)
        elif self.built.name in SAME_SHAPE and not _alike(have, want):
            off = (*have, 1), have[:-1] if have and have[-1] == 1 else have
            if not any(_alike(each, want) for each in off):
                classes = self.built.name.startswith("categorical_") and _alike(have, want[:-1])
                cure = f"class numbers need sparse_{self.built.name}" if classes else "give both the same shape"
                raise self._refusal(f"; {cure}")

    def _refusal(self, cure: str) -> UsageError:
        return UsageError(
            f"cannot learn{self._which}: labels {described(self.labels)} do not suit the output "
            f"{described(self.outputs)} and the loss {self.built.name!r}{cure}"
        )


def class_numbers(labels: Any, one_hot: bool) -> Any:
    """Return class numbers, int32, from a tensor or array of labels.

    Args:
        labels: Numbers `[N, …]` or `[N, …, 1]`, whole ones if they are floats; or one number per class.
        one_hot: True for one number per class, of which the largest counts.
    """
    import keras

    if one_hot:
        return keras.ops.argmax(labels, -1)
    if len(labels.shape) > 1 and labels.shape[-1] == 1:
        labels = keras.ops.squeeze(labels, -1)
    if "float" in keras.backend.standardize_dtype(labels.dtype):
        labels = keras.ops.round(labels)
    return keras.ops.cast(labels, "int32")


def _crossentropy(labels: tf.TensorSpec, outputs: tf.TensorSpec) -> str:
    """Return the name of the cross-entropy that suits the shapes, as Keras decides."""
    if outputs.shape[-1] == 1:
        return "binary_crossentropy"
    fewer = len(labels.shape) < len(outputs.shape) or labels.shape[-1] == 1
    return "sparse_categorical_crossentropy" if fewer else "categorical_crossentropy"


def _alike(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    """Return True if two shapes are equal as far as they are known."""
    return len(one) == len(other) and all(None in (a, b) or a == b for a, b in zip(one, other, strict=True))
