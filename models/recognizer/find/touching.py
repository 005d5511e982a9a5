"""Cuts touching digits apart where the model reads the parts best.

Ink is cut along seams, the paths from top to bottom that cross as little of it as possible; of all ways to group the
parts, the best is chosen (over-segmentation with recognition, LeCun et al. 1998, section VIII).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from models.recognizer.find.seams import Seam, seams_of

Reader = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Maps pieces of ink, each float `[h, w]`, to the probability that each is one known digit, `[N]`."""

NARROW = 0.45
"""Maximum width of ink that is always one digit, as a fraction of its height or of the line's."""

WIDEST, LOWEST = 1.5, 0.5
"""Maximum width and minimum height of a digit, in typical heights of the line."""

CRUMB = 0.05
"""Fraction of the largest piece's ink below which a piece is a crumb left by a cut."""

CUT, CROSSED = 0.3, 8.0
"""Cost of a cut, and cost per digit height of ink that it crosses, as log-likelihoods."""


@dataclass(frozen=True)
class Part:
    """A digit cut out of touching ones.

    Attributes:
        ink: Its ink within the frame of the whole, float `[h, w]`.
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
        ink: float `[h, w]`, above 0.5 where there is ink.
        height: Height of the line's digits in pixels.
        read: The model's judgement of pieces of ink.
    """
    whole = _part(ink)
    if whole is None:
        return []
    width = (whole.right - whole.left) / min(height, whole.bottom - whole.top)
    if width < NARROW:
        return [whole]
    uncut = _worth(whole, float(read([whole.ink])[0]), height)
    # No part is worth more than 0, so costlier seams cannot pay off.
    seams = [seam for seam in seams_of(ink, height) if uncut < -_cost(seam)] if uncut < -CUT else []
    if not seams:
        return [whole]
    parts = parts_between(ink, seams, height)
    likely = read([part.ink for part in parts.values()])
    worth = {at: _worth(part, float(p), height) for (at, part), p in zip(parts.items(), likely, strict=True)}
    return [parts[at] for at in _best_way(worth, [_cost(seam) for seam in seams])]


def _part(ink: np.ndarray) -> Part | None:
    """Return ink without the crumbs of a cut, and its extent."""
    numbers, count = ndimage.label(ink > 0.5, np.ones((3, 3)))
    if not count:
        return None
    areas = np.bincount(numbers.ravel())[1:]
    kept = np.r_[False, areas >= CRUMB * areas.max()][numbers]
    rows, columns = np.nonzero(kept.any(axis=1))[0], np.nonzero(kept.any(axis=0))[0]
    own = np.where(kept | (numbers == 0), ink, 0)
    return Part(own, int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1)


def parts_between(ink: np.ndarray, seams: Sequence[Seam], height: float) -> dict[tuple[int, int], Part]:
    """Return the whole, and the ink between any two seams, or a seam and the border, that has the size of a digit.

    Args:
        ink: float `[h, w]`.
        seams: Seams from left to right.
        height: Height of digits in pixels.
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
    """Return how much a part looks like one digit of the line, as a log-likelihood of at most 0."""
    width, high = part.right - part.left, part.bottom - part.top
    too_wide = max(0.0, width / max(high, 0.7 * height) - 0.85) / 0.25
    too_low = max(0.0, 0.75 - high / height) / 0.12
    return float(np.log(max(likely, 1e-6))) - 0.5 * (too_wide**2 + too_low**2)


def _cost(seam: Seam) -> float:
    """Return the cost of cutting along a seam."""
    return CUT + CROSSED * seam.crossed


def _best_way(worth: dict[tuple[int, int], float], costs: list[float]) -> list[tuple[int, int]]:
    """Return the parts, from the left border to the right, with the highest total worth minus the cost of the cuts."""
    last = max(b for _, b in worth)
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [0])}
    for b in range(1, last + 1):
        cost = costs[b - 1] if b < last else 0.0
        ways = [(best[a][0] + worth[a, b] - cost, [*best[a][1], b]) for a in range(b) if a in best and (a, b) in worth]
        if ways:
            best[b] = max(ways)
    return list(pairwise(best[last][1]))
