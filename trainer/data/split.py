"""The data of a run, made from a source: canonical order, digest and disjoint splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.data.imageset import ImageSet, Source, count_classes, size_of
from trainer.display.shown import Shown
from trainer.errors import DataError
from trainer.text import in_line, printable

HELD_OUT_SEED = 20260101
"""Fixed seed of the test split of sources without one, so that no run ever trains on another run's test images."""


@dataclass(frozen=True, repr=False)
class Data(Shown):
    """The three splits of one run.

    Attributes:
        name: Display name of the source.
        train: Images to train on.
        validation: Images that decide which weights are kept.
        test: Images for the final test.
        class_names: One name per class.
        digest: SHA-256 of the content of all splits, hexadecimal, independent of file format and order.
        source_digest: The digest without test data from another source; empty if there are none.
        notices: Lines that the user must see.
    """

    name: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    digest: str
    notices: tuple[str, ...] = ()
    source_digest: str = ""

    def _line(self) -> str:
        sizes = f"{len(self.train):,} to train, {len(self.validation):,} to validate, {len(self.test):,} to test"
        return f"{in_line(self.name)}: {sizes}; {size_of(self.train.images)}, {count_classes(self.class_names)}"

    def _card(self) -> str:
        from trainer.data.card import sets_card

        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return sets_card(repr(self), parts, self.class_names, self.notices)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def describe(self) -> dict[str, Any]:
        """Return name, digests, sizes, image shape, class names and notices, ready for JSON."""
        sizes = {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}
        shape, names, notices = list(self.input_shape), list(self.class_names), list(map(printable, self.notices))
        images = {"input_shape": shape, "class_names": names, "notices": notices}
        digests = {"digest": self.digest, "source_digest": self.source_digest or self.digest}
        return {"name": printable(self.name), **digests, **sizes, **images}


def split(source: Source, seed: int) -> Data:
    """Order a source by content and split it.

    The same images give the same digest, the same splits and so the same weights, regardless of the files they came
    from. Validation images are drawn from the training images with `seed`, the test split (if the source has none) with
    a constant seed; both are stratified by class.

    Args:
        source: The images.
        seed: The run's seed.

    Raises:
        DataError: If the requested splits leave nothing to train on.
    """
    train, train_hash = canonical(source.train)
    if source.test is not None:
        test, test_hash = canonical(source.test)
    else:
        test_hash = b""
        test, train = stratified(train, source.held_out, np.random.default_rng(HELD_OUT_SEED))
    validation, train = stratified(train, source.validation, np.random.default_rng([seed, 1]))
    digest = _digest(source, train_hash, test_hash)
    return Data(source.name, replace(train, loaded=True), validation, test, source.class_names, digest, source.notices)


def content_digest(source: Source) -> str:
    """Return the SHA-256 of all images and labels of a source, hexadecimal, independent of their order."""
    test_hash = canonical(source.test)[1] if source.test is not None else b""
    return _digest(source, canonical(source.train)[1], test_hash)


def _digest(source: Source, train_hash: bytes, test_hash: bytes) -> str:
    shape = repr((source.train.images.shape, len(source.class_names))).encode()
    return hashlib.sha256(b"\0".join((shape, train_hash, test_hash))).hexdigest()


def with_test(data: Data, source: Source) -> Data:
    """Return `data` with its test images replaced by those of `source` (all its images, if it has no test split).

    Raises:
        DataError: If the images differ in shape, or have a class that is missing from `data`.
    """
    test, test_hash = canonical(as_known(source, data.input_shape, data.class_names))
    digest = hashlib.sha256(data.digest.encode() + test_hash).hexdigest()
    notices = (*data.notices, *source.notices)
    return replace(data, test=test, digest=digest, source_digest=data.digest, notices=notices)


def as_known(source: Source, input_shape: Sequence[int], class_names: Sequence[str]) -> ImageSet:
    """Return the test images of `source` (all its images, if it has no test split), numbered as in `class_names`.

    Args:
        source: Images to evaluate on.
        input_shape: Required height, width and channels.
        class_names: The known classes; those of `source` are matched by name.

    Raises:
        DataError: If the images have another shape, or an unknown class.
    """
    images = source.test or source.train
    if images.images.shape[1:] != tuple(input_shape):
        have, want = ("x".join(map(str, shape)) for shape in (images.images.shape[1:], input_shape))
        raise DataError(f"cannot use {source.name}: its images are {have}, not {want}")
    found = np.unique(images.labels)
    names = [source.class_names[k] if 0 <= k < len(source.class_names) else str(k) for k in found]
    if strange := [name for name in names if name not in class_names]:
        known = ", ".join(class_names)
        raise DataError(f"cannot use {source.name}: its class {strange[0]!r} was not learned (known: {known})")
    numbers = np.array([list(class_names).index(name) for name in names], np.int32)
    return ImageSet(images.images, numbers[np.searchsorted(found, images.labels)])


def canonical(images: ImageSet) -> tuple[ImageSet, bytes]:
    """Return the images in the order of their content hashes, and the SHA-256 of all hashes."""
    keys = images.keys()
    order = np.argsort(keys, kind="stable")
    return images.subset(order), hashlib.sha256(keys[order].tobytes()).digest()


def stratified(images: ImageSet, amount: int | float, random: np.random.Generator) -> tuple[ImageSet, ImageSet]:
    """Return two disjoint parts: `amount` images, stratified by class, and the rest; both keep their order.

    Args:
        images: The images to split.
        amount: Number of images (int) or share of them (float below 1) in the first part.
        random: Selects the images of each class.

    Raises:
        DataError: If a class would be left without an image to train on, or `amount` is not below the number of images.
    """
    total = len(images)
    wanted = amount if isinstance(amount, int) else max(1, round(amount * total))
    if not 0 < wanted < total:
        raise DataError(f"cannot set aside {wanted} of {total} images: none would be left to train on; use more images")
    counts = np.bincount(images.labels)
    exact = counts * (wanted / total)
    take = exact.astype(int)
    take[np.argsort(-(exact - take), kind="stable")[: wanted - take.sum()]] += 1
    if (bare := np.flatnonzero((counts > 0) & (take >= counts))).size:
        raise DataError(
            f"cannot set aside {take[bare[0]]} of the {counts[bare[0]]} images of class {bare[0]}: none would be left "
            "to train on; use more images"
        )
    chosen = np.zeros(total, bool)
    for k, number in enumerate(take):
        chosen[random.permutation(np.flatnonzero(images.labels == k))[:number]] = True
    return images.subset(np.flatnonzero(chosen)), images.subset(np.flatnonzero(~chosen))
