"""An `.npz` file with `x_train`, `y_train` and, for a test split, `x_test` and `y_test`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.bounds.arrays import UNREADABLE, open_archive, read_array
from trainer.data.imageset import ImageSet, Source, validation_share
from trainer.data.sources.labels import as_labels, numbered_classes
from trainer.data.sources.memory import refuse_if_too_large
from trainer.errors import DataError
from trainer.text import first_line


def load_npz(path: Path) -> Source:
    """Read images, integers from 0 to 255, `[N, H, W]` or `[N, H, W, C]`, and labels, `[N]` or `[N, 1]`.

    Untrusted files are safe to read: nothing is unpickled, and no memory is allocated for data that the file cannot
    contain. The limits are those of `trainer.bounds.arrays`, and half of the available memory.

    Raises:
        DataError: If the file is damaged, or an array is missing or has the wrong shape, dtype, range or length.
    """
    arrays = _read_arrays(path)
    train = _split(path, arrays, "train")
    if train is None:
        found = ", ".join(arrays) or "nothing"
        raise DataError(f"{path}: x_train and y_train are missing (found: {found})")
    test = _split(path, arrays, "test")
    return Source(str(path), train, test, numbered_classes(train.labels), validation=validation_share(train, test))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    wanted = [f"{axis}_{split}" for split in ("train", "test") for axis in "xy"]
    try:
        with path.open("rb") as file, open_archive(file) as archive:
            members = {member.filename: member for member in archive.infolist()}
            if foreign := [name for name in wanted if name in members]:
                raise ValueError(f"{foreign[0]} is not an array")
            sizes = {name: members[f"{name}.npy"].file_size for name in wanted if f"{name}.npy" in members}
            refuse_if_too_large(sum(sizes.values()), str(path))
            arrays = {}
            for name, size in sizes.items():
                with archive.open(members[f"{name}.npy"]) as stream:
                    arrays[name] = read_array(stream, size)
            return arrays
    except UNREADABLE as error:
        raise DataError(f"cannot read {path} as .npz: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or first_line(error)


def _split(path: Path, arrays: dict[str, np.ndarray], split: str) -> ImageSet | None:
    """Return one split; None if both of its arrays are missing."""
    x, y = f"x_{split}", f"y_{split}"
    missing = [name for name in (x, y) if name not in arrays]
    if len(missing) == 2:
        return None
    if missing:
        raise DataError(f"{path}: {missing[0]} is missing")
    try:
        images, labels = _images(arrays[x], x), _labels(arrays[y], y)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if len(images) != len(labels):
        raise DataError(f"{path}: {x} has {len(images)} images, but {y} has {len(labels)} labels")
    return ImageSet(images, labels)


def _images(values: np.ndarray, name: str) -> np.ndarray:
    if not np.issubdtype(values.dtype, np.integer):
        hint = f"; if they are from 0 to 1: {name} = ({name} * 255).round().astype('uint8')"
        raise ValueError(f"{name} is {values.dtype}; images must be integers from 0 to 255{hint}")
    if values.ndim == 3:
        values = values[..., np.newaxis]
    if values.size == 0:
        raise ValueError(f"{name} is empty")
    if values.ndim != 4 or values.shape[-1] not in (1, 3):
        hint = "images must be [N, H, W] or [N, H, W, C] with C 1 or 3"
        raise ValueError(f"{name} has shape {values.shape}; {hint}")
    if values.dtype != np.uint8 and (values.min() < 0 or values.max() > 255):
        raise ValueError(f"{name} has values from {values.min()} to {values.max()}; images must be from 0 to 255")
    return values.astype(np.uint8, copy=False)


def _labels(values: np.ndarray, name: str) -> np.ndarray:
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} is {values.dtype}; labels must be integers: {name} = {name}.astype('int32')")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        hint = f"; if they are one-hot: {name} = {name}.argmax(axis=1)" if values.ndim == 2 else ""
        raise ValueError(f"{name} has shape {values.shape}; labels must be [N] or [N, 1]{hint}")
    return as_labels(values)
