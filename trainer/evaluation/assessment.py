"""All numbers about a classifier on one set of images, with their confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.evaluation.calibration import brier_score
from trainer.evaluation.classification import calibration_report, confusion_matrix
from trainer.evaluation.label_errors import SOURCE, doubted
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.statistics import Share, wilson_interval


def assess(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the content of `report/evaluation.json`; every share has a 95 % Wilson interval.

    Args:
        predictions: Finite outputs for at least one image.
        class_names: K names.

    Returns:
        `accuracy`, a `trainer.evaluation.statistics.Share`; `corrected`, the same without labels known to be wrong,
        None if there are none; `calibration`, the `ece`, `nll` and `brier` of the probabilities `as_they_are` and, if
        there is a temperature, `calibrated` by it; `per_class`; `confusion`, counts with the true class in rows.
    """
    labels, classes = predictions.labels, len(class_names)
    confusion = confusion_matrix(labels, predictions.predicted, classes)
    return {
        **from_confusion(confusion, class_names),
        "corrected": _corrected(predictions),
        "temperature": predictions.temperature,
        "calibration": {
            "as_they_are": _calibration(predictions, calibrated=False),
            **({"calibrated": _calibration(predictions, calibrated=True)} if predictions.temperature else {}),
        },
    }


def from_confusion(confusion: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the part of `assess` that follows from a confusion matrix: `accuracy`, `per_class` and `confusion`.

    Args:
        confusion: Images by true class (rows) and predicted class (columns), int `[K, K]`, at least one image.
        class_names: K names.
    """
    return {
        "accuracy": Share.of_counts(int(np.trace(confusion)), int(confusion.sum())).to_dict(),
        "per_class": [_of_class(confusion, k, name) for k, name in enumerate(class_names)],
        "confusion": confusion.tolist(),
    }


def _corrected(predictions: Predictions) -> dict[str, Any] | None:
    """Return the accuracy on MNIST's test set without unconfirmed labels; None for other images."""
    excluded = doubted(predictions.images, predictions.labels) if predictions.images is not None else None
    if excluded is None:
        return None
    return {**Share.of(predictions.right[~excluded]).to_dict(), "set_aside": int(excluded.sum()), "source": SOURCE}


def _calibration(predictions: Predictions, calibrated: bool) -> dict[str, float]:
    scale = predictions.temperature if calibrated and predictions.temperature else 1.0
    numbers = calibration_report(predictions.logits / scale, predictions.labels)
    return {**numbers, "brier": brier_score(predictions.probabilities(calibrated), predictions.labels)}


def _of_class(confusion: np.ndarray, k: int, name: str) -> dict[str, Any]:
    """Return the numbers of one class: images, correct predictions, and the class it is most often mistaken for."""
    images, hits, claimed = int(confusion[k].sum()), int(confusion[k, k]), int(confusion[:, k].sum())
    low, high = wilson_interval(hits, images)
    missed = np.where(np.arange(len(confusion)) == k, 0, confusion[k])
    return {
        **{"class": name, "images": images, "right": hits},
        **{"recall": hits / images if images else None, "recall_low": low, "recall_high": high},
        "precision": hits / claimed if claimed else None,
        "taken_for": int(missed.argmax()) if missed.any() else None,
        "taken_for_times": int(missed.max()),
    }


def hardest(per_class: Sequence[Mapping[str, Any]], count: int = 3) -> list[Mapping[str, Any]]:
    """Return the classes with the lowest recall, in ascending order; classes without errors are omitted."""
    missed = [scores for scores in per_class if scores["right"] < scores["images"]]
    return sorted(missed, key=lambda scores: scores["recall"])[:count]
