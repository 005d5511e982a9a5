"""An HDF5 file with data sets of images and labels, at its root or in groups such as `train` and `test`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from trainer.bounds.arrays import MOST_SHRUNK
from trainer.data.imageset import Source
from trainer.data.sources.arrays import Stored, source_of
from trainer.data.sources.reading import readable
from trainer.text import in_bytes, in_line

MAX_DEPTH = 8
MAX_ITEMS = 10_000
"""Largest number of groups and data sets of a file."""


def load_hdf5(path: Path) -> Source:
    """Read images and labels; see `trainer.data.sources.arrays` for their names and forms.

    Links are not followed, data in other files are not read, and no memory is allocated for data that the file cannot
    contain.

    Raises:
        DataError: If the file is damaged, or an array is missing or has the wrong shape, dtype, range or length.
    """
    return load_numbers(path, "HDF5", np.asarray)


def load_numbers(path: Path, kind: str, turn: Callable[[np.ndarray], np.ndarray]) -> Source:
    """Read the data sets of a file as arrays, each of them changed by `turn`."""

    def stored(item: h5py.Dataset) -> Stored:
        def read() -> np.ndarray:
            with readable(path, kind):
                _refuse_if_forged(item)
                return turn(item[()])

        return Stored(math.prod(item.shape) * item.dtype.itemsize, read)

    with readable(path, kind), h5py.File(path, "r") as file:
        return source_of(str(path), {name: stored(item) for name, item in _datasets(file)})


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the arrays of numbers that are not behind links, with their paths.

    Raises:
        ValueError: If there are too many groups and data sets, or too many levels.
    """
    groups: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    count = 0
    for prefix, group, depth in groups:
        for name in group:
            if (count := count + 1) > MAX_ITEMS:
                raise ValueError(f"it has more than {MAX_ITEMS:,} groups and data sets")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            if isinstance(item, h5py.Group) and not name.startswith("#"):  # MATLAB keeps its internals there
                if depth == MAX_DEPTH:  # reached by a circle of links too
                    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
                groups.append((f"{prefix}{name}/", item, depth + 1))
            elif isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "biuf":
                yield prefix + name, item


def _refuse_if_forged(item: h5py.Dataset) -> None:
    """Refuse a data set with data in another file, or larger than what is stored of it can be."""
    if item.is_virtual or item.external:
        raise ValueError(f"{in_line(item.name)} stores its data in another file; copy them into this one")
    declared, stored = math.prod(item.shape) * item.dtype.itemsize, item.id.get_storage_size()
    if declared > stored * MOST_SHRUNK:
        raise ValueError(f"{in_line(item.name)} declares {in_bytes(declared)} but stores {in_bytes(stored)}")
