"""What an export format is, and what it is given to write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import UsageError
from trainer.runs.manifest import read_saved
from trainer.runs.provenance import versions

if TYPE_CHECKING:
    import keras

    from trainer.runs.trained import Trained

Classifier = Callable[[np.ndarray], np.ndarray]
"""From images, uint8 `[N, H, W, C]`, to probabilities, float32 `[N, K]`."""


@dataclass(frozen=True)
class Served:
    """A trained model with what a format must know of it.

    Attributes:
        model: From images, float32 `[N, H, W, C]` in [0, 1], to logits `[N, K]`.
        input_shape: Height, width and channels.
        class_names: One a class, in the order of the probabilities.
        temperature: What the logits are divided by for calibrated probabilities.
        examples: Real images, uint8 `[N, H, W, C]`, N at least 1: to try the export on, and to learn from which values
            its layers take.
        origin: Which run, checkpoint and data the model comes from, with a digest of its weights.
    """

    model: keras.Model
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    temperature: float
    examples: np.ndarray
    origin: Mapping[str, Any]

    @classmethod
    def of(cls, trained: Trained, examples: np.ndarray) -> Served:
        """Return what is exported of a trained model.

        Raises:
            UsageError: If its outputs are not one logit a class, so that they mean no probabilities.
        """
        names = tuple(trained.data["class_names"])
        if trained.model.output_shape != (None, len(names)):
            shape = trained.model.output_shape
            raise UsageError(f"{trained.path}: a model with outputs {shape} does not choose among {len(names)} classes")
        shape = tuple(trained.data["input_shape"])
        return cls(trained.model, shape, names, trained.temperature, examples, _origin(trained))

    def spec(self) -> dict[str, Any]:
        """Return what whoever uses the export must know, as JSON can hold it."""
        return {
            "input": {"dtype": "uint8", "shape": [None, *self.input_shape], "values": "pixels from 0 to 255"},
            "output": {"dtype": "float32", "shape": [None, len(self.class_names)], "values": "probabilities"},
            "class_names": list(self.class_names),
            "temperature": self.temperature,
            "origin": dict(self.origin),
            "versions": versions(),
        }


def _origin(trained: Trained) -> dict[str, Any]:
    counters = read_saved(trained.path).manifest.counters
    return {
        "run": trained.path.absolute().parents[1].name,
        "checkpoint": trained.path.name,
        "epoch": counters.epoch,
        "step": counters.step,
        "model": asdict(trained.config.model),
        "data": {"name": trained.data["name"], "digest": trained.data["digest"]},
        "weights_sha256": weights_digest(trained.model),
    }


def weights_digest(model: keras.Model) -> str:
    """Return the SHA-256 over shapes, dtypes and bytes of a model's variables."""
    sha = hashlib.sha256()
    for variable in model.variables:
        array = np.asarray(variable)
        sha.update(f"{array.dtype.str}{array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


@dataclass(frozen=True)
class Format:
    """A way to write a model, and to read it again without Inkwell's models.

    Attributes:
        write: Writes into a folder that is there and empty.
        read: Returns what was written as a function; anything may be raised.
        tolerance: How far a probability may be from that of the source; rounding of large logits takes 1e-5 of it.
        others: The share of the images that may get another class than by the source.
    """

    write: Callable[[Served, Path], None]
    read: Callable[[Path], Classifier]
    tolerance: float = 1e-4
    others: float = 0.0
