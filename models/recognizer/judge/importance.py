"""Shows which pixels mattered by erasing ink patch by patch, which works for any model that gives probabilities."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from trainer.export.format import Classifier

PATCH, STEP = 5, 3
"""Side of the erased patch, and distance between patches, in pixels."""


def importance(seen: np.ndarray, classify: Classifier) -> np.ndarray:
    """Return how far the log-odds of the most probable class fall when the ink around each pixel is erased.

    Args:
        seen: uint8 `[H, W, C]`.
        classify: Maps images, uint8 `[N, H, W, C]`, to probabilities.

    Returns:
        float32 `[H, W]` in [0, 1], 1 at the largest fall; 0 where they rise or there is no ink.
    """
    height, width = seen.shape[:2]
    near = ndimage.maximum_filter(seen.max(axis=2), PATCH)
    places = [(y, x) for y in range(0, height, STEP) for x in range(0, width, STEP) if near[y, x] > 60]
    images = np.repeat(seen[np.newaxis], len(places) + 1, axis=0)
    half = PATCH // 2
    for image, (y, x) in zip(images[1:], places, strict=True):
        image[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1] = 0
    probabilities = np.clip(classify(images).astype(np.float64), 1e-7, 1 - 1e-7)
    odds = np.log(probabilities / (1 - probabilities))[:, probabilities[0].argmax()]
    fall = np.zeros((height, width), np.float32)
    for place, value in zip(places, odds[0] - odds[1:], strict=True):
        fall[place] = max(0.0, float(value))
    spread = ndimage.gaussian_filter(fall, STEP * 0.6)
    return spread / max(float(spread.max()), 1e-6)
