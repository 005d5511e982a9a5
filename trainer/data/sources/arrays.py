"""From the named arrays of a file to a source: splits by name, images and labels from the forms people save them in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from trainer.data.imageset import ImageSet, Source
from trainer.data.sources.classes import numbered_source
from trainer.data.sources.labels import as_labels
from trainer.data.sources.memory import refuse_if_too_large
from trainer.data.sources.named import listed, roles
from trainer.errors import DataError
from trainer.text import in_line

SMALLEST_SIDE = 8
"""Fewest rows of an image that is stored as one row of pixels; fewer could be a table of measurements."""

NO_IMAGES = "; for other data than labelled images, see --help arrays"
"""End of the messages about arrays that might not be meant as images."""


@dataclass(frozen=True)
class Stored:
    """An array of a file that is still to be read.

    Attributes:
        size: Its size in bytes once it is read.
        read: Reads it; raises `DataError` if it is damaged.
    """

    size: int
    read: Callable[[], np.ndarray]


def source_of(name: str, stored: Mapping[str, Stored]) -> Source:
    """Read the training and test images among the arrays of a file.

    Images may be `[N, H, W]`, `[N, H, W, C]`, `[N, C, H, W]`, `[H, W, C, N]`, or `[N, H * W]` with square images; whole
    numbers from 0 to 255, or floats from 0 to 1. Labels may be whole numbers, `[N]`, `[N, 1]` or `[1, N]`, or one-hot.
    Notices report everything that had to be rearranged.

    Args:
        name: Name of the file.
        stored: Its arrays by name; only those that are used are read.

    Raises:
        DataError: If an array is missing, too large for the memory, or has the wrong shape, dtype, range or length.
    """
    try:
        chosen = roles(stored)
        if not chosen and len(stored) == 2:
            return _of_two(name, stored)
        wanted = {
            (split, part): array for (split, part), array in chosen.items() if split != "validation" and part in "xy"
        }
        _refuse_if_incomplete(wanted, stored)
        refuse_if_too_large(sum(stored[array].size for array in wanted.values()), name)
        notices: dict[str, list[str]] = {}
        train, test = (_split(wanted, stored, split, notices) for split in ("train", "test"))
    except ValueError as error:
        raise DataError(f"{name}: {error}") from error
    assert train is not None
    unused = [array for array in stored if array not in wanted.values()]
    lines = [f"{name}: arrays that are not used: {listed(unused)}"] if unused else []
    return numbered_source(name, train, test, [*_lines(name, notices), *lines])


def _of_two(name: str, stored: Mapping[str, Stored]) -> Source:
    """Read two arrays with names that say nothing; the one with fewer axes can only be the labels."""
    refuse_if_too_large(sum(array.size for array in stored.values()), name)
    read = {array: one.read() for array, one in stored.items()}
    y, x = sorted(read, key=lambda array: read[array].ndim)
    if read[y].ndim != 1 or read[x].ndim == 1 or len(read[x]) != len(read[y]):
        raise ValueError(_missing(stored))
    notices: dict[str, list[str]] = {}
    train = ImageSet(*_pair(read[x], read[y], x, y, notices))
    return numbered_source(
        name, train, None, [f"{name}: {x} is read as the images and {y} as the labels", *_lines(name, notices)]
    )


def _lines(name: str, notices: Mapping[str, list[str]]) -> list[str]:
    return [f"{name}: {' and '.join(map(in_line, arrays))}: {text}" for text, arrays in notices.items()]


def _refuse_if_incomplete(wanted: Mapping[tuple[str, str], str], stored: Mapping[str, Stored]) -> None:
    for split in ("train", "test"):
        missing = [f"{content}_{split}" for content in "xy" if (split, content) not in wanted]
        if missing and (split == "train" or len(missing) == 1):
            raise ValueError(_missing(stored, *missing))


def _missing(stored: Mapping[str, Stored], *names: str) -> str:
    """Return the line for arrays that no name gives away, with the names that are there and those that are needed."""
    needed = names or ("x_train", "y_train")
    verb = "are" if len(needed) > 1 else "is"
    found = f"{' and '.join(needed)} {verb} missing (found: {listed(stored)})"
    return f"{found}; give images and labels these names: np.savez('new.npz', x_train=IMAGES, y_train=LABELS)"


def _split(
    wanted: Mapping[tuple[str, str], str], stored: Mapping[str, Stored], split: str, notices: dict[str, list[str]]
) -> ImageSet | None:
    """Return one split; None if its arrays are missing."""
    if (split, "x") not in wanted:
        return None
    x, y = wanted[split, "x"], wanted[split, "y"]
    return ImageSet(*_pair(stored[x].read(), stored[y].read(), x, y, notices))


def _pair(
    images: np.ndarray, labels: np.ndarray, x: str, y: str, notices: dict[str, list[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels in the form of an `ImageSet`; add what was done to `notices`: names by text."""
    labels, *texts = as_classes(labels, in_line(y))
    for text in texts:
        notices.setdefault(text, []).append(y)
    images, texts = as_images(images, in_line(x), len(labels))
    for text in texts:
        notices.setdefault(text, []).append(x)
    if len(images) != len(labels):
        counts = f"{in_line(x)} has {len(images):,} images, but {in_line(y)} has {len(labels):,} labels"
        raise ValueError(f"{counts}; give one label per image")
    return images, labels


def as_images(values: np.ndarray, name: str, number: int) -> tuple[np.ndarray, list[str]]:
    """Return images in the form of an `ImageSet`, and what was done to them.

    Args:
        values: The images in any form that `source_of` reads.
        name: Name of the array in messages.
        number: Number of images.

    Raises:
        ValueError: If they have another shape, dtype or range.
    """
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} is {values.dtype}; images must be integers from 0 to 255, or floats from 0 to 1")
    if not values.size:
        raise ValueError(f"{name} is empty")
    done: list[str] = []
    for step in (_images_first, _with_channels, _in_range):
        values, *texts = step(values, name, number)
        done += texts
    return values, done


Step = tuple[np.ndarray] | tuple[np.ndarray, str]
"""An array, and what was done to it if the user must know."""


def as_classes(values: np.ndarray, name: str) -> Step:
    """Return labels as int32 `[N]`: whole numbers of any dtype, in a row or a column, or one-hot.

    Raises:
        ValueError: If they are anything else.
    """
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} is {values.dtype}; labels must be integers: number the classes from 0")
    if values.ndim == 2 and 1 in values.shape:
        values = values.reshape(-1)
    if values.ndim == 2 and _is_one_hot(values):
        return values.argmax(axis=1).astype(
            np.int32
        ), f"one-hot labels of {values.shape[1]} classes are read as numbers"
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}; labels must be [N], [N, 1], or one-hot [N, K]")
    if values.dtype.kind == "f":
        broken = ~(np.isfinite(values) & (values == np.round(values)))
        if broken.any():
            at = int(broken.argmax())
            raise ValueError(f"{name}[{at}] is {values[at]:g}; labels must be whole numbers from 0{NO_IMAGES}")
        values = values.astype(np.int64)
    return (as_labels(values.astype(np.uint8) if values.dtype == bool else values),)


def _is_one_hot(values: np.ndarray) -> bool:
    return bool(((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all())


def _images_first(values: np.ndarray, name: str, number: int) -> Step:
    """Move the axis of the images to the front; MATLAB has it at the end."""
    if values.ndim < 2 or values.shape[0] == number or values.shape[-1] != number:
        return (values,)
    return np.moveaxis(values, -1, 0), f"its last axis, {number:,}, is that of the images"


def _with_channels(values: np.ndarray, name: str, number: int) -> Step:
    """Bring images into the shape `[N, H, W, C]`."""
    shape = "x".join(map(str, values.shape))
    if values.ndim == 2:
        side = math.isqrt(values.shape[1])
        if side**2 == values.shape[1] and side >= SMALLEST_SIDE:
            return values.reshape(-1, side, side, 1), f"{side**2:,} values per image are read as {side}x{side} pixels"
        raise ValueError(f"{name} has shape {shape}; {reshape_hint(values.shape[1], name)}{NO_IMAGES}")
    if values.ndim == 3:
        return (values[..., np.newaxis],)
    if values.ndim == 4 and values.shape[3] in (1, 3):
        return (values,)
    if values.ndim == 4 and values.shape[1] in (1, 3):
        return np.ascontiguousarray(np.moveaxis(values, 1, -1)), "channels are moved from the second axis to the last"
    if values.ndim == 4 and values.shape[3] in (2, 4):
        kept = 1 if values.shape[3] == 2 else 3
        raise ValueError(f"{name} has {values.shape[3]} channels; without transparency: {name} = {name}[..., :{kept}]")
    raise ValueError(f"{name} has shape {shape}; images must be [N, H, W] or [N, H, W, C] with C 1 or 3{NO_IMAGES}")


def reshape_hint(values: int, name: str) -> str:
    """Return what to do with images that are rows of so many values, of which no side can be deduced."""
    side = math.isqrt(values // 3)
    if values == 3 * side**2 and side >= SMALLEST_SIDE:
        interleaved, planar = f"{name}.reshape(-1, {side}, {side}, 3)", f"{name}.reshape(-1, 3, {side}, {side})"
        colours = f"{values:,} values are {side}x{side} in colour"
        return f"{colours}: {name} = {interleaved}, or, if all reds come first, {planar}"
    return f"{values:,} values are no square image: {name} = {name}.reshape(-1, HEIGHT, WIDTH)"


def _in_range(values: np.ndarray, name: str, number: int) -> Step:
    """Return images as uint8 from 0 to 255, or as float32 from 0 to 1."""
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255), "False and True are read as 0 and 255"
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise ValueError(f"{name} has values from {low} to {high}; images must be from 0 to 255")
        return (values.astype(np.uint8, copy=False),)
    if not (np.isfinite(low) and np.isfinite(high)):
        at = int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).argmax())
        raise ValueError(f"image {at} of {name} has values that are not numbers (NaN or infinite); remove or mend it")
    if low >= 0 and high <= 1:
        return (values.astype(np.float32, copy=False),)
    if low >= 0 and high <= 255 and (values == np.round(values)).all():
        return values.astype(np.uint8), f"whole numbers, stored as {values.dtype}, are read as 0 to 255"
    raise ValueError(
        f"{name} has values from {low:g} to {high:g}; floats must be from 0 to 1: scale them, such as "
        f"{name} = ({name} - {low:g}) / {high - low:g}"
    )
