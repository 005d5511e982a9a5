"""Strategies, which place variables and combine replicas; kernels decide how each replica computes its step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


class Strategy:
    """One replica on one device: no batch is split and no gradient summed.

    A strategy for several devices would provide the same methods on top of `tf.distribute`.
    """

    def __str__(self) -> str:
        return "single"

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which model, optimizer and metrics create their variables."""
        return nullcontext()

    def replicated(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls `function` once per replica, each time with the replica's share of a batch."""
        return function

    def updating(self, optimizer: keras.optimizers.Optimizer) -> AbstractContextManager[None]:
        """Return the context in which to trace an optimizer that applies the result of `mean_gradients`."""
        from trainer.kernels.keras_private import without_all_reduce

        return without_all_reduce(optimizer)

    def mean_gradients(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of the whole batch from those of the replicas."""
        return gradients
