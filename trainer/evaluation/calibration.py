"""Calibration of probabilities: the bins of the reliability diagram, and the Brier score."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.evaluation.classification import ECE_BINS
from trainer.evaluation.statistics import wilson_interval


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = ECE_BINS) -> list[dict[str, Any]]:
    """Return the bins of a reliability diagram (DeGroot and Fienberg 1983), the same as for the calibration error.

    Args:
        probabilities: float `[N, K]`, rows sum to 1.
        labels: int `[N]`.
        bins: Number of equally wide bins of the highest probability.

    Returns:
        One mapping per bin: its bounds `low` and `high`, the number of `images`, their mean `confidence`, their
        `accuracy`, and its 95 % interval `accuracy_low` to `accuracy_high`; the last four are None for an empty bin.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for k in range(bins):
        inside = number == k
        images, hits = int(inside.sum()), int(right[inside].sum())
        low, high = wilson_interval(hits, images) if images else (None, None)
        rows.append(
            {
                **{"low": k / bins, "high": (k + 1) / bins, "images": images},
                "confidence": float(confidence[inside].mean()) if images else None,
                "accuracy": hits / images if images else None,
                **{"accuracy_low": low, "accuracy_high": high},
            }
        )
    return rows


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance between probabilities and one-hot labels, from 0 to 2 (Brier 1950).

    Args:
        probabilities: float `[N, K]`, rows sum to 1.
        labels: int `[N]`.
    """
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(((probabilities**2).sum(axis=1) - 2 * of_label + 1).mean())
