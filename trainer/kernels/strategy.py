"""Where variables live and how replicas meet; how each replica computes its step is the kernels' business."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


class Strategy:
    """One replica on one device: nothing is split, nothing needs to be summed.

    A strategy for several devices offers the same methods, each over `tf.distribute`.
    """

    def __str__(self) -> str:
        return "single"

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which model, optimizer and metrics make their variables."""
        return nullcontext()

    def replicated(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what calls `function` once per replica, each with its share of a batch."""
        return function

    def updating(self, optimizer: keras.optimizers.Optimizer) -> AbstractContextManager[None]:
        """Return the context in which an optimizer is traced that applies the gradients of `mean_gradients`."""
        from trainer.kernels.keras_private import without_all_reduce

        return without_all_reduce(optimizer)

    def mean_gradients(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of the whole batch from those of the replicas."""
        return gradients
