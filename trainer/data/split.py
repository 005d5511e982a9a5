"""The data of a run, made from a source: order, digest and disjoint splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, cast

import numpy as np
import optree

from trainer.data.batch import Tree, described
from trainer.data.imageset import ImageSet, R, Source, form_of
from trainer.data.rows import Rows
from trainer.display.shown import Shown
from trainer.errors import DataError
from trainer.text import in_line, printable

HELD_OUT_SEED = 20260101
"""Fixed seed of the test split of sources without one, so that no run ever trains on another run's test rows."""


@dataclass(frozen=True, repr=False)
class Data(Shown, Generic[R]):
    """The three splits of one run.

    Attributes:
        name: Display name of the source.
        train: Images or other rows to train on.
        validation: Rows that decide which weights are kept.
        test: Rows for the final test.
        class_names: One name per class; empty if the labels are not class numbers.
        digest: SHA-256 of the content of all splits, hexadecimal; of images, independent of file format and order.
        source_digest: The digest without test data from another source; empty if there are none.
        notices: Lines that the user must see.
    """

    name: str
    train: R
    validation: R
    test: R
    class_names: tuple[str, ...]
    digest: str
    notices: tuple[str, ...] = ()
    source_digest: str = ""

    def _line(self) -> str:
        sizes = f"{len(self.train):,} to train, {len(self.validation):,} to validate, {len(self.test):,} to test"
        return f"{in_line(self.name)}: {sizes}; {form_of(self.train, self.class_names)}"

    def _card(self) -> str:
        from trainer.data.card import sets_card

        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        images = {part: rows for part, rows in parts.items() if isinstance(rows, ImageSet)}
        return sets_card(repr(self), images, self.class_names, self.notices) if images else super()._card()

    @property
    def are_images(self) -> bool:
        """True if the rows are labelled images."""
        return isinstance(self.train, ImageSet)

    @property
    def input_shape(self) -> Any:
        """Height, width and channels of an image; of other rows, the tree of the shapes of their inputs."""
        return shapes_of(self.train)

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 if the labels are not class numbers."""
        return len(self.class_names)

    def describe(self) -> dict[str, Any]:
        """Return name, digests, sizes, shape of the inputs, class names and notices, ready for JSON."""
        sizes = {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}
        digests = {"digest": self.digest, "source_digest": self.source_digest or self.digest}
        key = "input_shape" if self.are_images else "input_shapes"
        form = {key: as_lists(self.input_shape), "notices": list(map(printable, self.notices))}
        classes = {"class_names": list(self.class_names)} if self.class_names else {}
        return {"name": printable(self.name), **digests, **sizes, **form, **classes}


def shapes_of(rows: Rows) -> Tree:
    """Return the shape of an input of one row, or the tree of them; each is a tuple."""
    shapes: Tree = optree.tree_map(lambda leaf: tuple(leaf.shape[1:]), rows.take(np.arange(1))[0])
    return shapes


def as_lists(shapes: Tree) -> Any:
    """Return a tree of shapes as JSON can represent it."""
    if isinstance(shapes, dict):
        return {key: as_lists(value) for key, value in shapes.items()}
    return list(map(as_lists, shapes)) if isinstance(shapes, tuple) else shapes


def as_shapes(lists: Any) -> Tree:
    """Return the tree of shapes that JSON represents."""
    if isinstance(lists, dict):
        return {key: as_shapes(value) for key, value in lists.items()}
    return tuple(map(as_shapes, lists)) if isinstance(lists, list) else lists


def split(source: Source[R], seed: int) -> Data[R]:
    """Split a source, images after ordering them by content.

    The same images give the same digest, the same splits and so the same weights, regardless of the files they came
    from; other rows keep their order, which is part of their digest. Validation rows are drawn from the training rows
    with `seed`, the test split (if the source has none) with a constant seed; both are stratified by class if the
    source has classes.

    Args:
        source: The images or other rows.
        seed: The run's seed.

    Raises:
        DataError: If the requested splits leave nothing to train on, or the test rows have another structure.
    """
    train, train_hash = canonical(source.train)
    if source.test is not None:
        _check_structure(source.test, source.train, source.name)
        test, test_hash = canonical(source.test)
    else:
        test_hash = b""
        test, train = stratified(train, source.held_out, np.random.default_rng(HELD_OUT_SEED), source.class_names)
    validation, train = stratified(train, source.validation, np.random.default_rng([seed, 1]), source.class_names)
    digest = _digest(source, train_hash, test_hash)
    if isinstance(train, ImageSet):
        train = replace(train, loaded=True)
    return Data(source.name, train, validation, test, source.class_names, digest, source.notices)


def content_digest(source: Source[Any]) -> str:
    """Return the SHA-256 of all rows of a source, hexadecimal; of images, independent of their order."""
    test_hash = canonical(source.test)[1] if source.test is not None else b""
    return _digest(source, canonical(source.train)[1], test_hash)


def _digest(source: Source[Any], train_hash: bytes, test_hash: bytes) -> str:
    train = source.train
    form = train.images.shape if isinstance(train, ImageSet) else (len(train), described(train.take(np.arange(1))))
    shape = repr((form, len(source.class_names))).encode()
    return hashlib.sha256(b"\0".join((shape, train_hash, test_hash))).hexdigest()


def with_test(data: Data[Any], source: Source[Any]) -> Data[Any]:
    """Return `data` with its test rows replaced by those of `source` (all its rows, if it has no test split).

    Raises:
        DataError: If the rows differ in structure, or images have a class that is missing from `data`.
    """
    if data.are_images:
        test = as_known(source, data.input_shape, data.class_names)
    else:
        test = _test_of(source)
        _check_structure(test, data.train, source.name)
    test, test_hash = canonical(test)
    digest = hashlib.sha256(data.digest.encode() + test_hash).hexdigest()
    notices = (*data.notices, *source.notices)
    return replace(data, test=test, digest=digest, source_digest=data.digest, notices=notices)


def _test_of(source: Source[R]) -> R:
    return source.test if source.test is not None else source.train


def _check_structure(rows: Rows, train: Rows, name: str) -> None:
    """Refuse test rows that differ from those to train on in structure, shapes or dtypes."""
    have, want = (described(each.take(np.arange(1))) for each in (rows, train))
    if have != want:
        raise DataError(f"cannot use {name}: its test rows are {have}, not {want}")


def as_known(source: Source[Any], input_shape: Sequence[int], class_names: Sequence[str]) -> ImageSet:
    """Return the test images of `source` (all its images, if it has no test split), numbered as in `class_names`.

    Args:
        source: Images to evaluate on.
        input_shape: Required height, width and channels.
        class_names: The known classes; those of `source` are matched by name.

    Raises:
        DataError: If the source has no images, or they have another shape or an unknown class.
    """
    images = _test_of(source)
    if not isinstance(images, ImageSet):
        raise DataError(f"cannot use {source.name}: it has no images but {form_of(images, ())}; choose other data")
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


def of_shapes(source: Source[R], shapes: Tree) -> R:
    """Return the test rows of `source` (all its rows, if it has no test split).

    Raises:
        DataError: If their inputs have other shapes.
    """
    rows = _test_of(source)
    if (found := shapes_of(rows)) != shapes:
        raise DataError(f"cannot use {source.name}: its inputs have the shape {found}, not {shapes}")
    return rows


def canonical(rows: R) -> tuple[R, bytes]:
    """Return images in the order of their content hashes, other rows as they are, and the SHA-256 of the content."""
    if not isinstance(rows, ImageSet):
        return rows, bytes.fromhex(rows.digest)
    keys = rows.keys()
    order = np.argsort(keys, kind="stable")
    return cast(R, rows.subset(order)), hashlib.sha256(keys[order].tobytes()).digest()


def stratified(
    rows: R, amount: int | float, random: np.random.Generator, class_names: Sequence[str] = ()
) -> tuple[R, R]:
    """Return two disjoint parts: `amount` rows, stratified by class if there are classes, and the rest, both in order.

    Args:
        rows: The rows to split.
        amount: Number of rows (int) or share of them (float below 1) in the first part.
        random: Selects the rows of each class.
        class_names: Names of the classes; empty if the labels are not class numbers.

    Raises:
        DataError: If a class would be left without a row to train on, or `amount` is not below the number of rows.
    """
    total, noun = len(rows), "images" if isinstance(rows, ImageSet) else "rows"
    wanted = amount if isinstance(amount, int) else max(1, round(amount * total))
    if not 0 < wanted < total:
        raise DataError(f"cannot set aside {wanted} of {total} {noun}: none would be left to train on; use more {noun}")
    labels = _classes_of(rows, class_names)
    counts = np.bincount(labels)
    exact = counts * (wanted / total)
    take = exact.astype(int)
    take[np.argsort(-(exact - take), kind="stable")[: wanted - take.sum()]] += 1
    if (bare := np.flatnonzero((counts > 0) & (take >= counts))).size:
        raise DataError(
            f"cannot set aside {take[bare[0]]} of the {counts[bare[0]]} {noun} of class {bare[0]}: none would be left "
            f"to train on; use more {noun}"
        )
    chosen = np.zeros(total, bool)
    for k, number in enumerate(take):
        chosen[random.permutation(np.flatnonzero(labels == k))[:number]] = True
    return rows.subset(np.flatnonzero(chosen)), rows.subset(np.flatnonzero(~chosen))


def _classes_of(rows: Rows, class_names: Sequence[str]) -> np.ndarray:
    """Return the class of each row, int `[N]`; 0 for all rows if they have no classes, or no columns to read them from.

    Raises:
        DataError: If there are classes, but the labels are not their numbers.
    """
    if isinstance(rows, ImageSet):
        return rows.labels
    columns = getattr(rows, "columns", ())
    if not class_names or not columns:
        return np.zeros(len(rows), np.intp)
    labels = columns[1] if len(columns) > 1 else None
    if (
        labels is None
        or isinstance(labels, dict | tuple)
        or labels.dtype.kind not in "iu"
        or labels.shape[1:] not in ((), (1,))
    ):
        raise DataError(
            f"cannot split by class: labels must be class numbers [N], as there are {len(class_names)} classes"
        )
    numbers = np.asarray(labels[:]).reshape(-1)
    if (outside := (numbers < 0) | (numbers >= len(class_names))).any():
        at = int(outside.argmax())
        raise DataError(f"label {numbers[at]} of row {at} is none of the {len(class_names)} classes, numbered from 0")
    return numbers.astype(np.intp)
