"""Where ink can be cut: the ways from above it to below that cross the least of it.

Through every point in the middle of a stroke leads a cheapest way (Dijkstra 1959). The cheapest of all is the first
seam, the cheapest of those that cross the ink elsewhere the second, and so on. Such a way may turn back, so that it
follows the gap under the bar of a 7, or around the tail of a 2, to where the digits touch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

FINE = 56
"""Rows of a digit in which seams are looked for."""

PAPER = 0.08
"""What a pixel of paper costs, where one of ink costs 1: of two ways through the same ink, the shorter is taken."""

DEAREST = 0.5
"""Seams cross ink for at most this part of a digit's height."""

LOWEST = 0.45
"""On either side of a seam, ink is at least this part of a digit high: more than its tail."""

ALIKE = 0.01
"""Seams differ by at least this part of a digit's height squared in the ink that lies to their left."""

OUTER = 0.06
"""No seam comes nearer to the first and last ink than this part of a digit's height: no digit is narrower."""

APART = 0.05
"""Seams cross ink at least this part of a digit's height from each other."""


@dataclass(frozen=True)
class Seam:
    """A way to cut ink in two.

    Attributes:
        left: What lies to its left, bool `[h, w]`.
        crossed: How much ink it crosses, in parts of the height of digits.
    """

    left: np.ndarray
    crossed: float


def seams_of(ink: np.ndarray, height: float) -> list[Seam]:
    """Return the seams of ink from left to right.

    Args:
        ink: float `[h, w]`, around 1 where the pen has been.
        height: How high digits are, in pixels.
    """
    scale = max(1.0, height / FINE)
    coarse, unit = np.pad(_reduced(ink, scale), 1), height / scale
    mask = coarse > 0.5
    found: list[tuple[np.ndarray, float]] = []
    for way in _ways(coarse, unit):
        left = _left_of(way)
        high = [(side & mask).any(axis=1).sum() > LOWEST * unit for side in (left, ~left & ~way)]
        if all(high) and all(((left ^ other) & mask).sum() > ALIKE * unit**2 for other, _ in found):
            found.append((left, float(coarse[way].sum()) / unit))
    found.sort(key=lambda seam: int(seam[0].sum()))
    return [Seam(_enlarged(left, ink.shape, scale), crossed) for left, crossed in found]


def _ways(ink: np.ndarray, unit: float) -> Iterator[np.ndarray]:
    """Yield ways through ink from the first row to the last, bool `[h, w]`, the cheapest first.

    Args:
        ink: float `[h, w]` in [0, 1], with paper around it.
        unit: How high digits are, in pixels.
    """
    from skimage.graph import MCP_Geometric
    from skimage.morphology import skeletonize

    mask, cost, edge = ink > 0.5, ink + PAPER, 1 + round(OUTER * unit)
    cost[:, :edge] = cost[:, -edge:] = -1  # no way leads around the ink, so that each cuts it
    columns = range(edge, cost.shape[1] - edge)
    if not columns:
        return
    above, below = MCP_Geometric(cost), MCP_Geometric(cost)
    down, _ = above.find_costs([(0, column) for column in columns])
    up, _ = below.find_costs([(len(cost) - 1, column) for column in columns])
    through = np.where(skeletonize(mask), down + up, np.inf)
    while through.min() < DEAREST * unit:
        pixel = np.unravel_index(through.argmin(), through.shape)
        way = np.zeros(mask.shape, bool)
        way[tuple(np.array(above.traceback(pixel) + below.traceback(pixel)).T)] = True
        yield way
        through[ndimage.distance_transform_edt(~way | ~mask) < APART * unit] = np.inf


def _reduced(ink: np.ndarray, scale: float) -> np.ndarray:
    size = (max(1, round(ink.shape[1] / scale)), max(1, round(ink.shape[0] / scale)))
    image = Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return np.clip(np.asarray(image), 0, 1)


def _left_of(way: np.ndarray) -> np.ndarray:
    """Return what a way from the first row to the last separates from the right border."""
    sides, _ = ndimage.label(~way)
    return sides == sides[0, 0]


def _enlarged(left: np.ndarray, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Return a mask of reduced ink with paper around it as one of the ink."""
    rows, columns = (
        np.minimum((np.arange(size) / size * (reduced - 2)).astype(int), reduced - 3) + 1
        for size, reduced in zip(shape, left.shape, strict=True)
    )
    return left[np.ix_(rows, columns)]
