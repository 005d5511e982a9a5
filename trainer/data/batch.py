"""Batches and the words for their parts; this file imports neither NumPy nor TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Tree = Any
"""One array, tensor or spec, or a tuple, list or dict of trees."""

Batch = tuple[Tree, ...]
"""Inputs, and optionally labels and sample weights: `(x,)`, `(x, y)` or `(x, y, sample_weight)`."""

PARTS = ("x", "y", "sample_weight")
"""Names of the parts of a batch."""

Arrange = Callable[[Batch], Batch]
"""Rearrangement of a batch, of tensors, arrays or specs alike: it moves leaves and changes no value."""

Fitting = Callable[[Any], Arrange]
"""Function that returns how batches of a given spec are brought into the structure that a task expects."""


def as_it_is(batch: Batch) -> Batch:
    """Return a batch unchanged."""
    return batch


def described(tree: Tree) -> str:
    """Return a tree of specs or arrays as text: `{left: float32 [N, 28, 28, 1], right: …}`."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key}: {described(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list | tuple):
        return "(" + ", ".join(map(described, tree)) + ")"
    sides = ", ".join("?" if side is None else str(side) for side in tuple(tree.shape)[1:])
    dtype = getattr(tree.dtype, "name", None) or str(tree.dtype)
    return f"{dtype} [N{', ' if sides else ''}{sides}]"
