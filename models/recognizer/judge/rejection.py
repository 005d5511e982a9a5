"""Decides whether a picture is refused, and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

THRESHOLD = 0.1
"""Default threshold: the lowest worth of a picture that is read, unless an export has one measured for its model."""


def reason(worth: float, probabilities: np.ndarray, class_names: Sequence[str], threshold: float) -> str | None:
    """Return why an image is refused, in plain words; None if it is accepted."""
    if worth >= threshold:
        return None
    second, first = np.argsort(probabilities)[-2:]
    if probabilities[first] < 0.8:
        return f"not sure: {class_names[first]} or {class_names[second]}"
    return "not a digit"
