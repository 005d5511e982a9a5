"""Classification metrics, computed in float64 over all images at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.errors import DataError

ECE_BINS = 15


def classification_report(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return the standard metrics of a classifier, in which every image counts once.

    Args:
        logits: float `[N, K]`, N at least 1.
        labels: int `[N]`, 0-based classes below K.

    Returns:
        `accuracy`; macro `precision`, `recall` and `f1`, means over the classes that occur among labels or predictions
        (the precision of a class that is never predicted is 0); `ece`; `nll`, the mean negative log-likelihood of the
        labels (natural logarithm); `per_class`, a mapping of `precision`, `recall`, `f1` and `support` per class;
        `confusion`, `[K][K]` counts with the true class in rows.

    Raises:
        DataError: If a logit is not finite, which makes every metric meaningless.
    """
    if not np.isfinite(logits).all():
        raise DataError(f"the model's outputs are not finite for {int((~np.isfinite(logits)).any(1).sum())} images")
    predicted = logits.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, logits.shape[1])
    per_class = [_class_scores(confusion, k) for k in range(len(confusion))]
    seen = [scores for k, scores in enumerate(per_class) if scores["support"] or confusion[:, k].any()]
    return {
        "accuracy": float(np.mean(predicted == labels)),
        **{name: float(np.mean([scores[name] for scores in seen])) for name in ("precision", "recall", "f1")},
        **calibration_report(logits, labels),
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def calibration_report(logits: np.ndarray, labels: np.ndarray, prefix: str = "") -> dict[str, float]:
    """Return `ece` and `nll`, their names preceded by `prefix`; see `classification_report`."""
    log_p = log_softmax(logits)
    nll = float(-log_p[np.arange(len(labels)), labels].mean())
    return {f"{prefix}ece": expected_calibration_error(np.exp(log_p), labels), f"{prefix}nll": nll}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the log-probabilities, float64 `[N, K]`, of `logits`, float `[N, K]`."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return counts, int64 `[K, K]`, with true classes in rows and predicted classes in columns."""
    return np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _class_scores(confusion: np.ndarray, k: int) -> dict[str, float]:
    hits, predicted, support = confusion[k, k], confusion[:, k].sum(), confusion[k].sum()
    precision = hits / predicted if predicted else 0.0
    recall = hits / support if support else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support)}


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = ECE_BINS) -> float:
    """Return the mean gap between confidence and accuracy, from 0 to 1 (Guo et al. 2017, arXiv 1706.04599, eq. 3).

    Args:
        probabilities: float `[N, K]`, rows sum to 1.
        labels: int `[N]`.
        bins: Number of equally wide bins of the highest probability.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(number, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
