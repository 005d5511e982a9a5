"""Checks of labels and classes: each label must be a class, and each class must have training images."""

from __future__ import annotations

import numpy as np

from trainer.data.imageset import ImageSet, Source
from trainer.errors import DataError

MAX_CLASSES = 10_000
"""Largest number of classes; its confusion matrix takes 800 MB."""


def as_labels(values: np.ndarray) -> np.ndarray:
    """Return integers of any width, `[N]`, as int32.

    Raises:
        ValueError: If an integer does not fit in int32.
    """
    limits = np.iinfo(np.int32)
    outside = (values < limits.min) | (values > limits.max)
    if outside.any():
        index = int(outside.argmax())
        raise ValueError(f"label {values[index]} of image {index} is not a class number")
    return values.astype(np.int32)


def numbered_classes(labels: np.ndarray) -> tuple[str, ...]:
    """Return "0" to "K-1" for labels without names, int `[N]`; K is the first number that is not a label."""
    present = np.unique(labels[labels >= 0])
    gaps = np.flatnonzero(present != np.arange(len(present)))
    return tuple(str(k) for k in range(int(gaps[0]) if gaps.size else len(present)))


def numbered_from_one(labels: np.ndarray) -> str:
    """Return the cure if labels, int `[N]`, are 1 to K without a gap; otherwise an empty string."""
    present = np.unique(labels)
    if not len(present) or present[0] != 1 or present[-1] != len(present):
        return ""
    return f"labels go from 1 to {present[-1]}: subtract 1, since classes are numbered from 0"


def check_source(source: Source) -> None:
    """Check that training and test images match, and that labels are 0 to K-1, each with a training image.

    Class names must be UTF-8, and there may be at most `MAX_CLASSES`.

    Raises:
        DataError: If a check fails; the message names the source, the first offending image and its label.
    """
    count = len(source.class_names)
    if count > MAX_CLASSES:
        raise DataError(f"{source.name}: {count:,} classes, more than {MAX_CLASSES:,}; use fewer labels")
    _check_names(source)
    _check_range(source, "training", source.train.labels, count)
    if count < 2:
        raise DataError(f"{source.name}: only one class; classification needs at least two")
    images = np.bincount(source.train.labels, minlength=count)
    if not images.all():
        absent = int(images.argmin())
        raise DataError(f"{source.name}: no training image has label {absent} (class {source.class_names[absent]!r})")
    if source.test is not None:
        _check_range(source, "test", source.test.labels, count)
        _check_shapes(source, source.test)


def _check_names(source: Source) -> None:
    for name in source.class_names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{source.name}: the class name {name} is not UTF-8; rename it") from None


def _check_range(source: Source, split: str, labels: np.ndarray, count: int) -> None:
    outside = (labels < 0) | (labels >= count)
    if not outside.any():
        return
    if hint := numbered_from_one(source.train.labels):
        raise DataError(f"{source.name}: {hint}")
    index = int(outside.argmax())
    classes = f"the classes 0-{count - 1}" if count else "the classes, which are numbered from 0"
    hint = "" if (source.train.labels == count).any() else f" (no training image has label {count})"
    raise DataError(f"{source.name}: label {labels[index]} of {split} image {index} is outside {classes}{hint}")


def _check_shapes(source: Source, test: ImageSet) -> None:
    shapes = ["x".join(map(str, split.images.shape[1:])) for split in (source.train, test)]
    if shapes[0] != shapes[1]:
        raise DataError(f"{source.name}: training images are {shapes[0]} but test images {shapes[1]}")
