"""The input pipeline: batch k of epoch e is a pure function of (seed, e, k), computed by tf.data with prefetch."""

from __future__ import annotations

import math
from typing import Any, Protocol

import tensorflow as tf

from trainer.data.augmentation.augment import augment
from trainer.data.augmentation.strength import Strength, strength
from trainer.data.imageset import ImageSet, size_of
from trainer.data.mapped import MappedImages
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

as_written = tf.autograph.experimental.do_not_convert
"""Exempts a function from AutoGraph, which takes longer than tracing it."""


class TrainingPipeline(Protocol):
    """The training data of `Trainer.fit`: endless batches that can start at any step.

    Attributes:
        steps_per_epoch: Number of batches per epoch.
        spec: Element spec of a batch.
        labels: All labels, int32 `[N]`, if they are known before training, else None.
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

    steps: int
    spec: Any
    labels: Any

    def batches(self) -> tf.data.Dataset:
        """Return one pass over all batches."""
        ...


class TrainingArray(Shown):
    """Training batches from images in memory or on disk: reshuffled each epoch, augmented, scaled to [0, 1].

    The order of epoch e is a stateless permutation keyed by (seed, e), the augmentation of global step s is keyed by
    (seed, s): starting at any step costs nothing and gives the batches that an uninterrupted run would have seen.
    A batch is a pair of images float32 `[B, H, W, C]` in [0, 1] and labels int32 `[B]`; an epoch's last may be short.

    Args:
        data: The images.
        batch_size: Images per batch, at least 1.
        seed: Seed of shuffling and augmentation, from 0 to 2⁶³ - 1.
        augmentation: Strength of the augmentation: `none`, `light`, `strong`, or a custom `Strength`.

    Raises:
        UsageError: If the batch size is out of range or the augmentation unknown.
    """

    def __init__(
        self, data: ImageSet, batch_size: int = 128, seed: int = 0, augmentation: str | Strength | None = "light"
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size must be at least 1: {batch_size}")
        self.data, self.images, self.labels = data, _held(data), tf.constant(data.labels)
        self.batch_size, self.seed = batch_size, seed
        self.strength = strength(augmentation) if isinstance(augmentation, str) else augmentation
        self.steps_per_epoch = -(-len(data) // batch_size)
        self.spec = batch_spec(data)

    def _line(self) -> str:
        changes = ", augmented" if self.strength is not None else ""
        return f"{_images_of(self.data)}{changes}; {_batches_of(self.steps_per_epoch, self.batch_size)} per epoch"

    def _card(self) -> str:
        from trainer.data.card import sets_card

        return sets_card(repr(self), {"": self.data})

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

    def peek(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images and labels of the first batch before augmentation."""
        first = self.order(tf.constant(0))[: self.batch_size]
        return scaled(_gather(self.images, first)), tf.gather(self.labels, first)

    def order(self, epoch: tf.Tensor) -> tf.Tensor:
        """Return the order of the images in a 0-based epoch, int32 `[N]`."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(epoch, tf.int64)])
        return tf.random.experimental.stateless_shuffle(tf.range(tf.shape(self.labels)[0]), seed=seed)

    def batch(self, indices: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images and labels at `indices`, augmented for global step `step` (0-based)."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), step])
        count = tf.shape(indices)[0]
        # A short batch is padded, so that the augmentation is compiled for one size only.
        filled = tf.pad(indices, [[0, self.batch_size - count]])
        gathered = tf.ensure_shape(_gather(self.images, filled), [self.batch_size, *self.spec[0].shape[1:]])
        return augment(gathered, seed, self.strength)[:count], tf.gather(self.labels, indices)


class EvaluationArray(Shown):
    """Evaluation batches from images in memory or on disk, in order, scaled to [0, 1]; batches as in `TrainingArray`.

    Args:
        data: The images.
        batch_size: Images per batch, at least 1; affects the result by rounding only. Default: 500, fewer if the
            images are large.

    Raises:
        UsageError: If the batch size is below 1.
    """

    def __init__(self, data: ImageSet, batch_size: int | None = None) -> None:
        size = 4 * math.prod(data.images.shape[1:])
        if batch_size is None:
            batch_size = max(1, min(EVALUATED, EVALUATED_BYTES // size))
        if batch_size < 1:
            raise UsageError(f"batch size must be at least 1: {batch_size}")
        self.data, self.batch_size, self.labels = data, batch_size, data.labels
        self.steps = -(-len(data) // batch_size)
        self.spec = batch_spec(data)
        self._keep = size * len(data) <= KEPT_BYTES
        self._batches: tf.data.Dataset | None = None

    def _line(self) -> str:
        return f"{_images_of(self.data)}; {_batches_of(self.steps, self.batch_size)}"

    def _card(self) -> str:
        from trainer.data.card import sets_card

        return sets_card(repr(self), {"": self.data})

    def batches(self) -> tf.data.Dataset:
        """Return one pass over all batches; those of a small set are cached, scaled, during the first pass."""
        if self._batches is None:
            images, labels, count = _held(self.data), tf.constant(self.data.labels), len(self.data)

            def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                indices = tf.range(start, tf.minimum(start + self.batch_size, count))
                return scaled(_gather(images, indices)), tf.gather(labels, indices)

            batches = tf.data.Dataset.range(0, count, self.batch_size).map(as_written(batch))
            kept = batches.cache() if self._keep else batches
            self._batches = kept.prefetch(_ahead(self.spec, self.batch_size)).with_options(_options())
        return self._batches


class TrainingStream(Shown):
    """Training batches from any finite `tf.data.Dataset` of a known number of batches.

    Guarantees less than `TrainingArray`: the dataset determines the order (if it reshuffles, a resumed run sees another
    order), and starting at a step reads and discards the batches before it.

    Args:
        batches: A dataset of batches.
        steps_per_epoch: Number of batches; required only if the dataset's cardinality is unknown.

    Raises:
        UsageError: If the number of batches is unknown or infinite and `steps_per_epoch` is not given.
    """

    def __init__(self, batches: tf.data.Dataset, steps_per_epoch: int | None = None) -> None:
        known = int(batches.cardinality())
        if steps_per_epoch is None and known < 1:
            raise UsageError("cannot train: the dataset's number of batches is unknown; pass steps_per_epoch")
        self.dataset, self.known, self.labels = batches, known, None
        self.steps_per_epoch = steps_per_epoch or known
        self.spec = batches.element_spec

    def _line(self) -> str:
        return f"{self.steps_per_epoch:,} batches per epoch"

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) onwards, epoch after epoch without end."""
        return self.dataset.repeat().skip(first_step % self.known if self.known > 0 else first_step)

    def peek(self) -> None:
        """Return None: reading a batch would change the state of the dataset's shuffling and source."""


class EvaluationStream(Shown):
    """Evaluation batches from any finite `tf.data.Dataset` that gives the same batches every time.

    Args:
        batches: A dataset of batches.
        steps: Number of batches to take; required only if the dataset's cardinality is unknown.

    Raises:
        UsageError: If the number of batches is unknown or infinite and `steps` is not given.
    """

    def __init__(self, batches: tf.data.Dataset, steps: int | None = None) -> None:
        known = int(batches.cardinality())
        if steps is None and known < 1:
            raise UsageError("cannot evaluate: the dataset's number of batches is unknown; pass validation_steps")
        self.steps = steps or known
        self.dataset, self.spec, self.labels = batches, batches.element_spec, None

    def _line(self) -> str:
        return f"{self.steps:,} batches"

    def batches(self) -> tf.data.Dataset:
        """Return one pass over all batches."""
        return self.dataset.take(self.steps)


def batch_spec(data: ImageSet) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    """Return the spec of a batch of `data`: float32 images and int32 labels, the batch size unknown."""
    return tf.TensorSpec([None, *data.images.shape[1:]], tf.float32), tf.TensorSpec([None], tf.int32)


def scaled(images: tf.Tensor) -> tf.Tensor:
    """Return images as float32 from 0 to 1: uint8 divided by 255, floats unchanged."""
    return tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else tf.cast(images, tf.float32)


def _images_of(data: ImageSet) -> str:
    return f"{count(len(data), 'image')} of {size_of(data.images)}"


def _batches_of(number: int, size: int) -> str:
    return f"{number:,} {'batch' if number == 1 else 'batches'} of {size:,}"


def _held(data: ImageSet) -> tf.Tensor | MappedImages:
    """Return the object to gather batches from: a tensor, or the mapped images."""
    return data.images if isinstance(data.images, MappedImages) else tf.constant(data.images)


def _gather(images: tf.Tensor | MappedImages, indices: tf.Tensor) -> tf.Tensor:
    """Return the images at `indices`, `[B, H, W, C]`, in their original dtype."""
    if not isinstance(images, MappedImages):
        return tf.gather(images, indices)
    # Declared stateless, so that tf.data may run it in parallel even if operations are deterministic.
    read = tf.numpy_function(images.__getitem__, [indices], tf.uint8, stateful=False)
    return tf.ensure_shape(read, [None, *images.shape[1:]])


def _ahead(spec: tuple[tf.TensorSpec, tf.TensorSpec], batch_size: int) -> int:
    """Return the number of batches to prefetch."""
    size = 4 * batch_size * math.prod(spec[0].shape[1:])
    return max(1, min(PREFETCH, AHEAD_BYTES // size))


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_warm_start = True  # prefetching starts when the iterator is created
    options.autotune.enabled = False
    return options
