"""A framed image is read in several views: as it is, moved by a pixel each way, and slanted either way.

Its centre of mass is no surer than a pixel, and how far a hand slants says nothing of the digit.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from models.recognizer.judge.digitness import digitness
from trainer.export.format import Classifier

SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
"""By how many rows and columns an image is moved."""

SLANTS = (0.15, -0.15)
"""By how many columns a row is moved for each row that it lies from the middle."""


def views_of(seen: np.ndarray) -> list[np.ndarray]:
    """Return images as they are and in the other views, each uint8 `[N, S, S, 1]`.

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
    """Return the probabilities of the classes, float64 `[N, K]`, and the worth, `[N]`, as means over the views.

    Args:
        seen: uint8 `[N, S, S, 1]`, framed.
        classify: From images to probabilities.
    """
    views = np.concatenate(views_of(seen))
    probabilities = classify(views).astype(np.float64)
    worths = worth(views, probabilities)
    count = len(views) // len(seen)
    return probabilities.reshape(count, len(seen), -1).mean(axis=0), worths.reshape(count, len(seen)).mean(axis=0)


def worth(seen: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the probability that an image is a digit, and the one that was read, `[N]`.

    Args:
        seen: uint8 `[N, S, S, 1]`.
        probabilities: Of the classes, `[N, K]`.
    """
    return digitness(seen) * probabilities.max(axis=1)
