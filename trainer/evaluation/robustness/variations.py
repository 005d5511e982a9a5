"""Variations of writing and framing: shift, rotation, size and stroke width."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainer.evaluation.robustness.geometry import moved_by, rotation, warp
from trainer.evaluation.robustness.seeding import generators

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True)
class Variation:
    """One kind of variation, in several amounts.

    Attributes:
        change: Takes images, float64 `[N, H, W, C]` in [0, 1], an amount, and the original images, uint8.
        unit: Unit of an amount, in words.
        neutral: The amount that changes nothing.
        amounts: Amounts to evaluate, ascending, including `neutral`.
    """

    change: Callable[[np.ndarray, float, np.ndarray], np.ndarray]
    unit: str
    neutral: float
    amounts: tuple[float, ...]

    @property
    def name(self) -> str:
        """The name of the variation."""
        return self.change.__name__

    def __call__(self, images: np.ndarray, amount: float) -> np.ndarray:
        """Return changed images, uint8, for `images`, uint8 `[N, H, W, C]`."""
        changed = self.change(images / 255.0, amount, images)
        return np.rint(255 * np.clip(changed, 0, 1)).astype(np.uint8)


def shift(images: np.ndarray, pixels: float, original: np.ndarray) -> np.ndarray:
    """Shift each image up, down, left or right; its content determines the direction."""
    ways = [DIRECTIONS[g.integers(len(DIRECTIONS))] for g in generators("shift", original)]
    moves = ((round(pixels * down), round(pixels * right)) for down, right in ways)
    return np.stack([moved_by(image, *move) for image, move in zip(images, moves, strict=True)])


def rotate(images: np.ndarray, degrees: float, original: np.ndarray) -> np.ndarray:
    """Rotate clockwise about the centre."""
    matrix = rotation(math.radians(-degrees))
    return np.stack([warp(image, matrix) for image in images])


def size(images: np.ndarray, factor: float, original: np.ndarray) -> np.ndarray:
    """Scale about the centre."""
    return np.stack([warp(image, np.eye(2) / factor) for image in images])


def stroke(images: np.ndarray, pixels: float, original: np.ndarray) -> np.ndarray:
    """Thicken or thin bright strokes on both sides, by gray dilations and erosions with 3 x 3 pixels.

    Fractions of a pixel interpolate between successive images.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    neighbours = maximum_filter if pixels > 0 else minimum_filter
    left = abs(pixels)
    while left > 0:
        further = neighbours(images, size=(1, 3, 3, 1), mode="nearest")
        images = images + min(left, 1.0) * (further - images)
        left -= 1.0
    return images


VARIATIONS = (
    Variation(shift, "pixels moved", 0, (0, 1, 2, 3, 4, 5, 6)),
    Variation(rotate, "degrees clockwise", 0, (-60, -45, -30, -20, -10, 0, 10, 20, 30, 45, 60)),
    Variation(size, "times the size", 1, (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4)),
    Variation(stroke, "pixels thicker", 0, (-1, -0.75, -0.5, -0.25, 0, 0.5, 1, 1.5, 2)),
)
