"""Whether a checkpoint can be taken up by a model's variables, and taking it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.checkpoint.content import Checkpoint, describe
from trainer.errors import CheckpointError
from trainer.text import in_line


def restore(checkpoint: Checkpoint, variables: Sequence[Any]) -> None:
    """Assign a checkpoint's arrays to `variables`; fewer of them (the model's alone) take the first arrays.

    Raises:
        CheckpointError: If the checkpoint does not fit; nothing was assigned then.
    """
    check_fits(checkpoint, variables)
    for variable, array in zip(variables, checkpoint.arrays, strict=False):
        variable.assign(array)


def check_fits(checkpoint: Checkpoint, variables: Sequence[Any]) -> None:
    """Compare names, shapes and dtypes of a checkpoint's arrays with `variables`, or the first of them with fewer.

    Raises:
        CheckpointError: If they differ; the message names the first variable that does.
    """
    saved = checkpoint.manifest["variables"]
    for want, have in zip(describe(variables), saved, strict=False):
        if want != have:
            raise CheckpointError(
                f"checkpoint {checkpoint.path} does not fit: it has {_say(have)}, the model needs {_say(want)}"
            )
    if len(variables) > len(saved):
        raise CheckpointError(f"checkpoint {checkpoint.path} has {len(saved)} variables, {len(variables)} are needed")


def is_finite(checkpoint: Checkpoint) -> bool:
    """Return whether no number of a checkpoint is NaN or infinite."""
    import numpy as np

    return all(bool(np.isfinite(array).all()) for array in checkpoint.arrays)


def _say(variable: Mapping[str, Any]) -> str:
    return f"{in_line(variable['name'])} {in_line(variable['dtype'])}{in_line(variable['shape'])}"
