"""Conversion of the data that users pass to `fit` or `evaluate` into the engine's pipelines."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from trainer.data.augmentation.strength import Strength, strength
from trainer.data.batch import Fitting
from trainer.data.columns import scaled_spec
from trainer.data.imageset import ImageSet
from trainer.data.pipeline import EvaluationPipeline, EvaluationRows, TrainingPipeline, TrainingRows
from trainer.data.rows import ArrayRows, Rows, is_rows
from trainer.data.streams.kinds import is_stream
from trainer.data.streams.py_dataset import TrainingPyDataset
from trainer.data.streams.stream import OWN, EvaluationStream, Length, TrainingStream
from trainer.errors import UsageError

BATCH_SIZE = 128
"""Default training batch size."""


def training_data(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    fitting: Fitting,
    images: bool = True,
    batch_size: int | None = None,
    seed: int = 0,
    augmentation: str | Strength | None = None,
    length: Length = OWN,
) -> TrainingPipeline:
    """Return the training pipeline for a user's data.

    Args:
        x: Arrays or a tree of them; a tuple `(x, y)` or `(x, y, sample_weight)` of such; `Rows` such as an `ImageSet`;
            a `keras.utils.PyDataset`; a stream of batches, see `trainer.data.streams.kinds.stream_of`; or a pipeline.
        y: Labels, if `x` are arrays.
        sample_weight: Weights of the rows, if `x` are arrays.
        fitting: Arranges batches for the task.
        images: True if the model takes images, so that arrays may be images.
        batch_size: Rows per batch; default: 128. Datasets and pipelines determine their own.
        seed: Seed of shuffling and augmentation.
        augmentation: Strength of the augmentation, or its name; default: light for image sets from `load`, otherwise
            none.
        length: Length of an epoch, for data that are given as batches.

    Raises:
        UsageError: If `x` is none of these, or an argument does not apply to it.
    """
    x, y, sample_weight = parts_of(x, y, sample_weight)
    rows = rows_of(x, y, sample_weight, images)
    if rows is not None:
        loaded = isinstance(rows, ImageSet) and rows.loaded
        named = ("light" if loaded else "none") if augmentation is None else augmentation
        changes = strength(named) if isinstance(named, str) else named
        size = BATCH_SIZE if batch_size is None else batch_size
        _only_for_batches("steps_per_epoch", length.steps_per_epoch)
        return TrainingRows(rows, size, seed, changes, fitting(scaled_spec(rows.spec)))
    if batch_size is not None or augmentation not in (None, "none"):
        given = "batch_size" if batch_size is not None else "augmentation"
        raise UsageError(f"{given} is for arrays and image sets; a dataset or pipeline determines its own")
    if hasattr(x, "batches"):
        pipeline: TrainingPipeline = x
        return pipeline
    if isinstance(x, keras.utils.PyDataset):
        return TrainingPyDataset(x, seed, length, fitting)
    if not is_stream(x):
        raise _refusal(x, "train on")
    return TrainingStream(x, length, fitting)


def evaluation_data(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    fitting: Fitting,
    images: bool = True,
    steps: int | None = None,
) -> EvaluationPipeline:
    """Return the evaluation pipeline for a user's data.

    Args:
        x: Data as in `training_data`, or a tuple `(x, y)` or `(x, y, sample_weight)`.
        y: Labels, if `x` are arrays.
        sample_weight: Weights of the rows, if `x` are arrays.
        fitting: Arranges batches for the task.
        images: True if the model takes images, so that arrays may be images.
        steps: Number of batches, for data that are given as batches; default: all.

    Raises:
        UsageError: If `x` is none of these.
    """
    x, y, sample_weight = parts_of(x, y, sample_weight)
    rows = rows_of(x, y, sample_weight, images)
    if rows is not None:
        _only_for_batches("validation_steps", steps)
        return EvaluationRows(rows, arrange=fitting(scaled_spec(rows.spec)))
    if hasattr(x, "batches"):
        pipeline: EvaluationPipeline = x
        return pipeline
    if not is_stream(x):
        raise _refusal(x, "evaluate on")
    return EvaluationStream(x, steps, fitting)


def parts_of(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Return inputs, labels and weights; without labels, a tuple of two or three is `(x, y[, sample_weight])`."""
    if y is None and isinstance(x, tuple) and len(x) in (2, 3):
        x, y, sample_weight = (*x, None)[:3]
    return x, y, sample_weight


def rows_of(x: Any, y: Any = None, sample_weight: Any = None, images: bool = True) -> Rows | None:
    """Return data that are indexed as rows, labelled images among them as an `ImageSet`; None for anything else.

    Args:
        x: What was given as `x`.
        y: Labels.
        sample_weight: Weights of the rows.
        images: True if arrays may be images.

    Raises:
        UsageError: If the parts do not fit together.
    """
    if hasattr(x, "batches") or is_rows(x) or is_stream(x):
        if y is not None or sample_weight is not None:
            kind = "an ImageSet" if isinstance(x, ImageSet) else f"a {type(x).__name__}"
            raise UsageError(f"{kind} contains its labels and weights; omit y and sample_weight")
        return x if is_rows(x) else None
    if not _is_arrays(x):
        return None
    if images and sample_weight is None and _are_images(x, y):
        return image_set(x, y)
    return ArrayRows(x, y, sample_weight)


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


def _is_arrays(x: Any) -> bool:
    """Return True if `x` is an array or a tree of arrays, lists of numbers included."""
    if isinstance(x, dict):
        return bool(x) and all(map(_is_arrays, x.values()))
    if isinstance(x, list | tuple):
        return bool(x) and all(_is_arrays(each) or isinstance(each, int | float | str) for each in x)
    return hasattr(x, "__array__")


def _are_images(x: Any, y: Any) -> bool:
    """Return True if arrays are labelled images: one array of uint8 or of floats from 0 to 1, and whole numbers."""
    if isinstance(x, dict | list | tuple) or isinstance(y, dict | tuple) or y is None:
        return False
    labels, shape = np.asarray(y), tuple(x.shape)
    if labels.dtype.kind not in "iu" or labels.ndim == 0 or labels.shape not in ((len(labels),), (len(labels), 1)):
        return False
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        return False
    return np.issubdtype(x.dtype, np.integer) or not np.size(x) or bool(np.min(x) >= 0 and np.max(x) <= 1)


def _only_for_batches(name: str, value: int | None) -> None:
    """Refuse a number of batches for data whose batches are made from rows.

    Raises:
        UsageError: If one is given.
    """
    if value is not None:
        raise UsageError(f"{name} is for data that are given as batches; of rows, every one is used once: omit it")


def _refusal(x: Any, verb: str) -> UsageError:
    return UsageError(
        f"cannot {verb} {type(x).__name__}: give arrays or a tree of them, an ImageSet, a tf.data.Dataset of batches, "
        "or a function that yields batches"
    )
