"""Seams along which ink can be cut: paths from top to bottom that cross as little of it as possible.

A cheapest path leads through every point in the middle of a stroke (Dijkstra 1959). The cheapest of all is the first
seam, the cheapest that crosses the ink elsewhere the second, and so on. Paths may turn back, so they can follow the gap
under the bar of a 7 or around the tail of a 2 to the point where the digits touch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

FINE = 56
"""Height of a digit, in rows, at which seams are searched."""

PAPER = 0.08
"""Cost of a pixel of paper relative to ink: of two paths through the same ink, the shorter one wins."""

LONGEST = 0.5
"""Maximum length of ink that a seam crosses, in digit heights."""

LOWEST = 0.45
"""Minimum height of the ink on either side of a seam, in digit heights: more than a digit's tail."""

ALIKE = 0.01
"""Minimum difference of two seams in the ink to their left, in squared digit heights."""

OUTER = 0.06
"""Minimum distance of a seam from the first and last ink, in digit heights: no digit is narrower."""

APART = 0.05
"""Minimum distance between the points where seams cross ink, in digit heights."""


@dataclass(frozen=True)
class Seam:
    """A path that cuts ink in two.

    Attributes:
        left: True to the left of it, bool `[h, w]`.
        crossed: Length of ink that it crosses, in digit heights.
    """

    left: np.ndarray
    crossed: float


def seams_of(ink: np.ndarray, height: float) -> list[Seam]:
    """Return the seams of ink from left to right.

    Args:
        ink: float `[h, w]`, about 1 where there is ink.
        height: Height of digits in pixels.
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
    """Yield paths through ink from the first row to the last, bool `[h, w]`, cheapest first.

    Args:
        ink: float `[h, w]` in [0, 1], with paper around it.
        unit: Height of digits in pixels.
    """
    from skimage.graph import MCP_Geometric
    from skimage.morphology import skeletonize

    mask, cost, edge = ink > 0.5, ink + PAPER, 1 + round(OUTER * unit)
    cost[:, :edge] = cost[:, -edge:] = -1  # no path around the ink, so that each one cuts it
    columns = range(edge, cost.shape[1] - edge)
    if not columns:
        return
    above, below = MCP_Geometric(cost), MCP_Geometric(cost)
    down, _ = above.find_costs([(0, column) for column in columns])
    up, _ = below.find_costs([(len(cost) - 1, column) for column in columns])
    through = np.where(skeletonize(mask), down + up, np.inf)
    while through.min() < LONGEST * unit:
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
    """Return the area that a path from the first row to the last separates from the right border."""
    sides, _ = ndimage.label(~way)
    return sides == sides[0, 0]


def _enlarged(left: np.ndarray, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Return a mask of the reduced and padded ink, scaled back to the ink's own shape."""
    rows, columns = (
        np.minimum((np.arange(size) / size * (reduced - 2)).astype(int), reduced - 3) + 1
        for size, reduced in zip(shape, left.shape, strict=True)
    )
    return left[np.ix_(rows, columns)]
