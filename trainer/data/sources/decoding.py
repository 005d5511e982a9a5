"""What a source tells before it decodes, so that its images can go to memory or to disk, a block at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from trainer.data.imageset import ImageSet

BLOCK_BYTES = 16_000_000
"""How much is decoded between two looks at the disk."""

Block = tuple[np.ndarray, np.ndarray]
"""Images, uint8 `[B, H, W, C]`, and their labels, int32 `[B]`."""


@dataclass(frozen=True)
class Plan:
    """What there is to decode.

    Attributes:
        numbers: How many images each split has at most, by name of the split.
        shape: Height, width and channels of an image.
        blocks: Decodes a split.
        finish: Looks at what was decoded and returns lines that the user must see; may raise `DataError`.
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
    """Return how many images of a shape make a block; several, so that cores can share the work."""
    return max(4, BLOCK_BYTES // math.prod(shape))


def in_memory(plan: Plan) -> dict[str, ImageSet]:
    """Decode all splits into memory.

    Raises:
        ValueError: If a split has more images than the plan says.
    """
    return {split: _gathered(plan, split) for split in plan.numbers}


def _gathered(plan: Plan, split: str) -> ImageSet:
    images = np.empty((plan.numbers[split], *plan.shape), np.uint8)
    labels = np.empty(len(images), np.int32)
    start = 0
    for part, classes in plan.blocks(split):
        stop = start + len(classes)
        images[start:stop], labels[start:stop] = part, classes
        start = stop
    return ImageSet(images[:start], labels[:start])
