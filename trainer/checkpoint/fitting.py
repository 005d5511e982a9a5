"""Restoring variables from a checkpoint, after checking that they match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.checkpoint.content import Checkpoint, describe
from trainer.errors import CheckpointError
from trainer.text import in_line


def restore(checkpoint: Checkpoint, variables: Sequence[Any], first: int = 0) -> None:
    """Assign a checkpoint's arrays to `variables`, which may be fewer.

    Args:
        checkpoint: A verified checkpoint.
        variables: Keras variables in checkpoint order.
        first: Position of the array of the first variable, 0-based.

    Raises:
        CheckpointError: If the checkpoint does not match; nothing has been assigned then.
    """
    check_fits(checkpoint, variables, first)
    for variable, array in zip(variables, checkpoint.arrays[first:], strict=False):
        variable.assign(array)


def check_fits(checkpoint: Checkpoint, variables: Sequence[Any], first: int = 0) -> None:
    """Check that `variables` match a checkpoint's arrays in name, shape and dtype; arguments are those of `restore`.

    Raises:
        CheckpointError: If they differ; the message names the first variable that does.
    """
    saved = checkpoint.manifest["variables"][first:]
    for want, have in zip(describe(variables), saved, strict=False):
        if want != have:
            raise CheckpointError(
                f"checkpoint {checkpoint.path} does not fit the model: it has {_spec(have)} instead of {_spec(want)}"
            )
    if len(variables) > len(saved):
        raise CheckpointError(
            f"checkpoint {checkpoint.path} does not fit the model: it has {len(saved)} variables instead of "
            f"{len(variables)}"
        )


def is_finite(checkpoint: Checkpoint) -> bool:
    """Return True if all numbers of a checkpoint are finite."""
    import numpy as np

    return all(bool(np.isfinite(array).all()) for array in checkpoint.arrays)


def _spec(variable: Mapping[str, Any]) -> str:
    return f"{in_line(variable['name'])} {in_line(variable['dtype'])}{in_line(variable['shape'])}"
