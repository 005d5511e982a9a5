"""The kernels to choose from: Keras's own operations, fused ones, or convolutions as matrix products."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer.data.batch import Batch
from trainer.errors import UsageError, unknown
from trainer.startup import clock_is_allowed
from trainer.tasks.task import Task

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("trainer")


class Gradients(NamedTuple):
    """The result of a replica for a training batch.

    Attributes:
        loss: The loss.
        outputs: The outputs, a tree.
        gradients: The gradient of each trained variable; None for one that the loss does not depend on.
        scalars: The task's scalars by name.
    """

    loss: Any
    outputs: Any
    gradients: Sequence[Any]
    scalars: Mapping[str, Any]


Replica = Callable[[Batch, Any], Any]
"""The computation of a replica on its share of a batch, given the seed of the step.

It returns `Gradients`; that of a task with its own `step` applies them too, and returns something else.
"""

PARTS = (4, 3, 2)
"""Number of parts that `Blocks` computes in parallel, the first that divides the batch size; measured on two cores."""

HEAD_START = 2000
"""Steps before `Auto` switches to `Blocks`: tracing and compiling takes 3 s, which only longer runs recover."""


class Kernels:
    """Keras's own operations: each step is bit-identical to one of `Model.fit`.

    Attributes:
        head_start: Number of steps after which `at` returns other kernels; 0 if it never does.
    """

    head_start = 0

    def __str__(self) -> str:
        return "keras"

    def at(self, step: int, models: Sequence[keras.Model], task: Task) -> Kernels:
        """Return the kernels that compute the 1-based `step`."""
        return self

    def wrap(self, function: Replica, models: Sequence[keras.Model], task: Task) -> Replica:
        """Return a function equivalent to `function`, the forward and backward pass of `models` on a batch.

        The returned function is called while a step is traced.
        """
        return function

    def apply(self, optimizer: keras.optimizers.Optimizer, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """Update the variables with the optimizer; called while a step is traced."""
        optimizer.apply(gradients, variables)


class Fused(Kernels):
    """One fused operation in place of several Keras ones, equal up to rounding.

    Applies to batch normalisation (`kernels.normalisation`) and to Adam's update of a variable (`kernels.adam`).
    """

    def __str__(self) -> str:
        return "fused"

    def wrap(self, function: Replica, models: Sequence[keras.Model], task: Task) -> Replica:
        """Return `function` with the models' batch-normalisation layers substituted."""
        from trainer.kernels.normalisation import fused_normalisations
        from trainer.kernels.substitution import substituted

        def fused(batch: Batch, seed: Any) -> Any:
            with substituted(fused_normalisations(models)):
                return function(batch, seed)

        return fused

    def apply(self, optimizer: keras.optimizers.Optimizer, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """Update the variables with the optimizer; Adam needs one operation per variable."""
        from trainer.kernels.adam import fused_adam

        with fused_adam(optimizer):
            optimizer.apply(gradients, variables)


class Blocks(Fused):
    """Training compiled by XLA on a CPU, with convolutions and pooling as matrix products (`kernels.convolution`).

    Equal up to rounding, and faster for narrow convolutions. The model is not modified: its layers are substituted only
    while the training step is traced. If every layer treats each image independently, parts of a batch are computed in
    parallel.

    Args:
        batch_size: Size of all batches but the last of an epoch, which Keras computes because compiling a second size
            takes seconds. If None, each size is compiled when it first occurs, without splitting the batch.
    """

    def __init__(self, batch_size: int | None = None) -> None:
        self.batch_size = batch_size

    def __str__(self) -> str:
        return "blocks"

    def wrap(self, function: Replica, models: Sequence[keras.Model], task: Task) -> Replica:
        """Return `function` applied to the parts of a batch, with the model's convolutions substituted.

        Raises:
            UsageError: If the kernels do not support a layer of the model, or the task.
        """
        import tensorflow as tf

        from trainer.kernels.substitution import substituted, substitution

        if not is_separable(task):
            raise UsageError(
                "cannot use kernels 'blocks': they support tasks whose loss is the mean over the samples of a batch, "
                f"not the task {type(task).__name__}; kernels 'keras' can train it"
            )
        (model,) = models
        instead = substitution(model)
        for name in instead.wide:
            logger.warning("layer %r is so wide that kernels 'blocks' slow training down; use another choice", name)
        compiled = tf.function(function, jit_compile=True, autograph=False)

        def whole(batch: Batch, seed: Any) -> Gradients:
            with substituted(instead.calls):
                return compiled(batch, seed)

        def in_parts(batch: Batch, seed: Any, parts: int) -> Gradients:
            # No tf.ensure_shape: Grappler would assume the shape for batches of the other branch as well.
            shares = zip(*(tf.split(tensor, parts) for tensor in tf.nest.flatten(batch)), strict=True)
            with substituted(instead.calls):
                return _together([compiled(tf.nest.pack_sequence_as(batch, share), seed) for share in shares])

        def blocks(batch: Batch, seed: Any) -> Gradients:
            first = tf.nest.flatten(batch)[0]
            size = first.shape[0] or self.batch_size
            if size is None:
                return whole(batch, seed)
            parts = next((n for n in PARTS if size % n == 0), 1) if instead.separable else 1
            is_full = tf.equal(tf.shape(first)[0], size)
            return tf.cond(is_full, lambda: in_parts(batch, seed, parts), lambda: function(batch, seed))

        return blocks


class Auto(Kernels):
    """`Fused` at first, then `Blocks` if the model is on a CPU and of a kind measured to be faster with them.

    Training starts without delay. The kernels of a step depend only on its number, the model and its device, so a run
    is bit-identical, interrupted or not.

    Args:
        batch_size: Size of all batches but the last of an epoch; if None (unknown), `Auto` never switches.
        head_start: Number of steps before the switch.
    """

    def __init__(self, batch_size: int | None, head_start: int = HEAD_START) -> None:
        self.first, self.then = Fused(), Blocks(batch_size)
        self.head_start = head_start
        self._gains: bool | None = None

    def __str__(self) -> str:
        return f"blocks after step {self.head_start}" if self._gains else "fused"

    def at(self, step: int, models: Sequence[keras.Model], task: Task) -> Kernels:
        """Return the kernels that compute the 1-based `step`."""
        if step <= self.head_start or self.then.batch_size is None:
            return self.first
        if self._gains is None:
            self._gains = is_separable(task) and gains(models[0])
        return self.then if self._gains else self.first


def gains(model: keras.Model) -> bool:
    """Return True if `Blocks` is known to be faster than `Fused`."""
    from trainer.kernels.substitution import substitution

    if not is_on_cpu(model.variables):
        return False
    try:
        instead = substitution(model)
    except UsageError:
        return False
    # Op determinism forbids the clock, and XLA's behaviour under it has not been examined.
    return clock_is_allowed() and instead.separable and not instead.wide


def is_separable(task: Task) -> bool:
    """Return True if a batch may be computed in parts, by XLA; a loss may also be random or combine samples."""
    return task.separable and not task.has_step


def is_on_cpu(variables: Sequence[Any]) -> bool:
    """Return True if all Keras variables are on a CPU, for which `Blocks` was designed."""
    return all("CPU" in variable.value.device for variable in variables)


def _together(parts: Sequence[Gradients]) -> Gradients:
    """Combine the results of equally sized parts into the result of the whole batch."""
    import tensorflow as tf

    def mean(*values: Any) -> Any:
        return None if values[0] is None else tf.add_n(values) / len(values)

    losses, outputs, gradients, scalars = zip(*parts, strict=True)
    return Gradients(
        mean(*losses),
        tf.nest.map_structure(lambda *each: tf.concat(each, 0), *outputs),
        [mean(*each) for each in zip(*gradients, strict=True)],
        tf.nest.map_structure(mean, *scalars),
    )


def select(name: str, batch_size: int | None) -> Kernels:
    """Return kernels by name.

    Args:
        name: `auto`, `keras`, `fused` or `blocks`.
        batch_size: Size of all batches but the last of an epoch; None if unknown.

    Raises:
        UsageError: If the name is unknown.
    """
    made: dict[str, Callable[[], Kernels]] = {
        "auto": lambda: Auto(batch_size),
        "keras": Kernels,
        "fused": Fused,
        "blocks": lambda: Blocks(batch_size),
    }
    if name not in made:
        raise unknown("kernels", name, made)
    return made[name]()
