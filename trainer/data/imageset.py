"""Labelled images, in memory or on disk: the common form that every data source delivers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from trainer.data.batch import Batch, described
from trainer.data.mapped import Mapped
from trainer.data.rows import BLOCK_BYTES, HASH_BYTES, LARGE, Ids, Rows, row_bytes, spec_of
from trainer.display.shown import Shown
from trainer.errors import DataError
from trainer.text import count, in_line

R = TypeVar("R", bound=Rows)

KEY_BYTES = 16
"""Length of the hash of an image and its label, by which images are ordered."""


@dataclass(frozen=True, repr=False)
class ImageSet(Shown):
    """Labelled images of one size, the `trainer.data.rows.Rows` that can be ordered by content and augmented.

    Args:
        images: `[N, H, W, C]`, N at least 1, C 1 or 3: uint8 from 0 to 255, or float32 from 0 to 1. A uint8 array of
            more than 64 MB is wrapped in `Mapped`, and so is an `np.memmap`, which stays on disk.
        labels: int32 `[N]`, 0-based class numbers.
        loaded: True if the set comes from `trainer.data.load`; training then augments it lightly by default.

    Raises:
        DataError: If shapes, dtypes or lengths differ from the above.
    """

    images: np.ndarray | Mapped
    labels: np.ndarray
    loaded: bool = False

    def __post_init__(self) -> None:
        on_disk = isinstance(self.images, np.memmap)
        whole = self.images.dtype == np.uint8
        if whole and isinstance(self.images, np.ndarray) and (on_disk or self.images.nbytes > LARGE):
            object.__setattr__(self, "images", Mapped(self.images))
        if not (whole or self.images.dtype == np.float32) or self.images.ndim != 4 or 0 in self.images.shape:
            found = f"{self.images.dtype} {self.images.shape}"
            raise DataError(f"images must be uint8 or float32 [N, H, W, C] without an empty axis: {found}")
        if self.images.shape[3] not in (1, 3):
            raise DataError(f"images must have 1 or 3 channels: {self.images.shape}")
        if self.labels.dtype != np.int32 or self.labels.ndim != 1:
            raise DataError(f"labels must be int32 [N]: {self.labels.dtype} {self.labels.shape}")
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def _line(self) -> str:
        return f"{count(len(self), 'image')} of {size_of(self.images)}"

    def _card(self) -> str:
        from trainer.data.card import sets_card

        return sets_card(repr(self), {"": self})

    @property
    def columns(self) -> Batch:
        """All images and all labels."""
        return self.images, self.labels

    @property
    def spec(self) -> Any:
        """Structure of a batch: `tf.TensorSpec` of images and labels, the batch axis open."""
        return spec_of(self.columns)

    @property
    def digest(self) -> str:
        """SHA-256 of all images and labels in their order, hexadecimal."""
        return hashlib.sha256(self.keys().tobytes()).hexdigest()

    def keys(self) -> np.ndarray:
        """Return a hash of each image and its label, bytes `[N]`."""
        keys, labels = np.empty(len(self), f"S{KEY_BYTES}"), self.labels.astype("<i4")
        for start, part in self._blocks():
            for i, image in enumerate(part, start):
                keys[i] = hashlib.blake2b(image.tobytes() + labels[i].tobytes(), digest_size=KEY_BYTES).digest()
        return keys

    def take(self, indices: np.ndarray) -> Batch:
        """Return the images and labels at `indices`, int `[M]`, in that order."""
        return self.images[indices], self.labels[indices]

    def ids(self, indices: np.ndarray) -> Ids:
        """Return a hash of the pixels of each image at `indices`; floats are rounded to steps of 1/255, as in uint8."""
        part = np.ascontiguousarray(self.images[indices])
        pixels = part if part.dtype == np.uint8 else np.rint(part * 255).astype(np.uint8)
        hashes = b"".join(hashlib.blake2b(image, digest_size=HASH_BYTES).digest() for image in pixels)
        return Ids(np.frombuffer(hashes, "<u8"))

    def subset(self, indices: np.ndarray) -> ImageSet:
        """Return the images and labels at `indices`, int `[M]`, in that order; images on disk stay there."""
        images = self.images.at(indices) if isinstance(self.images, Mapped) else self.images[indices]
        return ImageSet(images, self.labels[indices], self.loaded)

    def concat(self, other: ImageSet) -> ImageSet:
        """Return these images followed by those of `other`, in memory.

        Raises:
            DataError: If their sizes or dtypes differ.
        """
        if (self.images.shape[1:], self.images.dtype) != (other.images.shape[1:], other.images.dtype):
            raise DataError(f"cannot join images of {size_of(self.images)} and {size_of(other.images)}; use one size")
        images = np.concatenate([self.images[:], other.images[:]])
        return ImageSet(images, np.concatenate([self.labels, other.labels]), self.loaded and other.loaded)

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the images in blocks, each with the number of its first: images on disk may not fit in memory."""
        block = max(1, BLOCK_BYTES // row_bytes(self.images))
        for start in range(0, len(self), block):
            yield start, np.ascontiguousarray(self.images[start : start + block])


def size_of(images: np.ndarray | Mapped) -> str:
    """Return height, width and channels as text: `28x28x1`, with the dtype unless it is uint8."""
    size = "x".join(map(str, images.shape[1:]))
    return size if images.dtype == np.uint8 else f"{size} {images.dtype}"


@dataclass(frozen=True, repr=False)
class Source(Shown, Generic[R]):
    """The content of a data source, before it is split; images are also ordered by content.

    Attributes:
        name: Display name of the source (`"mnist"`, `"mnist5k"`, a path).
        train: Training images or other rows, from which a validation split is taken.
        test: The source's own test rows; None if it has none, in which case a split is taken from `train`.
        class_names: One name per class; empty if the labels are not class numbers.
        validation: Rows to take from `train` for validation: a number, or a fraction of `train`.
        held_out: Rows to take from `train` for the test split; used only when `test` is None.
        notices: Lines that the user must see (a fallback that was used, images that were skipped).
    """

    name: str
    train: R
    test: R | None
    class_names: tuple[str, ...] = ()
    validation: int | float = 0.1
    held_out: int | float = 0.1
    notices: tuple[str, ...] = ()

    def _line(self) -> str:
        sizes = f"{len(self.train):,} to train" + (f", {len(self.test):,} to test" if self.test is not None else "")
        return f"{in_line(self.name)}: {sizes}; {form_of(self.train, self.class_names)}"

    def _card(self) -> str:
        from trainer.data.card import sets_card

        if not isinstance(self.train, ImageSet):
            return super()._card()
        parts = {"train": self.train, "test": self.test if isinstance(self.test, ImageSet) else None}
        return sets_card(repr(self), parts, self.class_names, self.notices)


def form_of(rows: Rows, class_names: tuple[str, ...]) -> str:
    """Return the size of images, or the structure of other rows, and the number of classes as text."""
    form = size_of(rows.images) if isinstance(rows, ImageSet) else described(rows.take(np.arange(1)))
    return f"{form}, {count_classes(class_names)}" if class_names else form


def count_classes(names: tuple[str, ...]) -> str:
    """Return the number of classes in words."""
    return "1 class" if len(names) == 1 else f"{len(names):,} classes"


def validation_share(train: ImageSet, test: ImageSet | None) -> int | float:
    """Return the share of `train` used for validation: 5,000 images of an MNIST-like set, otherwise a tenth.

    A set is MNIST-like if its images are 28x28x1 and it has a test split and at least 50,000 training images. The rule
    depends on the images only, so MNIST is split in the same way by name, from IDX files, npz or TFDS.
    """
    like_mnist = test is not None and len(train) >= 50_000 and train.images.shape[1:] == (28, 28, 1)
    return 5_000 if like_mnist else 0.1
