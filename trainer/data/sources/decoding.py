"""Images that a source has not decoded yet: their sizes are known first, so that they can go to memory or to disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from trainer.data.imageset import ImageSet
from trainer.stage import Stage

BLOCK_BYTES = 16_000_000
"""Bytes that are decoded between two writes to the disk."""

Block = tuple[np.ndarray, np.ndarray]
"""Images, uint8 `[B, H, W, C]`, and their labels, int32 `[B]`."""


@dataclass(frozen=True)
class Undecoded:
    """The images of a source before they are decoded.

    Attributes:
        numbers: Largest number of images per split, by name of the split.
        shape: Height, width and channels of an image.
        blocks: Decodes a split, block by block.
        finish: Checks what was decoded and returns lines that the user must see; may raise `DataError`.
    """

    numbers: Mapping[str, int]
    shape: tuple[int, int, int]
    blocks: Callable[[str], Iterator[Block]]
    finish: Callable[[], list[str]] = list

    @property
    def size(self) -> int:
        """Bytes of all images, decoded."""
        return sum(self.numbers.values()) * math.prod(self.shape)


def block_length(shape: tuple[int, ...]) -> int:
    """Return the number of images of a shape per block: at least four, so that several cores can share the work."""
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
