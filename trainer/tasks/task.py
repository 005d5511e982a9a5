"""The contract of a task, which turns a model and a batch into a loss and metrics inside the compiled step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.data.batch import Arrange, Batch, as_it_is
from trainer.display.shown import Shown, arguments
from trainer.run import ENGINE_LOGS, LEARNING_RATE

if TYPE_CHECKING:
    import keras
    import numpy as np


class Task(Shown):
    """Base class: override `forward`, and also `metrics`, `update` and `names` to log more than the loss.

    The counterpart of Lightning's `training_step`: distillation, mixup or an autoencoder is a task of a few lines.
    The engine adds the model's own losses (regularisers). A game between several models, such as a GAN, overrides
    `step`.

    Keras variables, layers, metrics and seed generators among the attributes of a task belong to it: those that are
    trainable are trained by the (first) optimizer, after the model's, and all are saved and restored with the run. A
    frozen model (`trainable = False`), such as a teacher, stays as it is and is not saved.

    Attributes:
        names: Names that the task logs: `loss` and those of `metrics`; with the prefix `val_` in validation.
        evaluated: Names that only evaluations log, those of `evaluation_metrics`; with the prefix `val_` in validation.
        settled: False if names are complete only once `prepare` has seen the model.
        monitor: Name by which the best weights are chosen unless a plugin says otherwise.
        reports: True if `report` needs all outputs of an evaluation, which are then kept in memory.
        separable: True if the training loss is the mean over the samples of a batch and not random, so that a batch may
            be computed in parts. A class that overrides `forward` or `step` must say so again.
    """

    names: Collection[str] = ("loss",)
    evaluated: Collection[str] = ()
    settled: bool = True
    monitor: str = "val_loss"
    reports: ClassVar[bool] = False
    separable: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not vars(cls).keys().isdisjoint(("forward", "step")) and "separable" not in vars(cls):
            cls.separable = False

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
            seed: Seed for stateless random operations (`tf.random.stateless_normal`), int32 `[2]`: a function of the
                seed of the run and the step; in evaluation always the same.
        """
        raise NotImplementedError

    def step(
        self, models: Mapping[str, Any], optimizers: Mapping[str, Any], batch: Batch, seed: Any
    ) -> tuple[Any, Any]:
        """Compute the gradients of a training step, apply them, and return the loss and the outputs as in `forward`.

        Override it where gradients and updates are not those of one loss, as in a GAN; otherwise the engine computes
        them from `forward`, which then serves validation and test only. It runs inside the compiled span. However often
        it updates a model, it counts as one step. Clipping and regularisers are up to it.

        Args:
            models: The models by name; a single one is called `model`. Call them with `training=True`.
            optimizers: Their optimizers, by the same names; `optimizers[name].apply(gradients, variables)`, where
                variables are trainable ones of that model, and for the first optimizer also those of the task.
            batch: As in `forward`.
            seed: As in `forward`.
        """
        raise NotImplementedError

    @property
    def has_step(self) -> bool:
        """True if the task overrides `step`."""
        return type(self).step is not Task.step

    @property
    def has_forward(self) -> bool:
        """True if the task overrides `forward`, without which it cannot be validated or tested."""
        return type(self).forward is not Task.forward

    @cached_property
    def scalars(self) -> dict[str, Any]:
        """Numbers to log beside the loss of a batch: put scalar tensors in from `forward` or `step`, by name."""
        return {}

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """The task's own variables, which are saved and restored with the run; by default those of its attributes."""
        from trainer.tasks.variables import own_variables

        return own_variables(self)

    def metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return new Keras metrics by name, without the loss; called once for training and once for evaluation."""
        return {}

    def evaluation_metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return new Keras metrics by name that are of validation and test alone, such as those of a whole set."""
        return {}

    def update(self, metrics: Mapping[str, keras.metrics.Metric], batch: Batch, outputs: Any) -> None:
        """Update `metrics` with a batch and its outputs; runs after `forward`, inside the compiled function.

        In evaluation they include those of `evaluation_metrics`.
        """

    def prepare(self, model: keras.Model, spec: Any) -> None:
        """Make what depends on the model and the data, such as names; called once before training or evaluation.

        Args:
            model: The model.
            spec: `tf.TypeSpec` structure of a batch.

        Raises:
            UsageError: If the model cannot learn from such batches.
        """

    def balance(self, labels: Any, class_names: Sequence[str]) -> None:
        """Take account of how often classes occur in the training data; called after `prepare`, before step 0.

        Args:
            labels: All training labels, a tree of arrays; None if the data are streamed.
            class_names: Names of the classes; empty if they are unknown.

        Raises:
            UsageError: If the task needs to know more of them.
        """

    def check(self, model: keras.Model, spec: Any, labels: Any) -> None:
        """Refuse data that the model cannot learn from; called before step 0.

        Args:
            model: The model.
            spec: `tf.TypeSpec` structure of a batch.
            labels: All labels, a tree of arrays; None if the data are streamed.

        Raises:
            UsageError: If the data do not match the model.
        """

    def truth(self, labels: np.ndarray) -> np.ndarray:
        """Return all labels of a set in the form that `temperature` and `report` take; by default unchanged."""
        return labels

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


def logged_names(task: Task, validation: bool, models: Collection[str] = ()) -> list[str]:
    """Return the names that a run logs, without those that plugins add.

    Args:
        task: The task.
        validation: True if there are validation data.
        models: The names of the models.
    """
    validated = [f"val_{name}" for name in (*task.names, *task.evaluated)] if validation else []
    rates = [f"{LEARNING_RATE}_{name}" for name in models] if len(models) > 1 else []
    return [*task.names, *validated, *rates, *ENGINE_LOGS]
