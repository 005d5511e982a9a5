"""What a checkpoint is: its files, what they hold, and taking that from a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.display.shown import Shown
from trainer.text import count, in_bytes, in_line

if TYPE_CHECKING:
    import numpy as np

LAYOUT = 3
"""The layout of a checkpoint and of a run directory, noted in both; every change of it raises the number.

Inkwell 0.1 noted none in its runs: that is layout 1.
"""
STATE, MANIFEST, SUMS = "state.npz", "manifest.json", "SHA256SUMS"
LIMITS = {STATE: 4 * 2**30, MANIFEST: 16 * 2**20, SUMS: 1024}
"""The files of a checkpoint and their limits in bytes: what is longer is forged, and is not read into memory."""


@dataclass(frozen=True, repr=False)
class Checkpoint(Shown):
    """A verified checkpoint in memory.

    Attributes:
        path: Its directory.
        manifest: What `manifest.json` says.
        arrays: The variables by position: model, optimizer, metrics of the epoch in progress.
    """

    path: Path
    manifest: Mapping[str, Any]
    arrays: Sequence[np.ndarray]

    def _line(self) -> str:
        size = in_bytes(sum(array.nbytes for array in self.arrays))
        return f"{in_line(self.path)}: {count(len(self.arrays), 'variable')}, {size}"


@dataclass(frozen=True, repr=False)
class Snapshot(Shown):
    """The content of a checkpoint, taken at one moment; a worker can write it while training continues.

    Attributes:
        name: Name of the checkpoint's directory.
        arrays: Values of the variables, which nobody changes any more: NumPy arrays or tensors.
        manifest: The content of `manifest.json`.
    """

    name: str
    arrays: Sequence[Any]
    manifest: Mapping[str, Any]

    def _line(self) -> str:
        return f"{in_line(self.name)}: {count(len(self.arrays), 'variable')}"


def snapshot(name: str, variables: Sequence[Any], manifest: Mapping[str, Any]) -> Snapshot:
    """Take the state of a run, as quickly as can be, since training waits for it.

    Args:
        name: Name of the checkpoint's directory.
        variables: Keras variables: model, optimizer, metrics of the epoch in progress.
        manifest: What else to keep, as JSON can hold it; must not change afterwards.
    """
    written = {"layout": LAYOUT, **manifest, "variables": describe(variables)}
    return Snapshot(name, [_value(variable) for variable in variables], written)


def describe(variables: Sequence[Any]) -> list[dict[str, Any]]:
    """Return name, shape and dtype of each variable; names are free of the counters that Keras appends to layers."""
    return [
        {
            "name": re.sub(r"_\d+(?=[/_]|$)", "", variable.path),
            "shape": list(variable.shape),
            "dtype": str(variable.dtype),
        }
        for variable in variables
    ]


def _value(variable: Any) -> Any:
    """Return the value of a variable as it is now.

    TensorFlow copies a variable when it is written to while somebody holds what was read, so that nobody else has to.
    """
    import numpy as np

    read = getattr(variable.value, "read_value", None)
    return read() if read is not None else np.asarray(variable).copy()
