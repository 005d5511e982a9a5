"""The shapes of inputs: those that a model cannot take are refused, with the cure where it is known."""

from __future__ import annotations

import math
from typing import Any

import optree

from trainer.data.batch import Batch
from trainer.data.rows import named_leaves
from trainer.data.structure import Signature
from trainer.errors import UsageError

Shape = tuple[int | None, ...]


def check_shapes(model: Any, spec: Batch, verb: str = "train") -> None:
    """Refuse inputs whose shapes are not those that a model takes.

    Args:
        model: Any model, or a dict of models; without a graph, nothing is known about its inputs.
        spec: `tf.TensorSpec` of a batch, arranged for the model.
        verb: What cannot be done otherwise.

    Raises:
        UsageError: If a shape differs.
    """
    signature = Signature.of(model)
    if signature is None:
        return
    found = named_leaves((spec[0],))
    wanted = optree.tree_leaves(signature.inputs.tree)
    if len(found) != len(wanted):  # the task arranges them in its own way
        return
    for (name, leaf), want in zip(found.items(), wanted, strict=True):
        if leaf.shape.rank is not None and not _alike(tuple(leaf.shape), tuple(want.shape)):
            raise UsageError(f"cannot {verb}: {_problem(name, tuple(leaf.shape), tuple(want.shape))}")


def _problem(name: str, have: Shape, want: Shape) -> str:
    """Return what is wrong with a shape, and what to do."""
    if None not in have and _alike((None, *have), want):
        return f"{name} is a single row {have}, not a batch of them; call .batch(128) on the dataset"
    what = "images" if len(want) == 4 else name
    return f"the model takes {what} of shape {want[1:]}, the data have {have[1:]}{_cure(name, have[1:], want[1:])}"


def _cure(name: str, have: Shape, want: Shape) -> str:
    """Return the operation that brings rows into the wanted shape, as far as one is likely."""
    sides = [side for side in (*have, *want) if side is not None]
    if len(sides) < len(have) + len(want):
        return ""
    if have == want[:-1] and want[-1] == 1:
        return f"; add the channel: {name}[..., None]"
    if len(have) == 3 and (*have[1:], have[0]) == want:
        return f"; move the channels to the end: {name}.transpose(0, 2, 3, 1)"
    if 1 in (len(have), len(want)) and math.prod(sides[: len(have)]) == math.prod(sides[len(have) :]):
        return f"; {name}.reshape(-1, {', '.join(map(str, want))})"
    return ""


def _alike(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(None in (a, b) or a == b for a, b in zip(one, other, strict=True))
