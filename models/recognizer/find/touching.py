"""Digits that touch: cut apart where the model reads the parts best.

Ink is cut along seams, the ways from top to bottom that cross the least of it, and of all ways to put the parts
together the best is taken (over-segmentation with recognition, LeCun et al. 1998, section VIII).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from models.recognizer.find.seams import Seam, seams_of

Reader = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From pieces of ink, each float `[h, w]`, to how likely each is one digit that the model knows, `[N]`."""

NARROW = 0.45
"""Ink narrower than this part of its height, or of the line's, is one digit."""

WIDEST, LOWEST = 1.5, 0.5
"""No digit of a line is wider than so many times the height of most, or lower than so many times."""

CRUMB = 0.05
"""A cut leaves crumbs: pieces with less than this part of the ink of the largest."""

CUT, CROSSED = 0.3, 8.0
"""What a cut costs, and what it costs for each height of a digit that it crosses, as logarithms of likelihoods."""


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
    if width < NARROW:
        return [whole]
    uncut = _worth(whole, float(read([whole.ink])[0]), height)
    # No part is worth more than 0, so that dearer seams cannot pay.
    seams = [seam for seam in seams_of(ink, height) if uncut < -_cost(seam)] if uncut < -CUT else []
    if not seams:
        return [whole]
    parts = parts_between(ink, seams, height)
    likely = read([part.ink for part in parts.values()])
    worth = {at: _worth(part, float(p), height) for (at, part), p in zip(parts.items(), likely, strict=True)}
    return [parts[at] for at in _best_way(worth, [_cost(seam) for seam in seams])]


def _part(ink: np.ndarray) -> Part | None:
    """Return ink without the crumbs of a cut, and where it lies."""
    numbers, count = ndimage.label(ink > 0.5, np.ones((3, 3)))
    if not count:
        return None
    areas = np.bincount(numbers.ravel())[1:]
    kept = np.r_[False, areas >= CRUMB * areas.max()][numbers]
    rows, columns = np.nonzero(kept.any(axis=1))[0], np.nonzero(kept.any(axis=0))[0]
    own = np.where(kept | (numbers == 0), ink, 0)
    return Part(own, int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1)


def parts_between(ink: np.ndarray, seams: Sequence[Seam], height: float) -> dict[tuple[int, int], Part]:
    """Return the whole, and what lies between any two seams, or a seam and the border, if a digit can be of its size.

    Args:
        ink: float `[h, w]`.
        seams: From left to right.
        height: How high digits are.
    """
    edges = [np.zeros(ink.shape, bool), *(seam.left for seam in seams), np.ones(ink.shape, bool)]
    found = {}
    for a in range(len(edges)):
        for b in range(a + 1, len(edges)):
            part = _part(np.where(edges[b] & ~edges[a], ink, 0))
            if part and (b - a == len(seams) + 1 or _may_be_digit(part, height)):
                found[a, b] = part
    return found


def _may_be_digit(part: Part, height: float) -> bool:
    return part.right - part.left < WIDEST * height and part.bottom - part.top > LOWEST * height


def _worth(part: Part, likely: float, height: float) -> float:
    """Return how much a part looks like one digit of the line: 0 at most, the logarithm of a likelihood."""
    width, high = part.right - part.left, part.bottom - part.top
    too_wide = max(0.0, width / max(high, 0.7 * height) - 0.85) / 0.25
    too_low = max(0.0, 0.75 - high / height) / 0.12
    return float(np.log(max(likely, 1e-6))) - 0.5 * (too_wide**2 + too_low**2)


def _cost(seam: Seam) -> float:
    """Return what it costs to cut along a seam."""
    return CUT + CROSSED * seam.crossed


def _best_way(worth: dict[tuple[int, int], float], costs: list[float]) -> list[tuple[int, int]]:
    """Return the parts, from the left border to the right one, with the highest sum, less what the cuts cost."""
    last = max(b for _, b in worth)
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [0])}
    for b in range(1, last + 1):
        cost = costs[b - 1] if b < last else 0.0
        ways = [(best[a][0] + worth[a, b] - cost, [*best[a][1], b]) for a in range(b) if a in best and (a, b) in worth]
        if ways:
            best[b] = max(ways)
    return list(pairwise(best[last][1]))
