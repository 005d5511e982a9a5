"""The images that all contenders get: as many as asked for, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.data import load
from trainer.registry import data_sources

from .options import Options


@dataclass(frozen=True)
class Images:
    """Images on the disk, uint8, in the .npz form that `--data` takes.

    Attributes:
        path: The file.
        name: Where they come from.
        classes: Number of classes.
        distinct: How many different training images there are; the others repeat them.
    """

    path: Path
    name: str
    classes: int
    distinct: int

    @property
    def source(self) -> str:
        """What `--data` has to say in any folder to get the same."""
        known = {entry.name for entry in data_sources.entries()}
        return self.name if self.name in known or not Path(self.name).exists() else str(Path(self.name).absolute())

    def sentence(self) -> str:
        """Return what to say below a table."""
        return f"images: {self.name}, {self.distinct:,} different ones to train on"


def prepare(options: Options, folder: Path, train: int, test: int = 128) -> Images:
    """Write `train` and `test` images of the data asked for; fewer are repeated.

    Raises:
        UsageError: If the data are unknown.
        DataError: If they cannot be read.
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
