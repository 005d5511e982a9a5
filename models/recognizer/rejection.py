"""When a picture is refused, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.recognizer.digitness import digitness
from models.recognizer.source import of_trained
from trainer.errors import InkwellError
from trainer.restore import Trained

THRESHOLD = 0.25
"""What a picture's worth must reach, unless the export says what was measured for its model."""

REFUSED = 0.01
"""Part of real digits that a measured threshold refuses."""


def worth(seen: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the probability that an image is a digit, and the one that was read, `[N]`.

    Args:
        seen: uint8 `[N, 28, 28, 1]`.
        probabilities: Of the classes, `[N, K]`.
    """
    return digitness(seen) * probabilities.max(axis=1)


def measured(trained: Trained) -> dict[str, Any]:
    """Return the threshold for a trained model, as JSON can hold it; empty if it does not read handwritten digits.

    Of the run's validation images it refuses 1 %, if they are at hand, but it is at most 0.25.
    """
    source = of_trained(trained)
    if not source.handwriting:
        return {}
    try:
        what, images, *_ = trained.images(None, None, "validation")
    except InkwellError:  # the data have moved, or are others now
        return {"threshold": THRESHOLD}
    pixels = np.asarray(images.images)
    quantile = float(np.quantile(worth(pixels, source.classify(pixels)), REFUSED))
    return {"threshold": min(THRESHOLD, quantile), "measured": f"{what}: {len(pixels):,}"}


def reason(worth: float, probabilities: np.ndarray, class_names: Sequence[str], threshold: float) -> str | None:
    """Return why an image is refused, in plain words; None if it is not."""
    if worth >= threshold:
        return None
    second, first = np.argsort(probabilities)[-2:]
    if probabilities[first] < 0.8:
        return f"not sure: {class_names[first]} or {class_names[second]}"
    return "not a digit"
