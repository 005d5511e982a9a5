"""Digits that touch: cut apart where the model reads the parts best.

Ink is cut along seams, the ways from top to bottom that cross the least of it, and of all ways to put the parts
together the best is taken (over-segmentation with recognition, LeCun et al. 1998, section VIII).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Reader = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From pieces of ink, each float `[h, w]`, to how likely each is one digit that the model knows, `[N]`."""

NARROW, WIDE = 0.45, 0.9
"""Ink narrower than this part of its height, or of the line's, is one digit; if it is read well, up to the other."""

WELL = 0.93
"""Ink with this likelihood is read well."""


@dataclass(frozen=True)
class Part:
    """A digit cut out of touching ones.

    Attributes:
        ink: Its ink, in the frame of the whole, float `[h, w]`.
        left: First column with ink.
        right: Column after the last.
        top: First row with ink.
        bottom: Row after the last.
    """

    ink: np.ndarray
    left: int
    right: int
    top: int
    bottom: int


def cut_apart(ink: np.ndarray, height: float, read: Reader) -> list[Part]:
    """Return the digits in connected ink, from left to right.

    Args:
        ink: float `[h, w]`, above 0.5 where the pen has been.
        height: How high the digits of the line are.
        read: What the model says of ink.
    """
    whole = _part(ink)
    if whole is None:
        return []
    width = (whole.right - whole.left) / min(height, whole.bottom - whole.top)
    if width < NARROW or (width < WIDE and read([whole.ink])[0] > WELL):
        return [whole]
    seams, crossed = _seams(ink, height)
    parts = _between(ink, seams)
    if len(parts) == 1:
        return [whole]
    likely = read([part.ink for part in parts.values()])
    worth = {at: _worth(part, float(p), height) for (at, part), p in zip(parts.items(), likely, strict=True)}
    return [parts[at] for at in _best_way(worth, crossed)]


def _part(ink: np.ndarray) -> Part | None:
    rows, columns = np.nonzero((ink > 0.5).any(axis=1))[0], np.nonzero((ink > 0.5).any(axis=0))[0]
    if not len(rows):
        return None
    return Part(ink, int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1)


def _seams(ink: np.ndarray, height: float) -> tuple[list[np.ndarray], list[float]]:
    """Return seams from left to right, the column in each row, and how much ink each crosses, in parts of `height`."""
    found: list[tuple[np.ndarray, float]] = []
    for start in np.arange(0.2 * height, ink.shape[1] - 0.15 * height, 0.12 * height):
        seam, crossed = _seam(ink, float(start), 0.22 * height)
        if all(np.abs(seam - other).mean() > 0.06 * height for other, _ in found):
            found.append((seam, crossed / height))
    found.sort(key=lambda seam: float(seam[0].mean()))
    return [seam for seam, _ in found], [crossed for _, crossed in found]


def _seam(ink: np.ndarray, start: float, reach: float) -> tuple[np.ndarray, float]:
    """Return the way from top to bottom near a column that crosses the least ink, and how many pixels it crosses."""
    left, right = max(0, round(start - reach)), min(ink.shape[1], round(start + reach) + 1)
    mask = ink[:, left:right] > 0.5
    away = 0.15 * np.abs(np.arange(left, right) - start) / max(reach, 1)
    cost = mask + away * 0.2 + 0.01
    total, came = cost[0].copy(), np.zeros(cost.shape, int)
    for row in range(1, len(cost)):
        beside = np.stack([np.r_[np.inf, total[:-1]] + 0.02, total, np.r_[total[1:], np.inf] + 0.02])
        came[row] = beside.argmin(axis=0) - 1
        total = beside.min(axis=0) + cost[row]
    seam = np.empty(len(cost), int)
    seam[-1] = total.argmin()
    for row in range(len(cost) - 1, 0, -1):
        seam[row - 1] = seam[row] + came[row][seam[row]]
    return seam + left, float(mask[np.arange(len(cost)), seam].sum())


def _between(ink: np.ndarray, seams: list[np.ndarray]) -> dict[tuple[int, int], Part]:
    """Return what lies between any two seams, or a seam and the border, that is no wider than a digit can be."""
    columns = np.arange(ink.shape[1])
    edges = [np.full(len(ink), -1), *seams, np.full(len(ink), ink.shape[1])]
    found = {}
    for a in range(len(edges)):
        for b in range(a + 1, len(edges)):
            inside = (columns > edges[a][:, np.newaxis]) & (columns <= edges[b][:, np.newaxis])
            if part := _part(np.where(inside, ink, 0)):
                found[a, b] = part
    return found


def _worth(part: Part, likely: float, height: float) -> float:
    """Return how much a part looks like one digit of the line: 0 at most, the logarithm of a likelihood."""
    width, high = part.right - part.left, part.bottom - part.top
    too_wide = max(0.0, width / max(high, 0.7 * height) - 0.85) / 0.25
    too_low = max(0.0, 0.75 - high / height) / 0.12
    return float(np.log(max(likely, 1e-6))) - 0.5 * (too_wide**2 + too_low**2)


def _best_way(worth: dict[tuple[int, int], float], crossed: list[float]) -> list[tuple[int, int]]:
    """Return the parts, from the left border to the right one, with the highest sum; each cut costs what it crosses."""
    last = max(b for _, b in worth)
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [0])}
    for b in range(1, last + 1):
        cost = 0.3 + 8 * crossed[b - 1] if b < last else 0.0
        ways = [(best[a][0] + worth[a, b] - cost, [*best[a][1], b]) for a in range(b) if a in best and (a, b) in worth]
        if ways:
            best[b] = max(ways)
    return list(pairwise(best[last][1]))
