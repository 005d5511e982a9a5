"""Scores that need a whole set at once: by scikit-learn, for classes and for labels that exclude nothing.

They take the labels and the predicted probabilities of all rows in one of three forms:

- classes: int `[N]`, 0-based, and probabilities `[N, K]`;
- yes or no: int `[N]`, 0 or 1, and the probability of 1 `[N]`;
- several labels: int `[N, K]`, each 0 or 1, and the probability of each `[N, K]`.

A class or label that the set lacks has no score, and is left out of the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


Score = Callable[["np.ndarray", "np.ndarray"], float]
"""Function from labels and predictions to a score."""


def roc_auc(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the area under the ROC curve, from 0 to 1: each class against the others, and the mean over classes."""
    from sklearn.metrics import roc_auc_score

    return _mean(roc_auc_score(is_it, score) for is_it, score in _columns(labels, predictions) if not is_it.all())


def average_precision(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the mean average precision (mAP), from 0 to 1: the mean over classes."""
    from sklearn.metrics import average_precision_score

    return _mean(average_precision_score(is_it, score) for is_it, score in _columns(labels, predictions))


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the mean over classes of F1, from 0 to 1: every class counts the same, however rare it is."""
    from sklearn.metrics import f1_score

    average = "binary" if predictions.ndim == 1 else "macro"
    return float(f1_score(labels, _decided(labels, predictions), average=average, zero_division=0))


def balanced_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the mean over classes of the share of their rows that is classified correctly, from 0 to 1."""
    import numpy as np

    decided = _decided(labels, predictions)
    if labels.ndim == 2:
        return _mean(balanced_accuracy(labels[:, k], predictions[:, k]) for k in range(labels.shape[1]))
    hits = np.bincount(labels, weights=decided == labels)
    support = np.bincount(labels)
    return float(np.mean(hits[support > 0] / support[support > 0]))


def matthews(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return Matthews's correlation coefficient, from -1 to 1; the mean over labels where there are several."""
    from sklearn.metrics import matthews_corrcoef

    decided = _decided(labels, predictions)
    if labels.ndim == 2:
        return _mean(matthews_corrcoef(labels[:, k], decided[:, k]) for k in range(labels.shape[1]))
    return float(matthews_corrcoef(labels, decided))


SCORES: Mapping[str, Score] = {
    "average_precision": average_precision,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "roc_auc": roc_auc,
}
"""Scores by the name that a task's `metrics` takes."""


def _decided(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return the predicted classes or labels, int, in the form of the labels."""
    if labels.ndim == predictions.ndim:
        return (predictions >= 0.5).astype(labels.dtype)
    return predictions.argmax(axis=1)


def _columns(labels: np.ndarray, predictions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each class that occurs, if a row is of it, bool `[N]`, and its probability `[N]`."""
    if predictions.ndim == 1:
        labels, predictions = labels[:, None], predictions[:, None]
    for k in range(predictions.shape[1]):
        is_it = labels[:, k] == 1 if labels.ndim == 2 else labels == k
        if is_it.any():
            yield is_it, predictions[:, k]


def _mean(values: Iterator[float]) -> float:
    """Return the mean; NaN if there are no values."""
    found = [float(value) for value in values]
    return fmean(found) if found else float("nan")
