"""Where variables are made, how a training step is computed, and how replicas' results are put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from trainer.errors import UsageError
from trainer.run import logger
from trainer.tasks.task import Batch, Classification, Task

if TYPE_CHECKING:
    import keras

Gradients = tuple[Any, Any, list[Any]]
"""What a replica gives of a training batch: the loss, the outputs, the gradient of each trainable variable."""

PARTS = (4, 3, 2)
"""Parts of a batch that `Blocks` computes side by side, the first by which it can be divided; measured on two cores."""

HEAD_START = 2000
"""Steps before `Automatic` goes over to `Blocks`: tracing and compiling it takes 3 s, which longer runs earn back."""


class SingleDevice:
    """One replica on one device: nothing is split, nothing needs to be summed.

    A strategy for several devices offers the same, each over `tf.distribute`.

    Attributes:
        head_start: Steps after which `at` gives another strategy; 0: it never does.
    """

    head_start = 0

    def __str__(self) -> str:
        return "keras"

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which model, optimizer and metrics make their variables."""
        return nullcontext()

    def at(self, step: int, model: keras.Model, task: Task) -> SingleDevice:
        """Return the strategy by which `step`, counted from 1, is computed."""
        return self

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` once for each replica; it sees one replica's share of a batch."""
        return function(*args)

    def run_training(self, function: Callable[[Batch], Gradients], batch: Batch, model: keras.Model, task: Task) -> Any:
        """Call `function`, the forward and backward pass of `model`, as `run` does; called while a step is traced."""
        return self.run(function, batch)

    def mean_gradients(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of the whole batch from those of the replicas."""
        return gradients

    def apply(self, optimizer: keras.optimizers.Optimizer, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """Have the optimizer update the variables; called while a step is traced."""
        optimizer.apply(gradients, variables)


class Fused(SingleDevice):
    """`SingleDevice` with one operation where Keras has many, the same to rounding.

    That holds for batch normalisation (`kernels.normalisation`) and for Adam's update of a variable (`kernels.adam`).
    """

    def __str__(self) -> str:
        return "fused"

    def run_training(self, function: Callable[[Batch], Gradients], batch: Batch, model: keras.Model, task: Task) -> Any:
        """Call `function` while the model's batch normalisations are substituted."""
        from trainer.kernels.normalisation import fused_normalisations
        from trainer.kernels.substitution import substituted

        with substituted(fused_normalisations(model)):
            return self.run(function, batch)

    def apply(self, optimizer: keras.optimizers.Optimizer, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """Have the optimizer update the variables, Adam each by one operation."""
        from trainer.kernels.adam import fused_adam

        with fused_adam(optimizer):
            optimizer.apply(gradients, variables)


class Blocks(Fused):
    """One CPU, training compiled by XLA with convolutions and pooling as products of matrices (`kernels.convolution`).

    The same numbers to rounding, faster for narrow convolutions. The model stays as it is: its layers compute other
    operations only while the training step is traced. If every layer treats each image by itself, parts of a batch are
    computed side by side.

    Args:
        batch_size: Images in all batches but an epoch's last, which is computed as `SingleDevice` does rather than
            compiled for itself, for seconds. None: each size that occurs is compiled when it first does, as a whole.
    """

    def __init__(self, batch_size: int | None = None) -> None:
        self.batch_size = batch_size

    def __str__(self) -> str:
        return "blocks"

    def run_training(self, function: Callable[[Batch], Gradients], batch: Batch, model: keras.Model, task: Task) -> Any:
        """Call `function` on the parts of the batch while the model's convolutions are substituted.

        Raises:
            UsageError: If a layer of the model or the task is none that this is made for.
        """
        import tensorflow as tf

        from trainer.kernels.substitution import substituted, substitution

        if type(task).forward is not Classification.forward:  # it may draw at random, or let images meet
            raise UsageError(f"kernels 'blocks' is made for classification, not for the task {type(task).__name__}")
        instead = substitution(model)
        for name in instead.wide:
            logger.warning("layer %r is so wide that kernels 'blocks' makes training slower; leave it out", name)
        compiled = tf.function(function, jit_compile=True, autograph=False)
        size = batch[0].shape[0] or self.batch_size
        if size is None:
            with substituted(instead.calls):
                return compiled(batch)
        parts = next((n for n in PARTS if size % n == 0), 1) if instead.separable else 1

        def in_parts() -> Gradients:
            # No tf.ensure_shape: Grappler takes what it promises for true of the other branch's batches as well.
            shares = zip(*(tf.split(tensor, parts) for tensor in batch), strict=True)
            with substituted(instead.calls):
                return _together([compiled(share) for share in shares])

        return tf.cond(tf.equal(tf.shape(batch[0])[0], size), in_parts, lambda: function(batch))


class Automatic(SingleDevice):
    """`Fused` at first; then, if a model is of the kind for which that was measured to be faster, `Blocks`.

    Training begins at once. How a step is computed depends on its number and the model alone, so that a run gives the
    same bits, interrupted or not.

    Args:
        batch_size: Images in all batches but an epoch's last.
        head_start: Steps before it changes.
    """

    def __init__(self, batch_size: int, head_start: int = HEAD_START) -> None:
        self.first, self.then = Fused(), Blocks(batch_size)
        self.head_start = head_start
        self._gains: bool | None = None

    def __str__(self) -> str:
        return f"blocks after step {self.head_start}" if self._gains else "fused"

    def at(self, step: int, model: keras.Model, task: Task) -> SingleDevice:
        """Return the strategy by which `step`, counted from 1, is computed."""
        if step <= self.head_start:
            return self.first
        if self._gains is None:
            self._gains = _gains(model, task)
        return self.then if self._gains else self.first


def _gains(model: keras.Model, task: Task) -> bool:
    """Return whether `Blocks` is faster, for all that is known."""
    from trainer.engine.step import clock_is_allowed
    from trainer.kernels.substitution import substitution

    try:
        instead = substitution(model)
    except UsageError:
        return False
    # Op determinism forbids the clock; what XLA does under it was not looked at.
    plain = type(task).forward is Classification.forward and clock_is_allowed()
    return plain and instead.separable and not instead.wide


def _together(parts: Sequence[Gradients]) -> Gradients:
    """Return what a whole batch gives from what its parts give, all of the same size."""
    import tensorflow as tf

    losses, outputs, gradients = zip(*parts, strict=True)
    means = [tf.add_n(each) / len(parts) for each in zip(*gradients, strict=True)]
    return tf.add_n(losses) / len(parts), tf.concat(outputs, 0), means


def strategy_of(name: str, batch_size: int) -> SingleDevice:
    """Return the strategy that a configuration names, for batches of a size."""
    if name == "auto":
        return Automatic(batch_size)
    return {"keras": SingleDevice(), "fused": Fused(), "blocks": Blocks(batch_size)}[name]
