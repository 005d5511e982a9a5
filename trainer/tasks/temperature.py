"""Temperature scaling, which calibrates probabilities (Guo et al. 2017, arXiv 1706.04599, section 4.2)."""

from __future__ import annotations

import numpy as np

from trainer.evaluation import log_softmax

COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature T for which the softmax of `logits / T` maximises the likelihood of the labels.

    Fit it on images that were not used for training. Predicted classes do not change, since dividing preserves order.

    Args:
        logits: float `[N, K]`, N at least 1.
        labels: int `[N]`, 0-based classes below K.

    Returns:
        From 0.05 to 20: above 1 for an overconfident model, below 1 for an underconfident one. If every prediction is
        right, the likelihood has no maximum and the result is 0.05.
    """
    logits = logits.astype(np.float64)
    of_labels = logits[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        """Return the derivative of the mean negative log-likelihood with respect to 1 / T, in which it increases."""
        expected = (np.exp(log_softmax(logits * inverse)) * logits).sum(axis=1)
        return float((expected - of_labels).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(1 / (low * high) ** 0.5)
