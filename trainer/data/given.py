"""Conversion of the data that users pass to `fit` or `evaluate` into the engine's pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.augmentation.strength import Strength, strength
from trainer.data.imageset import ImageSet
from trainer.data.pipeline import (
    EvaluationArray,
    EvaluationPipeline,
    EvaluationStream,
    TrainingArray,
    TrainingPipeline,
    TrainingStream,
)
from trainer.errors import UsageError

BATCH_SIZE = 128
"""Default training batch size."""


def training_data(
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    augmentation: str | Strength | None = None,
    steps_per_epoch: int | None = None,
) -> TrainingPipeline:
    """Return the training pipeline for a user's data.

    Args:
        x: Images as accepted by `image_set`, an `ImageSet`, a batched `tf.data.Dataset`, or a pipeline.
        y: Labels, if `x` is an array of images.
        batch_size: Images per batch; default: 128. Datasets and pipelines determine their own.
        seed: Seed of shuffling and augmentation.
        augmentation: Strength of the augmentation, or its name; default: light for image sets from `load`, otherwise
            none.
        steps_per_epoch: Batches per epoch, for a dataset of unknown length.

    Raises:
        UsageError: If `x` is none of these, or an argument does not apply to it.
    """
    images = _images(x, y)
    if images is not None:
        named = ("light" if images.loaded else "none") if augmentation is None else augmentation
        changes = strength(named) if isinstance(named, str) else named
        return TrainingArray(images, BATCH_SIZE if batch_size is None else batch_size, seed, changes)
    if batch_size is not None or augmentation not in (None, "none"):
        given = "batch_size" if batch_size is not None else "augmentation"
        raise UsageError(f"{given} is for arrays and image sets; a dataset or pipeline determines its own")
    if isinstance(x, tf.data.Dataset):
        return TrainingStream(x, steps_per_epoch)
    if not hasattr(x, "batches"):
        raise _refusal(x, "train on")
    return x


def evaluation_data(x: Any, y: Any = None, *, steps: int | None = None) -> EvaluationPipeline:
    """Return the evaluation pipeline for a user's data.

    Args:
        x: Data as in `training_data`, or a pair `(x, y)`.
        y: Labels, if `x` is an array of images.
        steps: Number of batches, for a dataset of unknown length.

    Raises:
        UsageError: If `x` is none of these.
    """
    if y is None and isinstance(x, tuple) and len(x) == 2:
        x, y = x
    images = _images(x, y)
    if images is not None:
        return EvaluationArray(images)
    if isinstance(x, tf.data.Dataset):
        return EvaluationStream(x, steps)
    if not hasattr(x, "batches"):
        raise _refusal(x, "evaluate on")
    return x


def image_set(x: Any, y: Any) -> ImageSet:
    """Return labelled images in arrays as an image set.

    Args:
        x: Images `[N, H, W]` or `[N, H, W, C]`, N at least 1: uint8 from 0 to 255, or floats from 0 to 1.
        y: 0-based class numbers, integers `[N]` or `[N, 1]`.

    Raises:
        UsageError: If shapes, dtypes or ranges differ from the above.
    """
    images, labels = as_images(x), np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(f"labels must be integers [N]: {labels.dtype} {labels.shape}")
    if len(images) != len(labels) or not len(labels):
        raise UsageError(f"{len(images):,} images but {len(labels):,} labels; give one label per image, at least one")
    return ImageSet(images, labels.astype(np.int32))


def as_images(x: Any) -> np.ndarray:
    """Return images as uint8 `[N, H, W, C]`, or as float32 from 0 to 1.

    Raises:
        UsageError: If they cannot be read as either.
    """
    images = as_inputs(x, rank=4)
    if images.ndim != 4:
        raise UsageError(f"images must be [N, H, W] or [N, H, W, C]: {images.dtype} {images.shape}")
    if images.dtype != np.uint8 and images.size and not (images.min() >= 0 and images.max() <= 1):
        raise UsageError(f"float images must be from 0 to 1; these range from {images.min():g} to {images.max():g}")
    return images


def as_inputs(x: Any, rank: int) -> np.ndarray:
    """Return inputs as uint8, which represents 0 to 1 in steps of 1/255, or as float32.

    Args:
        x: An array; images without a channel axis get one.
        rank: Required number of axes, including the batch axis.

    Raises:
        UsageError: If they have another dtype: of the integers, only uint8 is known to mean 0 to 255.
    """
    inputs = np.asarray(x)
    if rank == 4 and inputs.ndim == 3:
        inputs = inputs[..., None]
    if inputs.dtype == np.uint8:
        return inputs
    if not np.issubdtype(inputs.dtype, np.floating):
        raise UsageError(
            f"images must be uint8 (0 to 255) or floats (0 to 1), not {inputs.dtype}; convert them: x.astype('uint8')"
        )
    return inputs.astype(np.float32)


def _images(x: Any, y: Any) -> ImageSet | None:
    """Return the image set that was given or that the arrays make up; None for anything else."""
    if isinstance(x, ImageSet):
        if y is not None:
            raise UsageError("an ImageSet contains its labels; omit y")
        return x
    if isinstance(x, tf.data.Dataset) or hasattr(x, "batches"):
        if y is not None:
            raise UsageError("a dataset or pipeline contains its labels; omit y")
        return None
    if y is None:
        return None
    return image_set(x, y)


def _refusal(x: Any, verb: str) -> UsageError:
    hint = "; give the labels too: (x, y)" if isinstance(x, np.ndarray) else ""
    return UsageError(
        f"cannot {verb} {type(x).__name__}: give images and labels, an ImageSet, or a batched tf.data.Dataset{hint}"
    )
