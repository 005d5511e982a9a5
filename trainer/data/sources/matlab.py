"""A `.mat` file of MATLAB, such as the images of house numbers (SVHN), whose last axis counts the images."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainer.data.imageset import ImageSet, Source
from trainer.data.sources.arrays import Stored, source_of
from trainer.data.sources.hdf5 import load_numbers
from trainer.data.sources.labels import numbered_classes
from trainer.data.sources.memory import refuse_if_too_large
from trainer.data.sources.reading import readable

KIND = ".mat"
BYTES = {
    **{"double": 8, "single": 4, "logical": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2},
    **{"int32": 4, "uint32": 4, "int64": 8, "uint64": 8},
}
"""Bytes per value by MATLAB's class; cells, structures, texts and objects are not read."""
HEADER = 128
COMPRESSED = 15
CHUNK = 2**20

SVHN = {"X", "y"}
"""The arrays of the files of SVHN (http://ufldl.stanford.edu/housenumbers), whose label 10 stands for the digit 0."""


def load_mat(path: Path) -> Source:
    """Read images and labels of any version of the format; see `trainer.data.sources.arrays` for names and forms.

    Raises:
        DataError: If the file is damaged, or an array is missing or has the wrong shape, dtype, range or length.
    """
    from scipy.io import matlab, whosmat

    with readable(path, KIND):
        major, _ = matlab.matfile_version(path, appendmat=False)
        if major == 2:  # HDF5, with all axes in reverse order
            return load_numbers(path, KIND, np.transpose)
        with path.open("rb") as file:
            if major == 1:
                _refuse_if_too_large(file, path)
            file.seek(0)
            sizes = {name: math.prod(shape) * BYTES[kind] for name, shape, kind in whosmat(file) if kind in BYTES}
            source = source_of(str(path), _stored(path, file, sizes))
    return _as_digits(source) if set(sizes) == SVHN else source


def _stored(path: Path, file: BinaryIO, sizes: Mapping[str, int]) -> dict[str, Stored]:
    def read(name: str) -> np.ndarray:
        from scipy.io import loadmat

        with readable(path, KIND):
            file.seek(0)
            return loadmat(file, variable_names=[name])[name]

    return {name: Stored(size, partial(read, name)) for name, size in sizes.items()}


def _refuse_if_too_large(file: BinaryIO, path: Path) -> None:
    """Refuse a file that needs too much memory once it is decompressed; SciPy believes what the file declares.

    The format is described in "MAT-File Format", MathWorks 2019.
    """
    order = "little" if file.read(HEADER)[-2:] == b"IM" else "big"
    total = 0
    while len(tag := file.read(8)) == 8:
        kind, length = (int.from_bytes(part, order) for part in (tag[:4], tag[4:]))  # type: ignore[arg-type]
        if kind != COMPRESSED:
            total += length
            file.seek(length, 1)
            continue
        inflate, left = zlib.decompressobj(), length
        while left > 0 and (chunk := file.read(min(left, CHUNK))):
            left -= len(chunk)
            while chunk:
                total += len(inflate.decompress(chunk, CHUNK))
                chunk = inflate.unconsumed_tail
                refuse_if_too_large(total, str(path))


def _as_digits(source: Source) -> Source:
    """Return a source with the label 0 in place of 10, if its labels are 1 to 10."""
    if set(np.unique(source.train.labels)) != {*range(1, 11)}:
        return source
    train = ImageSet(source.train.images, source.train.labels % 10)
    notice = f"{source.name}: label 10 is read as the digit 0, as in SVHN"
    return replace(source, train=train, class_names=numbered_classes(train.labels), notices=(*source.notices, notice))
