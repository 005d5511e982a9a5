"""The contract of an export format, and the trained model that it writes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.display.shown import Shown
from trainer.runs.manifest import read_saved
from trainer.runs.provenance import versions
from trainer.text import in_line

if TYPE_CHECKING:
    import keras

    from trainer.runs.trained import Trained

Classifier = Callable[[np.ndarray], np.ndarray]
"""A function from images, uint8 `[N, H, W, C]`, to probabilities, float32 `[N, K]`."""


@dataclass(frozen=True, repr=False)
class Served(Shown):
    """A trained model with everything that a format needs to export it.

    Attributes:
        model: A classifier of images, float32 `[N, H, W, C]` in [0, 1].
        input_shape: Height, width and channels.
        class_names: One name per class, in the order of the probabilities.
        temperature: Divisor of the logits for calibrated probabilities.
        examples: Real images, uint8 `[N, H, W, C]`, N at least 1, for trying out and quantising the model.
        origin: The run, checkpoint and data that the model comes from, and a digest of its weights.
    """

    model: keras.Model
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    temperature: float
    examples: np.ndarray
    origin: Mapping[str, Any]

    def _line(self) -> str:
        return f"{in_line(self.model.name)}, {len(self.class_names)} classes, {len(self.examples)} examples"

    @classmethod
    def of(cls, trained: Trained, examples: np.ndarray) -> Served:
        """Return the exportable form of a trained model.

        Raises:
            UsageError: If it does not classify images, and so has no probabilities.
        """
        trained.check_classifies("export")
        names, shape = tuple(trained.data["class_names"]), tuple(trained.data["input_shape"])
        return cls(trained.model, shape, names, trained.temperature, examples, _origin(trained))

    def spec(self) -> dict[str, Any]:
        """Return the information that users of the export need, ready for JSON."""
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
    """Return the SHA-256 of the shapes, dtypes and bytes of a model's variables."""
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
        write: Writes the model into an existing, empty folder.
        read: Returns the written model as a function; may raise anything.
        tolerance: Largest allowed difference of a probability; the rounding of large logits accounts for 1e-5.
        others: Largest allowed share of images that get another class than from the source.
    """

    write: Callable[[Served, Path], None]
    read: Callable[[Path], Classifier]
    tolerance: float = 1e-4
    others: float = 0.0
