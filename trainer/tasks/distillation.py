"""Distillation: a small model learns from a trained one's probabilities as well as from labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.data.batch import Batch
from trainer.errors import UsageError
from trainer.registry import tasks
from trainer.tasks.classification import Classification, logits_of

if TYPE_CHECKING:
    import keras


@tasks.register("distillation")
class Distillation(Classification):
    """Classes from logits, with the probabilities of a teacher as targets (Hinton et al. 2015, arXiv 1503.02531).

    The training loss is `weight` times the cross-entropy with the teacher's probabilities (both logits divided by the
    temperature, the result multiplied by its square), plus `1 - weight` times the cross-entropy with the labels.
    Validation and test do not use the teacher.

    Args:
        teacher: Run directory or checkpoint of the teacher, trained on images of the same shape and classes.
        weight: Weight of the teacher's probabilities, from 0 to 1.
        temperature: Softening of the probabilities, above 0.

    Raises:
        ValueError: If `weight` or `temperature` is out of range.
    """

    def __init__(self, teacher: str, weight: float = 0.9, temperature: float = 3.0) -> None:
        super().__init__()
        if not 0 <= weight <= 1 or not temperature > 0:
            raise ValueError(f"weight must be from 0 to 1 and temperature above 0: {weight}, {temperature}")
        self.path, self.weight, self.softness = Path(teacher), weight, temperature
        self._teacher: keras.Model | None = None

    def check(self, model: keras.Model, spec: Any, labels: Any) -> None:
        """Load the teacher and check that it matches the model.

        Raises:
            UsageError: If the teacher is not a run, or its inputs or outputs differ from the model's.
            CheckpointError: If the teacher's checkpoint is damaged.
        """
        super().check(model, spec, labels)
        from trainer.runs.trained import load_model

        self._teacher = load_model(self.path)
        self._teacher.trainable = False
        theirs, ours = ((m.input_shape[1:], m.output_shape[1:]) for m in (self._teacher, model))
        if theirs != ours:
            raise UsageError(
                f"cannot learn from {self.path}: the teacher maps {theirs[0]} to {theirs[1]}, "
                f"the model {ours[0]} to {ours[1]}; both must be the same"
            )

    def forward(self, model: keras.Model, batch: Batch, training: bool, seed: Any) -> tuple[Any, Any]:
        """Return the loss and the logits, float32 `[N, K]`."""
        loss, logits = super().forward(model, batch, training, seed)
        if not training:
            return loss, logits
        import tensorflow as tf

        assert self._teacher is not None  # `check` has been called
        soft = tf.nn.softmax(
            tf.stop_gradient(logits_of(self._teacher, self._teacher(batch[0], training=False))) / self.softness
        )
        distilled = tf.nn.softmax_cross_entropy_with_logits(soft, logits / self.softness)
        return self.weight * self.softness**2 * tf.reduce_mean(distilled) + (1 - self.weight) * loss, logits
