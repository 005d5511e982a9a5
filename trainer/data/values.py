"""The values that a whole image set takes: a set that uses a small part of uint8's range is black to a model."""

from __future__ import annotations

import mmap
from dataclasses import replace
from typing import Any

import numpy as np

from trainer.data.imageset import ImageSet, Source
from trainer.data.mapped import Mapped
from trainer.errors import DataError

WHITES = (1, 3, 7, 15, 16, 31, 63)
"""Maxima of whole sets that mean white: those of 1 to 6 bits, and 16, the maximum of scikit-learn's digits."""

DARK = 32
"""Maximum of a whole set below which it is reported as almost black."""

SAMPLE = 64
"""Images that are looked at first; in most sets one of them is bright, and no other is read."""

BLOCK = 4096
"""Images that are read at a time."""


def with_full_range(source: Source) -> Source:
    """Return a source whose images take values up to 255, with a notice if they had to be scaled.

    Training and test images are scaled alike. Binary images (0 and 1), those of 2 to 6 bits, and scikit-learn's digits
    (0 to 16) are recognized by the largest value of all images; other sets are left as they are.

    Args:
        source: The images, uint8 from 0 to 255 or float32 from 0 to 1; only uint8 is looked at.

    Raises:
        DataError: If images on disk, which cannot be replaced, would have to be scaled.
    """
    sets = [each for each in (source.train, source.test) if each is not None and each.images.dtype == np.uint8]
    white = max((brightest(each.images) for each in sets), default=255)
    if white in WHITES:
        test = _scaled(source.test, white, source.name) if source.test is not None else None
        notice = f"{source.name}: values go up to {white}: read as 0 to {white}, scaled to 0 to 255"
        train = _scaled(source.train, white, source.name)
        return replace(source, train=train, test=test, notices=(*source.notices, notice))
    if white < DARK:
        found = f"all images are black, or almost: their largest value is {white} of 255"
        return replace(source, notices=(*source.notices, f"{source.name}: {found}; scale them to 0 to 255"))
    return source


def brightest(images: np.ndarray | Mapped) -> int:
    """Return the largest value of uint8 images `[N, …]`; of bright images, only a sample is read.

    Values from `WHITES` and below `DARK` are exact.
    """
    sample = np.linspace(0, len(images) - 1, min(SAMPLE, len(images)), dtype=np.intp)
    found = int(images[sample].max())
    starts = iter(range(0, len(images), BLOCK))
    while found <= WHITES[-1] and (start := next(starts, None)) is not None:
        found = max(found, int(images[start : start + BLOCK].max()))
    return found


def _scaled(images: ImageSet, white: int, name: str) -> ImageSet:
    pixels = images.images
    if isinstance(pixels, Mapped) and _is_mapped(pixels.values):
        raise DataError(
            f"cannot use {name}: its values go up to {white} instead of 255, and it is too large to be scaled in "
            "memory; write its images with values from 0 to 255"
        )
    table = np.rint(np.minimum(np.arange(256), white) * (255 / white)).astype(np.uint8)
    return replace(images, images=table[pixels[:]])


def _is_mapped(array: Any) -> bool:
    """Return True if an array is a view of a file."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap | mmap.mmap)
