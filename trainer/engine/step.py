"""The compiled functions: a span of training steps, and the evaluation of a batch; each is traced once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer.errors import UsageError
from trainer.kernels.select import SingleDevice
from trainer.tasks.task import Batch, Task


class Meter:
    """The loss and the task's metrics of one phase, accumulated in the graph and read only when somebody asks."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.loss = keras.metrics.Mean(name="loss")
        self.extra: Mapping[str, keras.metrics.Metric] = task.metrics()

    def update(self, batch: Batch, loss: Any, outputs: Any) -> None:
        """Add a batch, weighted by its number of images, so that a short last batch counts for what it is."""
        self.loss.update_state(loss, sample_weight=tf.cast(tf.shape(tf.nest.flatten(batch)[0])[0], tf.float32))
        self.task.update(self.extra, batch, outputs)

    def check(self) -> None:
        """Refuse a task whose metrics are not those that it names.

        Raises:
            UsageError: With both.
        """
        have, named = ["loss", *self.extra], list(self.task.names)
        if sorted(have) != sorted(named):
            raise UsageError(f"task {type(self.task).__name__} names {named} but has the metrics {have}")

    @property
    def images(self) -> int:
        """Images seen since the last reset; waits for the device."""
        return int(self.loss.count)

    def read(self) -> dict[str, float]:
        """Return the means so far as floats; waits for the device."""
        return {"loss": float(self.loss.result())} | {k: float(m.result()) for k, m in self.extra.items()}

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of the metrics, in an order that does not change."""
        return [variable for metric in (self.loss, *self.extra.values()) for variable in metric.variables]

    def reset(self) -> None:
        """Begin anew."""
        for metric in (self.loss, *self.extra.values()):
            metric.reset_state()


class Span(NamedTuple):
    """What a span of training steps tells.

    Attributes:
        losses: The loss of each step, float32 `[n]`.
        norms: The global norm of the gradients of each step before they are clipped, float32 `[n]`; empty unless asked
            for.
        waited: Seconds for which steps waited for their batches, float64; 0 under op determinism, which forbids clocks.
    """

    losses: tf.Tensor
    norms: tf.Tensor
    waited: tf.Tensor


def next_batch(batches: Any, timed: bool = True) -> tuple[Batch, tf.Tensor]:
    """Return the next batch and the seconds for which it was waited (0 if not timed), inside a compiled function."""
    if not timed:
        return batches.get_next(), tf.zeros([], tf.float64)
    begin = tf.timestamp()
    with tf.control_dependencies([begin]):
        batch = batches.get_next()
    with tf.control_dependencies(tf.nest.flatten(batch)):
        end = tf.timestamp()
    # Nothing is computed of the batch before the clock was read, or the reading would wait for that too.
    with tf.control_dependencies([end]):
        return tf.nest.map_structure(tf.identity, batch), end - begin


def clock_is_allowed() -> bool:
    """Return whether TensorFlow may look at a clock: under op determinism it refuses to."""
    try:
        tf.timestamp()
    except tf.errors.OpError:
        return False
    return True


class TrainStep:
    """Training steps: what a replica does (`_replica`) is kept apart from what happens across them (`_update`).

    Args:
        model: A built model; its variables exist.
        task: What is learnt.
        optimizer: Updates the model's trainable variables; its own variables are made here.
        spec: `tf.TypeSpec` structure of a batch, as in `dataset.element_spec`.
        strategy: Where variables live.
        clip_norm: Largest global norm of the gradients of a whole batch; None leaves them as they are. Clipping happens
            here, after aggregation, because Keras optimizers clip before it.
        norms: Whether to return the global norm of the gradients of each step too.
    """

    def __init__(
        self,
        model: keras.Model,
        task: Task,
        optimizer: keras.optimizers.Optimizer,
        spec: Any,
        strategy: SingleDevice,
        clip_norm: float | None = None,
        norms: bool = False,
    ) -> None:
        self.model, self.task, self.optimizer = model, task, optimizer
        self.strategy, self.clip_norm, self.norms = strategy, clip_norm, norms
        self.timed = clock_is_allowed()
        with strategy.scope():
            self.meter = Meter(task)
            self.meter.check()
            optimizer.build(model.trainable_variables)
        self._signature = [tf.data.IteratorSpec(spec), tf.TensorSpec([], tf.int32)]
        self._traced: dict[SingleDevice, Any] = {}

    def span(self, first: int = 1) -> Callable[[Any, Any], Span]:
        """Return the function that trains on batches from an iterator, so many of them, `first` being the first step.

        It is traced when it is first asked for. Before and after a step at which the strategy changes it is another.
        """
        strategy = self.strategy.at(first, self.model, self.task)
        if strategy not in self._traced:
            function = partial(self._span, strategy)
            self._traced[strategy] = tf.function(function, input_signature=self._signature, autograph=False)
            self._traced[strategy].get_concrete_function()
        return self._traced[strategy]

    def _span(self, strategy: SingleDevice, batches: Any, count: tf.Tensor) -> Span:
        """Take `count` batches and train on each."""

        def body(done: tf.Tensor, losses: tf.TensorArray, norms: tf.TensorArray, waited: tf.Tensor) -> tuple[Any, ...]:
            batch, seconds = next_batch(batches, self.timed)
            loss, outputs, gradients = strategy.run_training(self._replica, batch, self.model, self.task)
            norm = self._update(strategy, gradients)
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
        # One iteration at a time: else the next would take its batch before this one has used its own.
        _, losses, norms, waited = tf.while_loop(lambda done, *_: done < count, body, start, parallel_iterations=1)
        return Span(losses.stack(), norms.stack(), waited)

    def _replica(self, batch: Batch) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss, outputs = self.task.forward(self.model, batch, training=True)
            loss = with_regularisers(loss, self.model)
            scaled = self.optimizer.scale_loss(loss)
        return loss, outputs, tape.gradient(scaled, self.model.trainable_variables)

    def _update(self, strategy: SingleDevice, gradients: list[tf.Tensor]) -> tf.Tensor | None:
        """Apply the gradients; return their global norm if anybody needs it."""
        gradients, norm = list(strategy.mean_gradients(gradients)), None
        if self.norms or self.clip_norm is not None:
            norm = tf.linalg.global_norm(gradients)
        if self.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm, use_norm=norm)
        strategy.apply(self.optimizer, gradients, self.model.trainable_variables)
        return norm


class EvaluationStep:
    """Evaluation of one batch at a time; evaluation batches are large, so that calls cost next to nothing.

    Args:
        model: A built model.
        task: Gives the loss and the metrics.
        strategy: Where variables live.
    """

    def __init__(self, model: keras.Model, task: Task, strategy: SingleDevice) -> None:
        self.model, self.task, self.strategy = model, task, strategy
        with strategy.scope():
            self.meter = Meter(task)
        # The iterator is the argument, not the batch: its spec leaves the number of images open, so that a short last
        # batch needs no second trace.
        self.next = tf.function(self._next, autograph=False)

    def _next(self, batches: Any) -> tuple[Batch, Any]:
        """Take a batch and add it to the meter; return it and the model's outputs."""
        batch = batches.get_next()
        loss, outputs = self.strategy.run(self._replica, batch)
        self.meter.update(batch, loss, outputs)
        return batch, outputs

    def _replica(self, batch: Batch) -> tuple[tf.Tensor, Any]:
        loss, outputs = self.task.forward(self.model, batch, training=False)
        return with_regularisers(loss, self.model), outputs


def with_regularisers(loss: tf.Tensor, model: keras.Model) -> tf.Tensor:
    """Return `loss` plus the penalties that the model's layers added in their last call.

    Raises:
        UsageError: If the loss is not a scalar.
    """
    if loss.shape.rank != 0:
        raise UsageError(f"a task's loss must be the mean over the batch, a scalar: it has the shape {loss.shape}")
    for penalty in model.losses:
        loss = loss + tf.cast(penalty, loss.dtype)
    return loss
