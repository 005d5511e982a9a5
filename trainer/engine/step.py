"""The compiled functions, a span of training steps and the evaluation of a batch, each traced once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer.data.batch import Batch
from trainer.data.pipeline import EvaluationPipeline
from trainer.data.reading import DataEnded, reading
from trainer.engine.learners import Learners
from trainer.engine.tracked import check_tracked
from trainer.errors import UsageError
from trainer.kernels.keras_private import is_built
from trainer.kernels.select import Gradients, Kernels
from trainer.kernels.strategy import Strategy
from trainer.startup import clock_is_allowed
from trainer.tasks.numbers import numbers_of
from trainer.tasks.task import Task
from trainer.tasks.variables import has_unbuilt_layers
from trainer.text import count

EVALUATION_SEED = (0, 0)
"""Seed of random operations in evaluation, the same for every batch."""

TAKEN = frozenset({"kind", "epoch", "step", "time", "batch_loss", "gradient_norm"})
"""Names in the lines of single batches in `history.jsonl` that no scalar of a task may have."""


class Meter:
    """The loss and the task's metrics of one phase, accumulated in the graph and read on request only.

    Args:
        task: The task.
        evaluation: True if the metrics include those of evaluations alone.
    """

    def __init__(self, task: Task, evaluation: bool = False) -> None:
        self.task = task
        self.loss = keras.metrics.Mean(name="loss")
        self.extra: Mapping[str, keras.metrics.Metric] = {
            **task.metrics(),
            **(task.evaluation_metrics() if evaluation else {}),
        }

    def update(self, batch: Batch, loss: Any, outputs: Any) -> None:
        """Add a batch, weighted by its number of images so that a short last batch counts for less."""
        self.loss.update_state(loss, sample_weight=tf.cast(tf.shape(tf.nest.flatten(batch)[0])[0], tf.float32))
        self.task.update(self.extra, batch, outputs)

    def check(self) -> None:
        """Refuse a task whose metrics differ from the names that it declares.

        Raises:
            UsageError: If they differ.
        """
        have, named = list(self.read()), list(self.task.names)
        if sorted(have) != sorted(named):
            raise UsageError(f"task {type(self.task).__name__} declares the names {named} but logs {have}")

    @property
    def images(self) -> int:
        """Number of images since the last reset; waits for the device."""
        return int(self.loss.count)

    def read(self) -> dict[str, float]:
        """Return the means up to now as floats; waits for the device."""
        read = {"loss": float(self.loss.result())}
        for name, metric in self.extra.items():
            read |= numbers_of(name, metric.result() if is_built(metric) else math.nan)
        return read

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
    scalars: Mapping[str, tf.Tensor]
    waited: tf.Tensor


class Learned(NamedTuple):
    """The result of a training step.

    Attributes:
        loss: The loss, a float32 scalar.
        outputs: The model's outputs.
        norm: The global gradient norm before clipping; None if it was not needed.
        scalars: The task's scalars by name, each float32.
    """

    loss: tf.Tensor
    outputs: Any
    norm: tf.Tensor | None
    scalars: Mapping[str, tf.Tensor]


def next_batch(batches: Any, timed: bool = True) -> tuple[Batch, tf.Tensor]:
    """Return the next batch and the seconds spent waiting for it (0 if not timed), inside a compiled function."""
    if not timed:
        return batches.get_next(), tf.zeros([], tf.float64)
    begin = tf.timestamp()
    with tf.control_dependencies([begin]):
        batch = batches.get_next()
    with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
        end = tf.timestamp()
    # Use of the batch must wait until the clock has been read, or the reading would include the computation.
    with tf.control_dependencies([end]):
        return tf.nest.map_structure(tf.identity, batch), end - begin


class TrainStep:
    """Training steps: the work of one replica (`_gradients`) is separate from the work across replicas (`_update`).

    A task with its own `step` does both at once (`_own_step`).

    Args:
        learners: The models, built, and their optimizers, whose own variables are created here.
        spec: `tf.TypeSpec` structure of a batch, as in `dataset.element_spec`.
        kernels: The kernels that compute a step.
        strategy: The strategy that places variables.
        seed: Seed of the run, from which that of each step is derived.
        clip_norm: Largest global gradient norm of a whole batch; None disables clipping. Clipping happens here, after
            aggregation, because Keras optimizers clip before it.
        norms: If True, also return the global gradient norm of each step, unless the task has its own `step`.
        streamed: True if a batch may be missing or unreadable in mid-run.

    Raises:
        UsageError: If the task's metrics are not those that it declares, or the gradients to be clipped are those that
            the task applies itself.
    """

    def __init__(
        self,
        learners: Learners,
        spec: Any,
        kernels: Kernels,
        strategy: Strategy,
        seed: int = 0,
        clip_norm: float | None = None,
        norms: bool = False,
        streamed: bool = False,
    ) -> None:
        self.learners, self.task = learners, learners.task
        self.kernels, self.strategy, self.seed = kernels, strategy, seed
        self._models = list(learners.models.values())
        self.clip_norm, self.norms = clip_norm, norms and not self.task.has_step
        self.timed, self.streamed = clock_is_allowed(), streamed
        if self.task.has_step and clip_norm is not None:
            raise UsageError(
                f"cannot clip the gradients of the task {type(self.task).__name__}, which applies them itself; remove "
                "clip_norm and give its optimizers global_clipnorm"
            )
        with strategy.scope():
            self.meter = Meter(self.task)
            build(self.task, learners.model, self.meter, spec)
            self.meter.check()
            learners.build()
        self._signature = [tf.data.IteratorSpec(spec), tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int32)]
        self._traced: dict[Kernels, Any] = {}

    @property
    def variables(self) -> list[Any]:
        """Every variable that a step may change: of models, optimizers, meter and task, in checkpoint order."""
        return [*self.learners.variables, *self.meter.variables, *self.learners.of_task]

    def span(self, first: int = 1) -> Callable[[Any, Any, Any], Span]:
        """Return the function that trains on an iterator's batches, given the first 0-based step and their number.

        It is traced on first request. If the kernels change at some step, another function is returned from there.

        Args:
            first: The first step, counted from 1.

        Raises:
            UsageError: If a step changes a variable that no checkpoint would have.
        """
        kernels = self.kernels.at(first, self._models, self.task)
        if kernels not in self._traced:
            function = partial(self._span, kernels)
            traced = tf.function(function, input_signature=self._signature, autograph=False)
            check_tracked(traced.get_concrete_function(), self.variables, self.task)
            self._traced[kernels] = traced
        return self._traced[kernels]

    def _span(self, kernels: Kernels, batches: Any, first: tf.Tensor, count: tf.Tensor) -> Span:
        """Train on the next `count` batches, the first of which is that of the 0-based step `first`."""
        replica, names = self._own_step if self.task.has_step else self._gradients, list[str]()
        compute = self.strategy.replicated(kernels.wrap(replica, self._models, self.task))

        def body(done: tf.Tensor, losses: Any, norms: Any, scalars: Any, waited: tf.Tensor) -> tuple[Any, ...]:
            batch, seconds = next_batch(batches, self.timed)
            # Nothing of a step may happen if its batch cannot be read, so that the steps before can be saved.
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True) if self.streamed else []):
                computed = compute(batch, step_seed(self.seed, first + tf.cast(done, tf.int64)))
                learned = computed if self.task.has_step else self._learned(kernels, computed)
                self.meter.update(batch, learned.loss, learned.outputs)
            names[:] = learned.scalars
            return (
                done + 1,
                losses.write(done, learned.loss),
                norms.write(done, learned.norm) if self.norms else norms,
                scalars.write(done, tf.stack(list(learned.scalars.values()))) if names else scalars,
                waited + seconds,
            )

        losses = tf.TensorArray(tf.float32, count, element_shape=[])
        norms = tf.TensorArray(tf.float32, count if self.norms else 0, element_shape=[])
        scalars = tf.TensorArray(tf.float32, count, element_shape=[None])
        start = (0, losses, norms, scalars, tf.zeros([], tf.float64))
        # One iteration at a time: otherwise the next would take its batch before this one has used its own.
        _, losses, norms, scalars, waited = tf.while_loop(
            lambda done, *_: done < count, body, start, parallel_iterations=1
        )
        columns = tf.unstack(scalars.stack(), len(names), axis=1) if names else []
        return Span(losses.stack(), norms.stack(), dict(zip(names, columns, strict=True)), waited)

    def _own_step(self, batch: Batch, seed: tf.Tensor) -> Learned:
        """Let the task compute and apply its gradients."""
        with ExitStack() as stack:
            for optimizer in self.learners.optimizers.values():
                stack.enter_context(self.strategy.updating(optimizer))
            result = self.task.step(self.learners.models, self.learners.optimizers, batch, seed)
        loss, outputs = checked(result, self.task, "step")
        return Learned(loss, outputs, None, scalars_of(self.task))

    def _gradients(self, batch: Batch, seed: tf.Tensor) -> Gradients:
        """Return the loss, the outputs, the gradients and the scalars of one replica's share of a batch."""
        model, trained, optimizer = self.learners.only
        with tf.GradientTape() as tape:
            loss, outputs = checked(self.task.forward(model, batch, True, seed), self.task, "forward")
            loss = with_regularisers(loss, model)
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, trained)
        if all(gradient is None for gradient in gradients):
            raise UsageError(
                f"cannot train: the loss of the task {type(self.task).__name__} depends on no weight that is trainable"
            )
        return Gradients(loss, outputs, gradients, scalars_of(self.task))

    def _learned(self, kernels: Kernels, computed: Gradients) -> Learned:
        """Apply the gradients of a batch; return the result of the step."""
        norm = self._update(kernels, computed.gradients)
        return Learned(computed.loss, computed.outputs, norm, computed.scalars)

    def _update(self, kernels: Kernels, gradients: Sequence[Any]) -> tf.Tensor | None:
        """Apply the gradients; return their global norm without the loss scale, or None if it is not needed."""
        gradients, norm = list(self.strategy.mean_gradients(gradients)), None
        _, trained, optimizer = self.learners.only
        scale = loss_scale(optimizer)
        if self.norms or self.clip_norm is not None:
            norm = tf.linalg.global_norm(gradients)
        if self.clip_norm is not None:
            limit = self.clip_norm if scale is None else self.clip_norm * scale
            gradients, _ = tf.clip_by_global_norm(gradients, limit, use_norm=norm)
        with self.strategy.updating(optimizer):
            kernels.apply(optimizer, gradients, trained)
        return norm if norm is None or scale is None else norm / scale


class EvaluationStep:
    """Evaluation of one batch per call; evaluation batches are large, so calls cost next to nothing.

    Args:
        model: A built model, or several by name.
        task: Computes the loss and the metrics.
        strategy: The strategy that places variables.
    """

    def __init__(self, model: keras.Model | Mapping[str, keras.Model], task: Task, strategy: Strategy) -> None:
        self.model, self.task, self.strategy = model, task, strategy
        with strategy.scope():
            self.meter = Meter(task, evaluation=True)
        # The argument is the iterator, not the batch: its spec leaves the number of rows open, so a short last batch
        # needs no second trace.
        self.next = tf.function(self._next, autograph=False)

    def begin(self, data: EvaluationPipeline) -> Iterator[Any]:
        """Return the batches of an evaluation for `next`, reset the meter, and compile `next` if necessary.

        If `next` were traced on its first call instead, TensorFlow would warn of repeated retracing as soon as a
        process has trained several models.
        """
        build(self.task, self.model, self.meter, data.spec)
        self.meter.reset()
        batches = iter(data.batches())
        self.next.get_concrete_function(batches)
        return batches

    def over(self, data: EvaluationPipeline) -> Iterator[tuple[Batch, Any]]:
        """Begin an evaluation and yield each batch with the model's outputs, to the end of the data.

        Raises:
            DataError: If the data cannot be read, or end before the number of batches that they declare.
        """
        batches, done = self.begin(data), 0
        while data.steps is None or done < data.steps:
            try:
                with reading(f"cannot evaluate after {count(done, 'batch', 'batches')}"):
                    result = self.next(batches)
            except DataEnded:
                if data.steps is None and done:
                    return
                raise
            done += 1
            yield result

    def _next(self, batches: Any) -> tuple[Batch, Any]:
        """Evaluate the next batch and add it to the meter; return the batch and the model's outputs."""
        batch = batches.get_next()
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):  # nothing happens after the last
            loss, outputs = self.strategy.replicated(self._outputs)(batch)
            self.meter.update(batch, loss, outputs)
        return batch, outputs

    def _outputs(self, batch: Batch) -> tuple[tf.Tensor, Any]:
        loss, outputs = checked(self.task.forward(self.model, batch, False, EVALUATION_SEED), self.task, "forward")
        self.task.scalars.clear()  # those of training alone are logged
        return (loss if isinstance(self.model, Mapping) else with_regularisers(loss, self.model)), outputs


def build(task: Task, model: keras.Model | Mapping[str, keras.Model], meter: Meter, spec: Any) -> None:
    """Create the variables of a task's layers and metrics that otherwise appear in the middle of the first step.

    Args:
        task: The task.
        model: What its `forward` is given.
        meter: Its metrics.
        spec: `tf.TypeSpec` structure of a batch.

    Raises:
        UsageError: If a layer cannot be called, since the task has no `forward`.
    """
    if not has_unbuilt_layers(task) and all(is_built(metric) for metric in meter.extra.values()):
        return
    if not task.has_forward:
        raise UsageError(
            f"cannot train: layers or metrics of the task {type(task).__name__} have no variables yet; build them in "
            "__init__"
        )

    def call(batch: Batch) -> None:
        _, outputs = task.forward(model, batch, True, EVALUATION_SEED)
        task.update(meter.extra, batch, outputs)
        task.scalars.clear()

    tf.function(call, autograph=False).get_concrete_function(spec)


def loss_scale(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return the factor by which an optimizer scales the loss, a number or a float32 scalar; None if it does not.

    The optimizer expects gradients of the scaled loss and divides them itself when it applies them.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.convert_to_tensor(optimizer.dynamic_scale)
    return optimizer.loss_scale_factor


def with_regularisers(loss: tf.Tensor, model: keras.Model) -> tf.Tensor:
    """Return `loss` plus the regularisation penalties from the last call of the model's layers."""
    for penalty in model.losses:
        loss = loss + tf.cast(penalty, loss.dtype)
    return loss


def step_seed(seed: int, step: tf.Tensor) -> tf.Tensor:
    """Return the seed of a step for stateless random operations, int32 `[2]`, a function of the run's seed alone.

    Args:
        seed: Seed of the run, from 0 to 2⁶³ - 1.
        step: 0-based step, an int64 scalar.
    """
    # Hashed, since the order and the augmentation of the data draw from (seed, epoch) and (seed, step).
    key = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=4).digest(), "little", signed=True)
    return tf.stack([tf.constant(key), tf.cast(step, tf.int32)])


def rows_of(batch: Batch) -> tf.Tensor:
    """Return the number of rows of a batch, an int32 scalar."""
    return tf.shape(tf.nest.flatten(batch)[0])[0]


def checked(result: Any, task: Task, method: str) -> tuple[tf.Tensor, Any]:
    """Return the loss and the outputs that a method of a task returned.

    Raises:
        UsageError: If it returned anything else.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise UsageError(
            f"cannot train: {type(task).__name__}.{method} must return the loss and the outputs, a tuple of two"
        )
    loss, outputs = result
    if tf.convert_to_tensor(loss).shape.rank != 0:
        raise UsageError(
            f"cannot train on a loss of shape {loss.shape}: a task must return a scalar, the mean over the batch"
        )
    return loss, outputs


def scalars_of(task: Task) -> dict[str, tf.Tensor]:
    """Return what a task has put into its `scalars`, which is then empty, as float32.

    Raises:
        UsageError: If one is not a scalar, or its name is that of something else in the history.
    """
    scalars = {name: tf.cast(value, tf.float32) for name, value in task.scalars.items()}
    task.scalars.clear()
    for name, value in scalars.items():
        if value.shape.rank != 0:
            raise UsageError(
                f"cannot log {name!r} of the task {type(task).__name__}: it has the shape {value.shape}; scalars are "
                "one number per step"
            )
        if name in TAKEN:
            raise UsageError(
                f"cannot log {name!r} of the task {type(task).__name__}: the name is taken; choose another"
            )
    return scalars
