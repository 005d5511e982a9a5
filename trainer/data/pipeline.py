"""The input pipeline: batch k of epoch e is a pure function of (seed, e, k), computed by tf.data with prefetch."""

from __future__ import annotations

from typing import Any, Protocol

import tensorflow as tf

from trainer.data.augmentation.augment import augment
from trainer.data.augmentation.strength import Strength, strength
from trainer.data.batch import Arrange, Batch, as_it_is, described
from trainer.data.columns import Columns, as_written, is_image, scaled
from trainer.data.imageset import ImageSet, size_of
from trainer.data.rows import Rows, row_bytes
from trainer.display.shown import Shown
from trainer.errors import UsageError
from trainer.text import count

PREFETCH = 8
"""Batches to prefetch. A constant, since tf.data's autotuning takes processor time from the training step."""

AHEAD_BYTES = 64_000_000
"""Memory limit for prefetched batches, in bytes; at least one batch is prefetched."""

EVALUATED, EVALUATED_BYTES = 500, 8_000_000
"""Largest evaluation batch, in images and in bytes; at least one image."""

KEPT_BYTES = 64_000_000
"""Memory limit, in bytes, for scaled images that are cached from one evaluation to the next."""

WORKERS = 2


class TrainingPipeline(Protocol):
    """The training data of `Trainer.fit`: endless batches that can start at any step.

    Attributes:
        steps_per_epoch: Number of batches per epoch.
        spec: Element spec of a batch.
        labels: All labels, a tree of arrays `[N, …]`, if they are known before training, else None.
    """

    steps_per_epoch: int
    spec: Any
    labels: Any

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) onwards, epoch after epoch without end."""
        ...

    def peek(self) -> Any | None:
        """Return a batch like the first one, or None if that would consume data."""
        ...


class EvaluationPipeline(Protocol):
    """Data to evaluate on: the same batches in the same order every time; attributes as in `TrainingPipeline`."""

    spec: Any
    labels: Any

    @property
    def steps(self) -> int | None:
        """Number of batches; None if it is unknown, and a pass ends where the data do."""
        ...

    def batches(self) -> tf.data.Dataset:
        """Return one pass over all batches."""
        ...

    def peek(self) -> Any | None:
        """Return a batch like the first one, or None if that would consume data."""
        ...


class TrainingRows(Shown):
    """Training batches from rows: reshuffled each epoch, images scaled to [0, 1] and augmented.

    The order of epoch e is a stateless permutation keyed by (seed, e), the augmentation of global step s is keyed by
    (seed, s): starting at any step costs nothing and gives the batches that an uninterrupted run would have seen.
    A batch of an `ImageSet` is a pair of images float32 `[B, H, W, C]` in [0, 1] and labels int32 `[B]`; an epoch's
    last may be short. Of other rows, uint8 inputs become float32 in [0, 1] in the same way, and all else stays.

    Args:
        rows: The rows.
        batch_size: Rows per batch, at least 1.
        seed: Seed of shuffling and augmentation, from 0 to 2⁶³ - 1.
        augmentation: Strength of the augmentation of images: `none`, `light`, `strong`, or a custom `Strength`.
        arrange: Brings a batch into the structure that the task expects; default: as it is.

    Raises:
        UsageError: If the batch size is out of range, the augmentation unknown or without images to change.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int = 128,
        seed: int = 0,
        augmentation: str | Strength | None = "light",
        arrange: Arrange = as_it_is,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size must be at least 1: {batch_size}")
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.strength = strength(augmentation) if isinstance(augmentation, str) else augmentation
        self.steps_per_epoch = -(-len(rows) // batch_size)
        self._columns = Columns(rows, arrange)
        self.spec, self.labels = self._columns.spec, self._columns.labels
        if self.strength is not None:
            _check_augmentation(self.spec)

    def _line(self) -> str:
        changes = ", augmented" if self.strength is not None else ""
        return f"{rows_of(self.rows)}{changes}; {_batches_of(self.steps_per_epoch, self.batch_size)} per epoch"

    def _card(self) -> str:
        return _card(self, self.rows)

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) onwards, epoch after epoch without end."""
        first_epoch, skipped = divmod(first_step, self.steps_per_epoch)
        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)

        def indices(epoch: tf.Tensor) -> tf.data.Dataset:
            order, size = self.order(epoch), self.batch_size
            first = tf.where(epoch == first_epoch, tf.constant(skipped, tf.int64), 0)
            batch = as_written(lambda k: (order[k * size : (k + 1) * size], epoch * self.steps_per_epoch + k))
            return tf.data.Dataset.range(first, self.steps_per_epoch).map(batch)

        batch = as_written(self.batch)
        batches = epochs.flat_map(as_written(indices)).map(batch, num_parallel_calls=WORKERS, deterministic=True)
        return batches.prefetch(_ahead(self.spec, self.batch_size)).with_options(_options())

    def peek(self) -> Batch:
        """Return the first batch before augmentation."""
        return self._columns.batch(self.order(tf.constant(0))[: self.batch_size])

    def order(self, epoch: tf.Tensor) -> tf.Tensor:
        """Return the order of the rows in a 0-based epoch, int32 `[N]`."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(epoch, tf.int64)])
        return tf.random.experimental.stateless_shuffle(tf.range(len(self.rows)), seed=seed)

    def batch(self, indices: tf.Tensor, step: tf.Tensor) -> Batch:
        """Return the rows at `indices`, with images augmented for global step `step` (0-based)."""
        if self.strength is None:
            return self._columns.batch(indices)
        count = tf.shape(indices)[0]
        # A short batch is padded, so that the augmentation is compiled for one size only.
        x, *rest = self._columns.batch(tf.pad(indices, [[0, self.batch_size - count]]), raw=True)
        seed, number = tf.stack([tf.constant(self.seed, tf.int64), step]), 0
        changed = []
        for leaf in tf.nest.flatten(x):
            if is_image(leaf):
                leaf = tf.ensure_shape(leaf, [self.batch_size, *leaf.shape[1:]])
                own = seed if number == 0 else tf.random.experimental.stateless_fold_in(seed, number)
                leaf, number = augment(leaf, own, self.strength), number + 1
            changed.append(scaled(leaf)[:count])
        rest = tf.nest.map_structure(lambda leaf: leaf[:count], rest)
        return (tf.nest.pack_sequence_as(x, changed), *rest)


class EvaluationRows(Shown):
    """Evaluation batches from rows, in order, images scaled to [0, 1]; batches as in `TrainingRows`.

    Args:
        rows: The rows.
        batch_size: Rows per batch, at least 1; affects the result by rounding only. Default: 500, fewer if the rows are
            large.
        arrange: Brings a batch into the structure that the task expects; default: as it is.

    Raises:
        UsageError: If the batch size is below 1.
    """

    def __init__(self, rows: Rows, batch_size: int | None = None, arrange: Arrange = as_it_is) -> None:
        self._columns = Columns(rows, arrange)
        self.spec, self.labels = self._columns.spec, self._columns.labels
        size = _row_bytes(self.spec)
        if batch_size is None:
            batch_size = max(1, min(EVALUATED, EVALUATED_BYTES // size))
        if batch_size < 1:
            raise UsageError(f"batch size must be at least 1: {batch_size}")
        self.rows, self.batch_size = rows, batch_size
        self.steps = -(-len(rows) // batch_size)
        self._keep = size * len(rows) <= KEPT_BYTES
        self._batches: tf.data.Dataset | None = None

    def _line(self) -> str:
        return f"{rows_of(self.rows)}; {_batches_of(self.steps, self.batch_size)}"

    def _card(self) -> str:
        return _card(self, self.rows)

    def batches(self) -> tf.data.Dataset:
        """Return one pass over all batches; those of a small set are cached, scaled, during the first pass."""
        if self._batches is None:
            columns, count = self._columns, len(self.rows)

            def batch(start: tf.Tensor) -> Batch:
                return columns.batch(tf.range(start, tf.minimum(start + self.batch_size, count)))

            batches = tf.data.Dataset.range(0, count, self.batch_size).map(as_written(batch))
            kept = batches.cache() if self._keep else batches
            self._batches = kept.prefetch(_ahead(self.spec, self.batch_size)).with_options(_options())
        return self._batches

    def peek(self) -> Batch:
        """Return the first batch."""
        return self._columns.batch(tf.range(min(self.batch_size, len(self.rows))))


def _check_augmentation(spec: Any) -> None:
    """Refuse to augment data without images, or images whose labels would have to change with them.

    Raises:
        UsageError: If it is either.
    """
    x, *rest = spec
    if not any(map(is_image, tf.nest.flatten(x))):
        raise UsageError(f"cannot augment: the inputs are no images but {described(x)}; use augmentation none")
    if rest and any(leaf.shape.rank is None or leaf.shape.rank > 2 for leaf in tf.nest.flatten(rest[0])):
        raise UsageError(
            f"cannot augment: the images would move, but not their labels {described(rest[0])}; use augmentation none"
        )


def rows_of(rows: Rows) -> str:
    """Return the number and the kind of rows as text."""
    return f"{count(len(rows), 'image')} of {size_of(rows.images)}" if isinstance(rows, ImageSet) else repr(rows)


def _batches_of(number: int, size: int) -> str:
    return f"{number:,} {'batch' if number == 1 else 'batches'} of {size:,}"


def _card(pipeline: Any, rows: Rows) -> str:
    from trainer.data.card import sets_card
    from trainer.display.html import card

    return sets_card(repr(pipeline), {"": rows}) if isinstance(rows, ImageSet) else card(repr(pipeline))


def _row_bytes(spec: Any) -> int:
    """Return the size of the inputs of a row in bytes."""
    return max(1, sum(row_bytes(leaf) for leaf in tf.nest.flatten(spec[0])))


def _ahead(spec: Any, batch_size: int) -> int:
    """Return the number of batches to prefetch."""
    return max(1, min(PREFETCH, AHEAD_BYTES // (batch_size * _row_bytes(spec))))


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_warm_start = True  # prefetching starts when the iterator is created
    options.autotune.enabled = False
    return options
