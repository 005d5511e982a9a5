"""A record of the images that a model was trained on, by content, so that an evaluation can recognise them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from trainer.data.rows import Rows, all_ids
from trainer.display.shown import Shown

RECORD = np.dtype([("hash", "<u8"), ("part", "u1")])
"""File format: 9 bytes per image, an 8-byte hash and a byte that is 0 for training and 1 for validation."""


@dataclass(frozen=True, repr=False)
class Seen(Shown):
    """The training and validation images of a run, as hashes of their pixels.

    An image is recognised regardless of its label and origin, but only if every pixel is the same: a shifted, scaled or
    lossily compressed copy counts as a different image.

    Attributes:
        train: Hashes of the training images, uint64 `[N]`, ascending.
        validation: Hashes of the validation images that are not also training images, uint64 `[M]`, ascending.
    """

    train: np.ndarray
    validation: np.ndarray

    def _line(self) -> str:
        return f"{len(self.train):,} images trained on, {len(self.validation):,} validated on"

    @classmethod
    def of(cls, train: Rows, validation: Rows | None = None) -> Self:
        """Return the record of a run that trains and validates on these images."""
        return cls._from(all_ids(train), all_ids(validation) if validation is not None else np.empty(0, "<u8"))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Return the record that `to_bytes` encoded.

        Raises:
            ValueError: If the content is damaged.
        """
        records = np.frombuffer(content, RECORD)
        if records["part"].size and records["part"].max() > 1:
            raise ValueError("it refers to a split that is neither training nor validation")
        return cls._from(*(records["hash"][records["part"] == part] for part in (0, 1)))

    @classmethod
    def _from(cls, train: np.ndarray, validation: np.ndarray) -> Self:
        train = np.unique(train)
        return cls(train, np.setdiff1d(validation, train))

    def to_bytes(self) -> bytes:
        """Return the record in the format of `RECORD`."""
        parts = (self.train, self.validation)
        records = np.empty(sum(map(len, parts)), RECORD)
        records["hash"] = np.concatenate(parts)
        records["part"] = np.repeat([0, 1], [len(part) for part in parts])
        return records.tobytes()

    def __or__(self, other: Seen) -> Seen:
        """Return the union of two records, such as those of two runs or of two processes of one run."""
        return Seen._from(*(np.concatenate(pair) for pair in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """The hashes of the training and validation images."""
        return self.train, self.validation

    def marks(self, images: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return masks of the images trained on and validated on, bool `[N]` each; no image is in both."""
        found = all_ids(images)
        return np.isin(found, self.train), np.isin(found, self.validation)
