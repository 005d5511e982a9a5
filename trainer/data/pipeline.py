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
"""Batches made ahead. A constant, since tf.data's own tuning grows buffers at the cost of the training step's cores."""

AHEAD_BYTES = 64_000_000
"""Fewer batches are made ahead if they would take more memory than this; always one."""

EVALUATED, EVALUATED_BYTES = 500, 8_000_000
"""Most images in an evaluation batch, and fewer if they would take more memory than this; always one."""

KEPT_BYTES = 64_000_000
"""Scaled images to evaluate on are kept from one evaluation to the next if they take no more memory than this."""

WORKERS = 2

as_written = tf.autograph.experimental.do_not_convert
"""Keeps tf.data from translating a function of TensorFlow's operations, which takes longer than tracing it."""


class TrainingPipeline(Protocol):
    """What `Trainer.fit` trains on: endless batches that can start at any step.

    Attributes:
        steps_per_epoch: Batches in one pass.
        spec: Element spec of a batch.
        labels: All labels, int32 `[N]`, if they are known before training, else None.
    """

    steps_per_epoch: int
    spec: Any
    labels: Any

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) on, epoch after epoch."""
        ...

    def peek(self) -> Any | None:
        """Return a batch like the first one, or None if nobody can look at it without using it up."""
        ...


class EvaluationPipeline(Protocol):
    """What is evaluated: the same batches in the same order every time; attributes as in `TrainingPipeline`."""

    steps: int
    spec: Any
    labels: Any

    def batches(self) -> tf.data.Dataset:
        """Return all batches, once."""
        ...


class TrainingArray(Shown):
    """Training batches from images in memory or on disk: shuffled anew each epoch, augmented, scaled to [0, 1].

    The order of epoch e is a stateless permutation by (seed, e), the augmentation of global step s is keyed by
    (seed, s): starting anywhere costs nothing and gives the batches that an uninterrupted run would have seen.
    A batch is a pair of images float32 `[B, H, W, C]` in [0, 1] and labels int32 `[B]`; an epoch's last may be short.

    Args:
        data: The images.
        batch_size: Images per batch, at least 1.
        seed: From 0 to 2⁶³ - 1.
        augmentation: How far the random changes go: `none`, `light`, `strong` or values of one's own.

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
        """Return the batches from global step `first_step` (0-based) on, epoch after epoch without end."""
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
        """Return the images and labels of the first batch as they are before they are changed."""
        first = self.order(tf.constant(0))[: self.batch_size]
        return scaled(_gather(self.images, first)), tf.gather(self.labels, first)

    def order(self, epoch: tf.Tensor) -> tf.Tensor:
        """Return the order of the images in a 0-based epoch, int32 `[N]`."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(epoch, tf.int64)])
        return tf.random.experimental.stateless_shuffle(tf.range(tf.shape(self.labels)[0]), seed=seed)

    def batch(self, indices: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images and labels at `indices`, augmented as global step `step` (0-based) has it."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), step])
        count = tf.shape(indices)[0]
        # A short batch is filled up, so that the augmentation is compiled for one size only.
        filled = tf.pad(indices, [[0, self.batch_size - count]])
        gathered = tf.ensure_shape(_gather(self.images, filled), [self.batch_size, *self.spec[0].shape[1:]])
        return augment(gathered, seed, self.strength)[:count], tf.gather(self.labels, indices)


class EvaluationArray(Shown):
    """Evaluation batches from images in memory or on disk, in order, scaled to [0, 1]; batches as in `TrainingArray`.

    Args:
        data: The images.
        batch_size: Images per batch, at least 1; it does not change the result beyond rounding. Default: 500, fewer if
            the images are large.
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
        """Return all batches, once; those of few images are scaled on the first pass and kept for the next."""
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

    Weaker than `TrainingArray`: the order is the dataset's own (if it reshuffles, a resumed run sees another order),
    and starting at a step reads and drops the batches before it.

    Args:
        batches: Yields batches.
        steps_per_epoch: Number of batches; needed only if the dataset does not know it.

    Raises:
        UsageError: If the number of batches is unknown or infinite and `steps_per_epoch` is not given.
    """

    def __init__(self, batches: tf.data.Dataset, steps_per_epoch: int | None = None) -> None:
        known = int(batches.cardinality())
        if steps_per_epoch is None and known < 1:
            raise UsageError("cannot train: the dataset does not know its number of batches; give steps_per_epoch")
        self.dataset, self.known, self.labels = batches, known, None
        self.steps_per_epoch = steps_per_epoch or known
        self.spec = batches.element_spec

    def _line(self) -> str:
        return f"{self.steps_per_epoch:,} batches per epoch"

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches from global step `first_step` (0-based) on, epoch after epoch without end."""
        return self.dataset.repeat().skip(first_step % self.known if self.known > 0 else first_step)

    def peek(self) -> None:
        """Return None: a look would move on what the dataset's shuffling and its source remember."""


class EvaluationStream(Shown):
    """Evaluation batches from any finite `tf.data.Dataset` that gives the same batches every time.

    Args:
        batches: Yields batches.
        steps: Number of batches to take; needed only if the dataset does not know its own.

    Raises:
        UsageError: If the number of batches is unknown or infinite.
    """

    def __init__(self, batches: tf.data.Dataset, steps: int | None = None) -> None:
        known = int(batches.cardinality())
        if steps is None and known < 1:
            raise UsageError("cannot evaluate: the dataset does not know its number of batches; give validation_steps")
        self.steps = steps or known
        self.dataset, self.spec, self.labels = batches, batches.element_spec, None

    def _line(self) -> str:
        return f"{self.steps:,} batches"

    def batches(self) -> tf.data.Dataset:
        """Return all batches, once."""
        return self.dataset.take(self.steps)


def batch_spec(data: ImageSet) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    """Return the spec of a batch of `data`: float32 images and int32 labels, the number of them left open."""
    return tf.TensorSpec([None, *data.images.shape[1:]], tf.float32), tf.TensorSpec([None], tf.int32)


def scaled(images: tf.Tensor) -> tf.Tensor:
    """Return images as float32 from 0 to 1: uint8 divided by 255, floats as they are."""
    return tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else tf.cast(images, tf.float32)


def _images_of(data: ImageSet) -> str:
    return f"{count(len(data), 'image')} of {size_of(data.images)}"


def _batches_of(number: int, size: int) -> str:
    return f"{number:,} {'batch' if number == 1 else 'batches'} of {size:,}"


def _held(data: ImageSet) -> tf.Tensor | MappedImages:
    """Return what batches are gathered from: a tensor, or the images as they lie on disk."""
    return data.images if isinstance(data.images, MappedImages) else tf.constant(data.images)


def _gather(images: tf.Tensor | MappedImages, indices: tf.Tensor) -> tf.Tensor:
    """Return the images at `indices`, `[B, H, W, C]`, of their own dtype."""
    if not isinstance(images, MappedImages):
        return tf.gather(images, indices)
    # Stateless, so that tf.data may run it in parallel under deterministic operations too.
    read = tf.numpy_function(images.__getitem__, [indices], tf.uint8, stateful=False)
    return tf.ensure_shape(read, [None, *images.shape[1:]])


def _ahead(spec: tuple[tf.TensorSpec, tf.TensorSpec], batch_size: int) -> int:
    """Return how many batches are made ahead."""
    size = 4 * batch_size * math.prod(spec[0].shape[1:])
    return max(1, min(PREFETCH, AHEAD_BYTES // size))


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_warm_start = True  # batches are made as soon as there is an iterator
    options.autotune.enabled = False
    return options
