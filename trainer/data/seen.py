"""Remember which images a model was trained on, by content, so that an evaluation can say which it has seen."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from trainer.data.imageset import ImageSet
from trainer.display.shown import Shown

HASH_BYTES = 8
"""Two of a million different images have the same hash of this length with a probability of 3 in 100 million."""
BLOCK_BYTES = 16_000_000
"""How much of a set is read at a time."""
RECORD = np.dtype([("hash", "<u8"), ("part", "u1")])
"""How hashes are kept: 9 bytes per image, of which the last is 0 for training and 1 for validation."""


@dataclass(frozen=True, repr=False)
class Seen(Shown):
    """The images that a run learned from and those that it was chosen by, as hashes of their pixels.

    An image is recognized whatever its label and wherever it comes from, but only as a whole: one that was moved,
    scaled or saved with losses is another image.

    Attributes:
        train: Hashes of the training images, uint64 `[N]`, ascending.
        validation: Hashes of the validation images that are not among them, uint64 `[M]`, ascending.
    """

    train: np.ndarray
    validation: np.ndarray

    def _line(self) -> str:
        return f"{len(self.train):,} images trained on, {len(self.validation):,} validated on"

    @classmethod
    def of(cls, train: ImageSet, validation: ImageSet | None = None) -> Self:
        """Return what a run sees that trains and validates on these images."""
        return cls._from(hashes(train), hashes(validation) if validation is not None else np.empty(0, "<u8"))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Return what `to_bytes` was called on.

        Raises:
            ValueError: If the content is damaged.
        """
        records = np.frombuffer(content, RECORD)
        if records["part"].size and records["part"].max() > 1:
            raise ValueError("it names a part that is neither training nor validation")
        return cls._from(*(records["hash"][records["part"] == part] for part in (0, 1)))

    @classmethod
    def _from(cls, train: np.ndarray, validation: np.ndarray) -> Self:
        train = np.unique(train)
        return cls(train, np.setdiff1d(validation, train))

    def to_bytes(self) -> bytes:
        """Return the content of a file; see `RECORD`."""
        parts = (self.train, self.validation)
        records = np.empty(sum(map(len, parts)), RECORD)
        records["hash"] = np.concatenate(parts)
        records["part"] = np.repeat([0, 1], [len(part) for part in parts])
        return records.tobytes()

    def __or__(self, other: Seen) -> Seen:
        """Return what two runs have seen together, or one run in two of its processes."""
        return Seen._from(*(np.concatenate(pair) for pair in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of the training and of the validation images."""
        return self.train, self.validation

    def marks(self, images: ImageSet) -> tuple[np.ndarray, np.ndarray]:
        """Return which images were trained on and which validated on, bool `[N]` each; an image is never both."""
        found = hashes(images)
        return np.isin(found, self.train), np.isin(found, self.validation)


def hashes(images: ImageSet) -> np.ndarray:
    """Return a hash of the pixels of each image, uint64 `[N]`; floats count in steps of 1/255, as uint8 has them."""
    found = bytearray()
    block = max(1, BLOCK_BYTES // math.prod(images.images.shape[1:]))
    for start in range(0, len(images), block):  # a part at a time, since images on disk may not fit in memory
        part = np.ascontiguousarray(images.images[start : start + block])
        pixels = part if part.dtype == np.uint8 else np.rint(part * 255).astype(np.uint8)
        for image in pixels:
            found += hashlib.blake2b(image, digest_size=HASH_BYTES).digest()
    return np.frombuffer(bytes(found), "<u8")
