"""Reads a framed image in several views: unchanged, shifted by a pixel in each direction, and slanted both ways.

Its centre of mass is only accurate to a pixel, and the slant of the handwriting says nothing about the digit.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from models.recognizer.judge.digitness import digitness
from trainer.export.format import Classifier

SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
"""Shifts of an image in rows and columns."""

SLANTS = (0.15, -0.15)
"""Slants: shift of a row in columns, per row of distance from the middle."""


def views_of(seen: np.ndarray) -> list[np.ndarray]:
    """Return images unchanged and in the other views, each uint8 `[N, S, S, 1]`.

    Args:
        seen: uint8 `[N, S, S, 1]`, framed, so that there is no ink at the border.
    """
    moved = [np.roll(seen, shift, axis=(1, 2)) for shift in SHIFTS]
    return moved + [_slanted(seen, slant) for slant in SLANTS]


def _slanted(seen: np.ndarray, slant: float) -> np.ndarray:
    shear, middle = np.eye(4), (seen.shape[1] - 1) / 2
    shear[2, 1] = slant
    return ndimage.affine_transform(seen, shear, (0, 0, -slant * middle, 0), order=1)


def read_in_views(seen: np.ndarray, classify: Classifier) -> tuple[np.ndarray, np.ndarray]:
    """Return the class probabilities, float64 `[N, K]`, and the worth, `[N]`, averaged over the views.

    Args:
        seen: uint8 `[N, S, S, 1]`, framed.
        classify: Maps images to probabilities.
    """
    views = np.concatenate(views_of(seen))
    probabilities = classify(views).astype(np.float64)
    worths = worth(views, probabilities)
    count = len(views) // len(seen)
    return probabilities.reshape(count, len(seen), -1).mean(axis=0), worths.reshape(count, len(seen)).mean(axis=0)


def worth(seen: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the probability that an image is a digit and is read correctly, `[N]`.

    Args:
        seen: uint8 `[N, S, S, 1]`.
        probabilities: Class probabilities, `[N, K]`.
    """
    return digitness(seen) * probabilities.max(axis=1)
