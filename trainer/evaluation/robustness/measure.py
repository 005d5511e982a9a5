"""Accuracy and calibration of a model under corruptions and variations, a few images in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from trainer.data.augmentation.strength import Strength
from trainer.data.imageset import ImageSet
from trainer.evaluation import calibration_report
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.robustness.corruptions import CORRUPTIONS, SHAPE
from trainer.evaluation.robustness.variations import VARIATIONS
from trainer.evaluation.statistics import wilson_interval

AT_ONCE = 500
"""Number of images changed and classified at a time."""

Change = Callable[[np.ndarray], np.ndarray]
Predict = Callable[[np.ndarray], np.ndarray]
Row = dict[str, Any]


def corruptible(images: ImageSet) -> bool:
    """Return True if MNIST-C is defined for these images: gray, 28 x 28."""
    return images.images.shape[1:] == SHAPE


def measurements(images: ImageSet) -> int:
    """Return the number of rows that `corrupted` and `varied` yield together."""
    variations = sum(len(variation.amounts) for variation in VARIATIONS)
    return variations + (len(CORRUPTIONS) if corruptible(images) else 0)


def corrupted(
    predict: Predict, images: ImageSet, temperature: float | None, strength: Strength | None
) -> Iterator[Row]:
    """Evaluate a model under each corruption of MNIST-C, or under none if they are not defined for the images.

    Args:
        predict: Maps images, uint8 `[B, 28, 28, 1]`, to logits.
        images: The images and labels.
        temperature: Divisor of the logits for the calibration metrics; None leaves them unscaled.
        strength: The augmentation that the model was trained with.

    Yields:
        One row per corruption: its name (`corruption`), its `severity`, `trained_for` (True if the augmentation
        produces similar images), and the numbers of `read`.
    """
    for corruption in CORRUPTIONS if corruptible(images) else ():
        known = {"corruption": corruption.name, "severity": corruption.severity}
        trained = {"trained_for": corruption.trained_for(strength)}
        yield known | trained | read(predict, images, corruption, temperature)


def varied(predict: Predict, images: ImageSet, temperature: float | None) -> Iterator[Row]:
    """Evaluate a model under each amount of each variation; see `corrupted`.

    Yields:
        One row per amount: the `variation`, its `unit`, the `amount`, and the numbers of `read`.
    """
    for variation in VARIATIONS:
        for amount in variation.amounts:
            change = partial(variation, amount=amount)
            known = {"variation": variation.name, "unit": variation.unit, "amount": amount}
            yield known | read(predict, images, change, temperature)


def read(predict: Predict, images: ImageSet, change: Change, temperature: float | None) -> Row:
    """Return the `accuracy` on changed images, its 95 % interval `low` to `high`, and their `ece` and `nll`."""
    starts = range(0, len(images), AT_ONCE)
    parts = (np.ascontiguousarray(images.images[start : start + AT_ONCE]) for start in starts)
    logits = np.concatenate([predict(change(part)) for part in parts])
    predictions = Predictions(logits, images.labels, None, temperature)
    right = int(predictions.right.sum())
    low, high = wilson_interval(right, len(images))
    numbers = calibration_report(logits / (temperature or 1.0), images.labels)
    return {"images": len(images), "accuracy": right / len(images), "low": low, "high": high, **numbers}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean accuracy over all corruptions, over those trained for, and over those never seen.

    Args:
        rows: Rows of `corrupted`, at least one.

    Returns:
        The `mean` (None for an empty group) and the `names` for each of `all`, `trained_for` and `never_seen`.
    """
    parts = {
        "all": list(rows),
        "trained_for": [row for row in rows if row["trained_for"]],
        "never_seen": [row for row in rows if not row["trained_for"]],
    }
    return {name: {"mean": _mean(part), "names": [row["corruption"] for row in part]} for name, part in parts.items()}


def _mean(rows: Sequence[Mapping[str, Any]]) -> float | None:
    return float(np.mean([row["accuracy"] for row in rows])) if rows else None
