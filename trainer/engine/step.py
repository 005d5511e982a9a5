"""The compiled span of training steps, traced once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer.data.batch import Batch
from trainer.engine.forward import build, checked, scalars_of, step_seed, with_regularisers
from trainer.engine.learners import Learners
from trainer.engine.meter import Meter
from trainer.engine.tracked import check_tracked
from trainer.errors import UsageError
from trainer.kernels.select import Gradients, Kernels
from trainer.kernels.strategy import Strategy
from trainer.startup import clock_is_allowed


class Span(NamedTuple):
    """The result of a span of training steps.

    Attributes:
        losses: The loss of each step, float32 `[n]`.
        norms: The global gradient norm of each step before clipping, float32 `[n]`; empty unless requested.
        scalars: The task's scalars of each step by name, float32 `[n]` each.
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


def loss_scale(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return the factor by which an optimizer scales the loss, a number or a float32 scalar; None if it does not.

    The optimizer expects gradients of the scaled loss and divides them itself when it applies them.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.convert_to_tensor(optimizer.dynamic_scale)
    return optimizer.loss_scale_factor
