"""The compiled functions, a span of training steps and the evaluation of a batch, each traced once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainer.data.pipeline import EvaluationPipeline
from trainer.data.rows import Batch
from trainer.errors import UsageError
from trainer.kernels.select import Gradients, Kernels
from trainer.kernels.strategy import Strategy
from trainer.startup import clock_is_allowed
from trainer.tasks.task import Task

NO_SEED = np.zeros(2, np.int32)


class Meter:
    """The loss and the task's metrics of one phase, accumulated in the graph and read on request only."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.loss = keras.metrics.Mean(name="loss")
        self.extra: Mapping[str, keras.metrics.Metric] = task.metrics()

    def update(self, batch: Batch, loss: Any, outputs: Any) -> None:
        """Add a batch, weighted by its number of images so that a short last batch counts for less."""
        self.loss.update_state(loss, sample_weight=tf.cast(tf.shape(tf.nest.flatten(batch)[0])[0], tf.float32))
        self.task.update(self.extra, batch, outputs)

    def check(self) -> None:
        """Refuse a task whose metrics differ from the names that it declares.

        Raises:
            UsageError: If they differ.
        """
        have, named = ["loss", *self.extra], list(self.task.names)
        if sorted(have) != sorted(named):
            raise UsageError(f"task {type(self.task).__name__} declares the names {named} but logs {have}")

    @property
    def images(self) -> int:
        """Number of images since the last reset; waits for the device."""
        return int(self.loss.count)

    def read(self) -> dict[str, float]:
        """Return the means up to now as floats; waits for the device."""
        return {"loss": float(self.loss.result())} | {k: float(m.result()) for k, m in self.extra.items()}

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of the metrics, in a fixed order."""
        return [variable for metric in (self.loss, *self.extra.values()) for variable in metric.variables]

    def reset(self) -> None:
        """Reset all metrics."""
        for metric in (self.loss, *self.extra.values()):
            metric.reset_state()


class Span(NamedTuple):
    """The result of a span of training steps.

    Attributes:
        losses: The loss of each step, float32 `[n]`.
        norms: The global gradient norm of each step before clipping, float32 `[n]`; empty unless requested.
        waited: Seconds spent waiting for batches, float64; 0 under op determinism, which forbids clocks.
    """

    losses: tf.Tensor
    norms: tf.Tensor
    waited: tf.Tensor


def next_batch(batches: Any, timed: bool = True) -> tuple[Batch, tf.Tensor]:
    """Return the next batch and the seconds spent waiting for it (0 if not timed), inside a compiled function."""
    if not timed:
        return batches.get_next(), tf.zeros([], tf.float64)
    begin = tf.timestamp()
    with tf.control_dependencies([begin]):
        batch = batches.get_next()
    with tf.control_dependencies(tf.nest.flatten(batch)):
        end = tf.timestamp()
    # Use of the batch must wait until the clock has been read, or the reading would include the computation.
    with tf.control_dependencies([end]):
        return tf.nest.map_structure(tf.identity, batch), end - begin


class TrainStep:
    """Training steps: the work of one replica (`_gradients`) is separate from the work across replicas (`_update`).

    Args:
        model: A built model.
        task: The task to learn.
        optimizer: Updates the model's trainable variables; its own variables are created here.
        spec: `tf.TypeSpec` structure of a batch, as in `dataset.element_spec`.
        kernels: The kernels that compute a step.
        strategy: The strategy that places variables.
        clip_norm: Largest global gradient norm of a whole batch; None disables clipping. Clipping happens here, after
            aggregation, because Keras optimizers clip before it.
        norms: If True, also return the global gradient norm of each step.
    """

    def __init__(
        self,
        model: keras.Model,
        task: Task,
        optimizer: keras.optimizers.Optimizer,
        spec: Any,
        kernels: Kernels,
        strategy: Strategy,
        clip_norm: float | None = None,
        norms: bool = False,
    ) -> None:
        self.model, self.task, self.optimizer = model, task, optimizer
        self.kernels, self.strategy, self.clip_norm, self.norms = kernels, strategy, clip_norm, norms
        self.timed = clock_is_allowed()
        with strategy.scope():
            self.meter = Meter(task)
            self.meter.check()
            optimizer.build(model.trainable_variables)
        self._signature = [tf.data.IteratorSpec(spec), tf.TensorSpec([], tf.int32)]
        self._traced: dict[Kernels, Any] = {}

    def span(self, first: int = 1) -> Callable[[Any, Any], Span]:
        """Return the function that trains on a number of batches from an iterator, starting with step `first`.

        It is traced on first request. If the kernels change at some step, another function is returned from there.
        """
        kernels = self.kernels.at(first, self.model, self.task)
        if kernels not in self._traced:
            function = partial(self._span, kernels)
            self._traced[kernels] = tf.function(function, input_signature=self._signature, autograph=False)
            self._traced[kernels].get_concrete_function()
        return self._traced[kernels]

    def _span(self, kernels: Kernels, batches: Any, count: tf.Tensor) -> Span:
        """Train on the next `count` batches."""
        gradients_of = self.strategy.replicated(kernels.wrap(self._gradients, self.model, self.task))

        def body(done: tf.Tensor, losses: tf.TensorArray, norms: tf.TensorArray, waited: tf.Tensor) -> tuple[Any, ...]:
            batch, seconds = next_batch(batches, self.timed)
            loss, outputs, gradients = gradients_of(batch)
            norm = self._update(kernels, gradients)
            self.meter.update(batch, loss, outputs)
            return (
                done + 1,
                losses.write(done, loss),
                norms.write(done, norm) if self.norms else norms,
                waited + seconds,
            )

        losses = tf.TensorArray(tf.float32, count, element_shape=[])
        norms = tf.TensorArray(tf.float32, count if self.norms else 0, element_shape=[])
        start = (0, losses, norms, tf.zeros([], tf.float64))
        # One iteration at a time: otherwise the next would take its batch before this one has used its own.
        _, losses, norms, waited = tf.while_loop(lambda done, *_: done < count, body, start, parallel_iterations=1)
        return Span(losses.stack(), norms.stack(), waited)

    def _gradients(self, batch: Batch) -> Gradients:
        """Return the loss, the outputs and the gradients of one replica's share of a batch."""
        with tf.GradientTape() as tape:
            loss, outputs = self.task.forward(self.model, batch, True, NO_SEED)
            loss = with_regularisers(loss, self.model)
            scaled = self.optimizer.scale_loss(loss)
        return loss, outputs, tape.gradient(scaled, self.model.trainable_variables)

    def _update(self, kernels: Kernels, gradients: list[tf.Tensor]) -> tf.Tensor | None:
        """Apply the gradients; return their global norm without the loss scale, or None if it is not needed."""
        gradients, norm = list(self.strategy.mean_gradients(gradients)), None
        scale = loss_scale(self.optimizer)
        if self.norms or self.clip_norm is not None:
            norm = tf.linalg.global_norm(gradients)
        if self.clip_norm is not None:
            limit = self.clip_norm if scale is None else self.clip_norm * scale
            gradients, _ = tf.clip_by_global_norm(gradients, limit, use_norm=norm)
        with self.strategy.updating(self.optimizer):
            kernels.apply(self.optimizer, gradients, self.model.trainable_variables)
        return norm if norm is None or scale is None else norm / scale


class EvaluationStep:
    """Evaluation of one batch per call; evaluation batches are large, so calls cost next to nothing.

    Args:
        model: A built model.
        task: Computes the loss and the metrics.
        strategy: The strategy that places variables.
    """

    def __init__(self, model: keras.Model, task: Task, strategy: Strategy) -> None:
        self.model, self.task, self.strategy = model, task, strategy
        with strategy.scope():
            self.meter = Meter(task)
        # The argument is the iterator, not the batch: its spec leaves the number of images open, so a short last batch
        # needs no second trace.
        self.next = tf.function(self._next, autograph=False)

    def begin(self, data: EvaluationPipeline) -> Iterator[Any]:
        """Return the batches of an evaluation for `next`, reset the meter, and compile `next` if necessary.

        If `next` were traced on its first call instead, TensorFlow would warn of repeated retracing as soon as a
        process has trained several models.
        """
        self.meter.reset()
        batches = iter(data.batches())
        self.next.get_concrete_function(batches)
        return batches

    def _next(self, batches: Any) -> tuple[Batch, Any]:
        """Evaluate the next batch and add it to the meter; return the batch and the model's outputs."""
        batch = batches.get_next()
        loss, outputs = self.strategy.replicated(self._outputs)(batch)
        self.meter.update(batch, loss, outputs)
        return batch, outputs

    def _outputs(self, batch: Batch) -> tuple[tf.Tensor, Any]:
        loss, outputs = self.task.forward(self.model, batch, False, NO_SEED)
        return with_regularisers(loss, self.model), outputs


def loss_scale(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return the factor by which an optimizer scales the loss, a number or a float32 scalar; None if it does not.

    The optimizer expects gradients of the scaled loss and divides them itself when it applies them.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.convert_to_tensor(optimizer.dynamic_scale)
    return optimizer.loss_scale_factor


def with_regularisers(loss: tf.Tensor, model: keras.Model) -> tf.Tensor:
    """Return `loss` plus the regularisation penalties from the last call of the model's layers.

    Raises:
        UsageError: If the loss is not a scalar.
    """
    if loss.shape.rank != 0:
        raise UsageError(
            f"cannot train on a loss of shape {loss.shape}: a task must return a scalar, the mean over the batch"
        )
    for penalty in model.losses:
        loss = loss + tf.cast(penalty, loss.dtype)
    return loss
