"""The images of all contenders: as many as requested, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.data import load
from trainer.registry import data_sources

from .options import Options


@dataclass(frozen=True)
class Images:
    """Images on disk, uint8, in the .npz layout that `--data` accepts.

    Attributes:
        path: The file.
        name: Name of their source.
        classes: Number of classes.
        distinct: Number of different training images; the others repeat them.
    """

    path: Path
    name: str
    classes: int
    distinct: int

    @property
    def source(self) -> str:
        """The value of `--data` that gives the same images from any folder."""
        known = {entry.name for entry in data_sources.entries()}
        return self.name if self.name in known or not Path(self.name).exists() else str(Path(self.name).absolute())

    def sentence(self) -> str:
        """Return the note for a table."""
        return f"images: {self.name}, {self.distinct:,} distinct training images"


def prepare(options: Options, folder: Path, train: int, test: int = 128) -> Images:
    """Write `train` and `test` images of the requested data, repeating them if there are fewer.

    Raises:
        UsageError: If the data is unknown.
        DataError: If it cannot be read.
    """
    data = load(options.data, options.data_dir)
    path = folder / "images.npz"
    np.savez(
        path,
        x_train=_resized(np.asarray(data.train.images), train),
        y_train=_resized(data.train.labels, train),
        x_test=_resized(np.asarray(data.test.images), test),
        y_test=_resized(data.test.labels, test),
    )
    return Images(path, data.name, data.num_classes, min(train, len(data.train)))


def _resized(array: np.ndarray, count: int) -> np.ndarray:
    return np.resize(array, (count, *array.shape[1:]))
