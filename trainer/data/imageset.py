"""Labelled images, in memory or on disk: the common form that every data source delivers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.data.mapped import MappedImages
from trainer.display.shown import Shown
from trainer.errors import DataError
from trainer.text import count, in_line

LARGE = 64_000_000
"""Size in bytes above which images are not copied: TensorFlow would hold two copies of them."""


@dataclass(frozen=True, repr=False)
class ImageSet(Shown):
    """Labelled images of one size.

    Args:
        images: `[N, H, W, C]`, N at least 1, C 1 or 3: uint8 from 0 to 255, or float32 from 0 to 1. A uint8 array of
            more than 64 MB is wrapped in `MappedImages`, and so is an `np.memmap`, which stays on disk.
        labels: int32 `[N]`, 0-based class numbers.
        loaded: True if the set comes from `trainer.data.load`; training then augments it lightly by default.

    Raises:
        DataError: If shapes, dtypes or lengths differ from the above.
    """

    images: np.ndarray | MappedImages
    labels: np.ndarray
    loaded: bool = False

    def __post_init__(self) -> None:
        on_disk = isinstance(self.images, np.memmap)
        whole = self.images.dtype == np.uint8
        if whole and isinstance(self.images, np.ndarray) and (on_disk or self.images.nbytes > LARGE):
            object.__setattr__(self, "images", MappedImages(self.images))
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

    def take(self, indices: np.ndarray) -> ImageSet:
        """Return the images and labels at `indices`, int `[M]`, in that order."""
        images = self.images.at(indices) if isinstance(self.images, MappedImages) else self.images[indices]
        return ImageSet(images, self.labels[indices], self.loaded)

    def evenly(self, count: int) -> ImageSet:
        """Return `count` evenly spaced images, or all if there are fewer."""
        return self.take(np.linspace(0, len(self) - 1, min(count, len(self)), dtype=np.intp))


def size_of(images: np.ndarray | MappedImages) -> str:
    """Return height, width and channels as text: `28x28x1`, with the dtype unless it is uint8."""
    size = "x".join(map(str, images.shape[1:]))
    return size if images.dtype == np.uint8 else f"{size} {images.dtype}"


@dataclass(frozen=True, repr=False)
class Source(Shown):
    """The content of a data source, before it is ordered and split.

    Attributes:
        name: Display name of the source (`"mnist"`, `"mnist5k"`, a path).
        train: Training images, from which a validation split is taken.
        test: The source's own test images; None if it has none, in which case a split is taken from `train`.
        class_names: One name per class.
        validation: Images to take from `train` for validation: a number, or a fraction of `train`.
        held_out: Images to take from `train` for the test split; used only when `test` is None.
        notices: Lines that the user must see (a fallback that was used, images that were skipped).
    """

    name: str
    train: ImageSet
    test: ImageSet | None
    class_names: tuple[str, ...]
    validation: int | float = 0.1
    held_out: int | float = 0.1
    notices: tuple[str, ...] = ()

    def _line(self) -> str:
        sizes = f"{len(self.train):,} to train" + (f", {len(self.test):,} to test" if self.test is not None else "")
        return f"{in_line(self.name)}: {sizes}; {size_of(self.train.images)}, {count_classes(self.class_names)}"

    def _card(self) -> str:
        from trainer.data.card import sets_card

        return sets_card(repr(self), {"train": self.train, "test": self.test}, self.class_names, self.notices)


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
