"""How a training step is computed: by Keras, by fused operations, or by convolutions as matrix products."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trainer.errors import UsageError, unknown
from trainer.startup import clock_is_allowed
from trainer.tasks.classification import Classification
from trainer.tasks.task import Batch, Task

if TYPE_CHECKING:
    import keras

logger = logging.getLogger("trainer")

Gradients = tuple[Any, Any, list[Any]]
"""What a replica makes of a training batch: the loss, the outputs, the gradient of each trainable variable."""

Replica = Callable[[Batch], Gradients]
"""What a replica does with its share of a batch."""

PARTS = (4, 3, 2)
"""Parts of a batch that `Blocks` computes side by side, the first by which it can be divided; measured on two cores."""

HEAD_START = 2000
"""Steps before `Auto` switches to `Blocks`: tracing and compiling it takes 3 s, which longer runs earn back."""


class Kernels:
    """Keras's own operations: each step is computed as `Model.fit` computes it, bit for bit.

    Attributes:
        head_start: Steps after which `at` returns other kernels; 0: it never does.
    """

    head_start = 0

    def __str__(self) -> str:
        return "keras"

    def at(self, step: int, model: keras.Model, task: Task) -> Kernels:
        """Return the kernels that compute `step`, counted from 1."""
        return self

    def wrap(self, function: Replica, model: keras.Model, task: Task) -> Replica:
        """Return what computes the same as `function`, the forward and backward pass of `model` on a batch.

        What is returned is called while a step is traced.
        """
        return function

    def apply(self, optimizer: keras.optimizers.Optimizer, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """Have the optimizer update the variables; called while a step is traced."""
        optimizer.apply(gradients, variables)


class Fused(Kernels):
    """One operation where Keras has many, the same to rounding.

    That holds for batch normalisation (`kernels.normalisation`) and for Adam's update of a variable (`kernels.adam`).
    """

    def __str__(self) -> str:
        return "fused"

    def wrap(self, function: Replica, model: keras.Model, task: Task) -> Replica:
        """Return `function` with the model's batch normalisations substituted."""
        from trainer.kernels.normalisation import fused_normalisations
        from trainer.kernels.substitution import substituted

        def fused(batch: Batch) -> Gradients:
            with substituted(fused_normalisations(model)):
                return function(batch)

        return fused

    def apply(self, optimizer: keras.optimizers.Optimizer, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """Have the optimizer update the variables, Adam each by one operation."""
        from trainer.kernels.adam import fused_adam

        with fused_adam(optimizer):
            optimizer.apply(gradients, variables)


class Blocks(Fused):
    """Training compiled by XLA on a CPU, with convolutions and pooling as matrix products (`kernels.convolution`).

    The same numbers to rounding, faster for narrow convolutions. The model stays as it is: its layers compute other
    operations only while the training step is traced. If every layer treats each image by itself, parts of a batch are
    computed side by side.

    Args:
        batch_size: Images in all batches but the last of an epoch, which Keras computes, since compiling a second size
            takes seconds. None: each size that occurs is compiled when it first does, as a whole.
    """

    def __init__(self, batch_size: int | None = None) -> None:
        self.batch_size = batch_size

    def __str__(self) -> str:
        return "blocks"

    def wrap(self, function: Replica, model: keras.Model, task: Task) -> Replica:
        """Return `function` on the parts of a batch, with the model's convolutions substituted.

        Raises:
            UsageError: If the kernels are not made for a layer of the model, or for the task.
        """
        import tensorflow as tf

        from trainer.kernels.substitution import substituted, substitution

        if not is_plain(task):
            raise UsageError(f"kernels 'blocks' are made for classification, not for the task {type(task).__name__}")
        instead = substitution(model)
        for name in instead.wide:
            logger.warning("layer %r is so wide that kernels 'blocks' make training slower; leave them out", name)
        compiled = tf.function(function, jit_compile=True, autograph=False)

        def whole(batch: Batch) -> Gradients:
            with substituted(instead.calls):
                return compiled(batch)

        def in_parts(batch: Batch, parts: int) -> Gradients:
            # No tf.ensure_shape: Grappler takes what it promises for true of the other branch's batches as well.
            shares = zip(*(tf.split(tensor, parts) for tensor in batch), strict=True)
            with substituted(instead.calls):
                return _together([compiled(share) for share in shares])

        def blocks(batch: Batch) -> Gradients:
            size = batch[0].shape[0] or self.batch_size
            if size is None:
                return whole(batch)
            parts = next((n for n in PARTS if size % n == 0), 1) if instead.separable else 1
            is_full = tf.equal(tf.shape(batch[0])[0], size)
            return tf.cond(is_full, lambda: in_parts(batch, parts), lambda: function(batch))

        return blocks


class Auto(Kernels):
    """`Fused` at first; then `Blocks`, for a model on a CPU of the kind that was measured to be faster with them.

    Training begins at once. How a step is computed depends on its number, the model and its device alone, so that a run
    gives the same bits, interrupted or not.

    Args:
        batch_size: Images in all batches but the last of an epoch; None, where that is not known: it never switches.
        head_start: Steps before it switches.
    """

    def __init__(self, batch_size: int | None, head_start: int = HEAD_START) -> None:
        self.first, self.then = Fused(), Blocks(batch_size)
        self.head_start = head_start
        self._gains: bool | None = None

    def __str__(self) -> str:
        return f"blocks after step {self.head_start}" if self._gains else "fused"

    def at(self, step: int, model: keras.Model, task: Task) -> Kernels:
        """Return the kernels that compute `step`, counted from 1."""
        if step <= self.head_start or self.then.batch_size is None:
            return self.first
        if self._gains is None:
            self._gains = gains(model, task)
        return self.then if self._gains else self.first


def gains(model: keras.Model, task: Task) -> bool:
    """Return whether `Blocks` are faster than `Fused`, for all that is known."""
    from trainer.kernels.substitution import substitution

    if not is_on_cpu(model.variables):
        return False
    try:
        instead = substitution(model)
    except UsageError:
        return False
    # Op determinism forbids the clock; what XLA does under it was not looked at.
    return is_plain(task) and clock_is_allowed() and instead.separable and not instead.wide


def is_plain(task: Task) -> bool:
    """Return whether a task's loss is plain classification; another may draw at random, or let images meet."""
    return type(task).forward is Classification.forward


def is_on_cpu(variables: Sequence[Any]) -> bool:
    """Return whether all Keras variables lie in a CPU's memory, for which the blocks were made."""
    return all("CPU" in variable.value.device for variable in variables)


def _together(parts: Sequence[Gradients]) -> Gradients:
    """Return what a whole batch gives from what its parts give, all of the same size."""
    import tensorflow as tf

    losses, outputs, gradients = zip(*parts, strict=True)
    means = [tf.add_n(each) / len(parts) for each in zip(*gradients, strict=True)]
    return tf.add_n(losses) / len(parts), tf.concat(outputs, 0), means


def select(name: str, batch_size: int | None) -> Kernels:
    """Return kernels by name.

    Args:
        name: `auto`, `keras`, `fused` or `blocks`.
        batch_size: Images in all batches but the last of an epoch; None if that is not known.

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
