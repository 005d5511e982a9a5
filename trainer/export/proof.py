"""The proof of an export: read again, it gives the probabilities of its source."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.errors import InkwellError
from trainer.evaluation import log_softmax
from trainer.export import formats

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Proof:
    """How an export compares with its source.

    Attributes:
        data: What the images are.
        images: How many.
        largest_difference: The largest difference of two probabilities.
        other_classes: For how many images the most probable class is another.
        tolerance: How large `largest_difference` may be.
    """

    data: str
    images: int
    largest_difference: float
    other_classes: int
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the export may be called one."""
        return self.largest_difference <= self.tolerance and not self.other_classes

    def __str__(self) -> str:
        classes = f"another class for {self.other_classes:,}" if self.other_classes else "the same classes"
        return f"{self.images:,} images ({self.data}): {classes}, largest difference {self.largest_difference:.1e}"


def source_probabilities(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return what the model says of images, uint8 `[N, H, W, C]`, by the trainer: float64 `[N, K]`."""
    from trainer.trainer import Trainer

    return np.exp(log_softmax(Trainer(model).predict(images)))


def compare(data: str, source: np.ndarray, exported: np.ndarray, tolerance: float) -> Proof:
    """Return how probabilities compare, both `[N, K]`; those of the export must be float32.

    Raises:
        InkwellError: If the export returns something else.
    """
    if exported.shape != source.shape or exported.dtype != np.float32:
        found, expected = f"{exported.dtype} {list(exported.shape)}", f"float32 {list(source.shape)}"
        raise InkwellError(f"the export returns {found}, not {expected}")
    largest = float(np.max(np.nan_to_num(np.abs(exported - source), nan=np.inf)))
    others = int((exported.argmax(axis=1) != source.argmax(axis=1)).sum())
    return Proof(data, len(source), largest, others, tolerance)


def read_afresh(name: str, folder: Path, images: np.ndarray) -> np.ndarray:
    """Return what an export in the format `name` says of images, in a process that knows nothing of the source.

    Raises:
        InkwellError: If it cannot be read or used there; says why.
    """
    with tempfile.TemporaryDirectory(prefix="inkwell-") as scratch:
        asked, answered = Path(scratch) / "images.npy", Path(scratch) / "probabilities.npy"
        np.save(asked, images)
        command = [sys.executable, "-m", "trainer.export.proof", name, folder, asked, answered]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise InkwellError(f"the export cannot be used in a fresh process: {lines[-1]}")
        return np.load(answered)


def _answer(name: str, folder: str, asked: str, answered: str) -> None:
    """Do what `read_afresh` asks for."""
    np.save(answered, formats.resolve(name).read(Path(folder))(np.load(asked)))


if __name__ == "__main__":
    _answer(*sys.argv[1:])
