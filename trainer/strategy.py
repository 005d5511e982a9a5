"""Where variables are made and how replicas' results are put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class SingleDevice:
    """One replica on one device: nothing is split, nothing needs to be summed.

    A strategy for several devices offers the same three, each over `tf.distribute`.
    """

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which model, optimizer and metrics make their variables."""
        return nullcontext()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` once for each replica; it sees one replica's share of a batch."""
        return function(*args)

    def mean_gradients(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of the whole batch from those of the replicas."""
        return gradients
