"""A framed image is read as it is and moved by a pixel each way, since its centre of mass is no surer than that."""

from __future__ import annotations

import numpy as np

from models.recognizer.digitness import digitness
from trainer.export.format import Classifier

SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
"""By how many rows and columns the views of an image are moved."""


def read_in_views(seen: np.ndarray, classify: Classifier) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of the classes, float64 `[N, K]`, and the worth, `[N]`, as means over the views.

    Args:
        seen: uint8 `[N, S, S, 1]`, framed, so that there is no ink at the border.
        classify: From images to probabilities.
    """
    views = np.concatenate([np.roll(seen, shift, axis=(1, 2)) for shift in SHIFTS])
    probabilities = classify(views).astype(np.float64)
    worths = worth(views, probabilities)
    return probabilities.reshape(len(SHIFTS), len(seen), -1).mean(axis=0), worths.reshape(len(SHIFTS), -1).mean(axis=0)


def worth(seen: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the probability that an image is a digit, and the one that was read, `[N]`.

    Args:
        seen: uint8 `[N, S, S, 1]`.
        probabilities: Of the classes, `[N, K]`.
    """
    return digitness(seen) * probabilities.max(axis=1)
