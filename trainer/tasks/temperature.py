"""Temperature scaling: probabilities that mean what they say (Guo et al. 2017, arXiv 1706.04599, section 4.2)."""

from __future__ import annotations

import numpy as np

from trainer.evaluation import log_softmax

COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature T for which the softmax of `logits / T` gives the labels the highest likelihood.

    Fitted on images that training did not see; classes stay the same, since dividing changes no order.

    Args:
        logits: float `[N, K]`, N at least 1.
        labels: int `[N]`, 0-based classes below K.

    Returns:
        From 0.05 to 20: above 1 for a model that is too sure of itself, below 1 for one that is not sure enough. Where
        all labels are right the likelihood has no maximum, and it is the coldest.
    """
    logits = logits.astype(np.float64)
    of_labels = logits[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        """Return the derivative of the mean negative log-likelihood by 1 / T, which rises with it."""
        expected = (np.exp(log_softmax(logits * inverse)) * logits).sum(axis=1)
        return float((expected - of_labels).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(1 / (low * high) ** 0.5)
