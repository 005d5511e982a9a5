"""IDX files, the format of MNIST: one array of bytes per file, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainer.bounds.arrays import MOST_SHRUNK
from trainer.data.imageset import ImageSet, Source, validation_share
from trainer.data.sources.labels import as_labels, numbered_classes
from trainer.data.sources.memory import refuse_if_too_large
from trainer.errors import DataError

FILES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}
"""The four files by split and content; `train-images.idx3-ubyte` is accepted too, and `.gz` after any of them."""


def has_idx(folder: Path) -> bool:
    """Return True if the folder contains at least one of the four files."""
    return any(_find(folder, file) for file in FILES.values())


def load_idx(folder: Path, name: str = "", class_names: tuple[str, ...] = ()) -> Source:
    """Read a folder of IDX files; without the two `t10k` files the source has no test split.

    Args:
        folder: The folder of the files.
        name: Name of the source; default: the folder.
        class_names: One name per class; default: "0" to "K-1".

    Raises:
        DataError: If a file is missing or damaged, or the numbers of images and labels differ.
    """
    train = _read_split(folder, "train")
    if train is None:
        raise DataError(
            f"{folder}: {FILES['train', 'images']} and {FILES['train', 'labels']} are missing (plain or .gz)"
        )
    test = _read_split(folder, "test")
    names = class_names or numbered_classes(train.labels)
    return Source(name or str(folder), train, test, names, validation=validation_share(train, test))


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Read one file, decompressing it if its name ends in `.gz`.

    Returns:
        uint8 array with `axes` axes, not writable.

    Raises:
        DataError: If the file is not an IDX file of bytes with `axes` axes, is truncated, corrupt or too long, or needs
            more than half of the available memory.
    """
    try:
        length = path.stat().st_size
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            return _parse(stream, axes, path, length * MOST_SHRUNK if path.suffix == ".gz" else length)
    except EOFError as error:  # raised by gzip
        raise DataError(f"cannot read {path}: it is truncated; download the file again") from error
    except (OSError, ValueError, zlib.error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"cannot read {path}: {reason}; download the file again") from error


def _parse(stream: gzip.GzipFile | BinaryIO, axes: int, path: Path, most: int) -> np.ndarray:
    """Return the array in a stream that contains at most `most` bytes."""
    magic = bytes((0, 0, 8, axes))
    header = stream.read(4 + 4 * axes)
    if header[:4] != magic:
        found = header[:4].hex(" ") or "nothing"
        raise ValueError(f"it begins with {found} instead of {magic.hex(' ')}")
    if len(header) < 4 + 4 * axes:
        raise ValueError("its header is truncated")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
    size = math.prod(shape)
    if size == 0:
        raise ValueError(f"its header declares an empty array, {shape}")
    refuse_if_too_large(size, str(path))
    data = stream.read(min(size, most))  # read() allocates the requested size
    if len(data) < size:
        raise ValueError(f"truncated: its header declares {size} bytes, but it contains {len(data)}")
    if stream.read(1):  # also makes gzip verify its checksum
        raise ValueError(f"it contains more than the {size} bytes that its header declares")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_split(folder: Path, split: str) -> ImageSet | None:
    """Return one split; None if both of its files are missing."""
    paths = {content: _find(folder, FILES[split, content]) for content in ("images", "labels")}
    if not any(paths.values()):
        return None
    for content, path in paths.items():
        if path is None:
            raise DataError(f"{folder}: {FILES[split, content]} is missing (plain or .gz)")
    images, labels = (read_idx(path, axes) for path, axes in zip(paths.values(), (3, 1), strict=True) if path)
    if len(images) != len(labels):
        raise DataError(f"{paths['images']} has {len(images)} images, but {paths['labels']} has {len(labels)} labels")
    return ImageSet(images[..., np.newaxis], as_labels(labels))


def _find(folder: Path, file: str) -> Path | None:
    spellings = (file, file.replace("-idx", ".idx"))
    candidates = (folder / f"{spelling}{suffix}" for spelling in spellings for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)
