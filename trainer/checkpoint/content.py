"""The content of a checkpoint: its files, and the snapshot of a run that they store."""

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

LAYOUT = 4
"""Version of the layout of checkpoints and run directories, recorded in both; raise it with every change.

Runs of Inkwell 0.1 record no layout, which means layout 1.
"""
STATE, MANIFEST, SUMS = "state.npz", "manifest.json", "SHA256SUMS"
LIMITS = {STATE: 4 * 2**30, MANIFEST: 16 * 2**20, SUMS: 1024}
"""The files of a checkpoint and their size limits in bytes; a longer file is forged, and is not read into memory."""


@dataclass(frozen=True, repr=False)
class Checkpoint(Shown):
    """A verified checkpoint in memory.

    Attributes:
        path: The checkpoint's directory.
        manifest: The content of `manifest.json`.
        arrays: The variables by position: models, optimizers, metrics of the epoch in progress, the task's own.
    """

    path: Path
    manifest: Mapping[str, Any]
    arrays: Sequence[np.ndarray]

    def _line(self) -> str:
        size = in_bytes(sum(array.nbytes for array in self.arrays))
        return f"{in_line(self.path)}: {count(len(self.arrays), 'variable')}, {size}"


@dataclass(frozen=True, repr=False)
class Snapshot(Shown):
    """The content of a checkpoint at one moment, which a worker can write while training continues.

    Attributes:
        name: Name of the checkpoint's directory.
        arrays: Immutable values of the variables: NumPy arrays or tensors.
        manifest: The content of `manifest.json`.
    """

    name: str
    arrays: Sequence[Any]
    manifest: Mapping[str, Any]

    def _line(self) -> str:
        return f"{in_line(self.name)}: {count(len(self.arrays), 'variable')}"


class Named:
    """A variable of one of several models, with whose name its own begins in checkpoints.

    Args:
        model: Name of the model; empty if there is only one.
        variable: A Keras variable.
    """

    def __init__(self, model: str, variable: Any) -> None:
        self.model, self.variable = model, variable

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.variable, attribute)

    def __array__(self, *arguments: Any, **options: Any) -> np.ndarray:
        return self.variable.__array__(*arguments, **options)


def snapshot(name: str, variables: Sequence[Any], manifest: Mapping[str, Any]) -> Snapshot:
    """Take a snapshot of a run as fast as possible, since training waits for it.

    Args:
        name: Name of the checkpoint's directory.
        variables: Keras variables: models, optimizers, metrics of the epoch in progress, the task's own.
        manifest: Everything else to save, representable as JSON; must not change afterwards.
    """
    written = {"layout": LAYOUT, **manifest, "variables": describe(variables)}
    return Snapshot(name, [_value(variable) for variable in variables], written)


def describe(variables: Sequence[Any]) -> list[dict[str, Any]]:
    """Return name, shape and dtype of each variable; see `name_of`."""
    return [
        {"name": name_of(variable), "shape": list(variable.shape), "dtype": str(variable.dtype)}
        for variable in variables
    ]


def name_of(variable: Any) -> str:
    """Return the name of a variable in checkpoints: that of its model, if there are several, its layer and its own.

    Models around the layer are left out, since Keras names a model that is rebuilt from its config differently, and so
    are the counters that it appends to the names of layers.
    """
    layer_and_own = variable.path.split("/")[-2:]
    return without_counters("/".join([*filter(None, [getattr(variable, "model", "")]), *layer_and_own]))


def without_counters(path: str) -> str:
    """Return the path of a variable without the counters that Keras appends to layer names."""
    return re.sub(r"_\d+(?=[/_]|$)", "", path)


def _value(variable: Any) -> Any:
    """Return the current value of a variable.

    TensorFlow copies a variable on write as long as a value that was read is still referenced, so no copy is made here.
    """
    import numpy as np

    read = getattr(variable.value, "read_value", None)
    return read() if read is not None else np.asarray(variable).copy()
