"""Images that are still to be decoded; their size is known first, which decides between memory and disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from trainer.data.imageset import ImageSet
from trainer.stage import Stage

BLOCK_BYTES = 16_000_000
"""Bytes decoded between two writes to disk."""

Block = tuple[np.ndarray, np.ndarray]
"""Images, uint8 `[B, H, W, C]`, and their labels, int32 `[B]`."""


@dataclass(frozen=True)
class Undecoded:
    """The images of a source before they are decoded.

    Attributes:
        numbers: Maximum number of images of each split, by name.
        shape: Height, width and channels of an image.
        blocks: Decodes a split, block by block.
        finish: Checks the result and returns lines that the user must see; may raise `DataError`.
    """

    numbers: Mapping[str, int]
    shape: tuple[int, int, int]
    blocks: Callable[[str], Iterator[Block]]
    finish: Callable[[], list[str]] = list

    @property
    def size(self) -> int:
        """Size of all decoded images, in bytes."""
        return sum(self.numbers.values()) * math.prod(self.shape)


def block_length(shape: tuple[int, ...]) -> int:
    """Return the number of images per block: at least four, so that several cores can share the work."""
    return max(4, BLOCK_BYTES // math.prod(shape))


def in_memory(undecoded: Undecoded) -> dict[str, ImageSet]:
    """Decode all splits into memory.

    Raises:
        ValueError: If a split has more images than announced.
    """
    with Stage("decoding images", sum(undecoded.numbers.values()), "images") as progress:
        return {split: _gathered(undecoded, split, progress) for split in undecoded.numbers}


def _gathered(undecoded: Undecoded, split: str, progress: Stage) -> ImageSet:
    images = np.empty((undecoded.numbers[split], *undecoded.shape), np.uint8)
    labels = np.empty(len(images), np.int32)
    start = 0
    for part, classes in undecoded.blocks(split):
        stop = start + len(classes)
        images[start:stop], labels[start:stop] = part, classes
        start = stop
        progress.done += len(classes)
    return ImageSet(images[:start], labels[:start])
