"""Corruptions of MNIST-C that draw over the digit or redraw it; see `trainer.evaluation.robustness.corruptions`."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from trainer.evaluation.robustness.seeding import Generators

REACH = 2.3
"""Distance above and below the middle of a line up to which it is visible, in pixels."""

TOOTH = 2.0
"""Height of a zigzag above its middle, and half the width of a tooth, in pixels."""


def stripe(images: np.ndarray, random: Generators) -> np.ndarray:
    """Invert the seven outermost columns on each side."""
    striped = images.copy()
    striped[:, :, :7] = 1 - images[:, :, :7]
    striped[:, :, 21:] = 1 - images[:, :, 21:]
    return striped


def dotted_line(images: np.ndarray, random: Generators) -> np.ndarray:
    """Draw a dotted line from side to side, alternating two hidden and two visible columns."""
    dots = np.arange(28) // 2 % 2 == 1
    lines = [line(0, ends[0], 27, ends[1]) * dots for ends in (g.integers(0, 27, 2) for g in random)]
    return images + np.stack(lines)[..., None]


def line(column: float, row: float, last_column: float, last_row: float) -> np.ndarray:
    """Return a line on 28 x 28 pixels, from 0 to 1, which fades logarithmically with the vertical distance."""
    rows, columns = np.mgrid[:28, :28].astype(float)
    slope = (last_row - row) / (last_column - column)
    distance = np.abs(rows - row - slope * (columns - column))
    drawn = np.log1p(-np.minimum(distance, REACH - 1e-10) / REACH) + 1
    drawn[:, : max(0, math.floor(column))] = 0
    drawn[:, max(0, math.ceil(last_column)) :] = 0
    return np.clip(drawn, 0, 1)


def zigzag(images: np.ndarray, random: Generators) -> np.ndarray:
    """Draw a zigzag of teeth 4 pixels wide and 4 high along a slightly slanted line."""
    drawn = images.copy()
    for image, g in zip(drawn, random, strict=True):
        first = g.integers(0, 27)
        corners = _zigzag(float(first), float(first + g.integers(-5, 5)))
        for start, end in pairwise(corners):
            image[..., 0] = np.minimum(image[..., 0] + line(*start, *end), 1)
    return drawn


def _zigzag(first_row: float, last_row: float) -> list[tuple[float, float]]:
    """Return the corners of a zigzag from column 2 to 25, as columns and rows."""
    left, right = 2.0, 25.0
    angle = math.atan((last_row - first_row) / (right - left))
    length = (right - left) / math.cos(angle)
    teeth = int((length - TOOTH) // (2 * TOOTH)) + 1
    corners = [(0.0, 0.0), *(((2 * k + 1) * TOOTH, (-1) ** k * TOOTH) for k in range(teeth))]
    whole = 2 * TOOTH * (length // (2 * TOOTH))
    if length != whole:
        corners.append((length, corners[-1][1] / (2 * (length - whole))))
    cos, sin = math.cos(angle), math.sin(angle)
    return [(left + cos * along - sin * up, first_row + sin * along + cos * up) for along, up in corners]


def canny_edges(images: np.ndarray, random: Generators) -> np.ndarray:
    """Keep only the edges (Canny 1986), as found by scikit-image with its defaults."""
    from skimage.feature import canny

    return np.stack([canny(image[..., 0]) for image in images]).astype(float)[..., None]
