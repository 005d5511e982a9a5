"""Twenty digits as two people write them, and a mouse that draws them on the page of `scripts/draw.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ROUND = {
    "0": ["50,15 30,28 26,52 34,78 52,86 70,72 75,46 66,22 50,15"],
    "1": ["36,34 46,26 54,15 54,15 53,50 53,86"],
    "2": ["29,32 36,19 53,15 67,26 64,44 46,66 28,85 28,85 52,83 74,85"],
    "3": ["31,21 48,14 64,22 62,38 46,47 46,47 64,53 70,69 56,84 38,85 28,76"],
    "4": ["42,14 34,36 26,56 26,56 50,57 76,54", "60,34 59,60 57,88"],
    "5": ["68,16 50,17 35,17 35,17 33,42 33,42 50,39 66,48 69,66 56,82 32,84"],
    "6": ["63,14 44,29 32,54 34,76 48,87 64,79 67,63 54,53 40,60 34,70"],
    "7": ["27,19 50,19 72,17 72,17 58,48 46,87", "38,50 52,49 66,48"],
    "8": ["65,24 50,14 36,25 44,42 60,55 68,71 52,87 34,75 40,57 58,42 66,28 62,20"],
    "9": ["67,26 51,16 36,28 40,46 56,47 67,30 67,30 68,56 62,88"],
}
"""A round hand: 1 with an upstroke, open 4, 7 with a bar. In percent of the paper; a point given twice is a corner."""

STEEP = {
    "0": ["58,20 42,30 36,52 40,72 52,76 64,62 67,38 58,20 50,22"],
    "1": ["58,18 52,48 46,78"],
    "2": ["40,34 48,22 62,22 66,34 54,54 34,76 42,68 52,74 68,76"],
    "3": ["40,22 54,22 70,22 70,22 52,44 52,44 66,52 62,70 46,78 32,72"],
    "4": ["56,20 44,40 32,58 32,58 52,57 70,55", "56,20 54,50 50,80"],
    "5": ["46,24 42,48 42,48 56,44 64,56 56,74 36,76", "46,24 58,22 72,20"],
    "6": ["60,20 46,40 38,60 42,76 56,74 62,60 52,52 42,60"],
    "7": ["36,24 54,22 72,20 72,20 58,46 46,80"],
    "8": ["54,48 42,40 46,24 62,20 68,32 54,48 54,48 40,60 38,74 52,80 62,68 54,48"],
    "9": ["66,28 52,22 42,36 48,48 62,42 68,28 68,28 62,52 52,80"],
}
"""A steep, smaller hand, off the middle: a 1 of one stroke, a closed 4, a 7 without a bar, an 8 in two loops."""


def curve(stroke: str, steps: int = 4) -> np.ndarray:
    """Return a smooth curve through the points of a stroke (Catmull and Rom 1974), `[N, 2]` as shares of the paper."""
    points = np.array([point.split(",") for point in stroke.split()], float) / 100
    p = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, np.newaxis]
    pieces = [
        (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3) / 2
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*pieces, points[-1:]])


def draw(page: Any, strokes: Sequence[str]) -> None:
    """Draw on the page's paper with the mouse."""
    box = page.locator("#paper").bounding_box()
    for stroke in strokes:
        way = curve(stroke) * box["width"] + (box["x"], box["y"])
        page.mouse.move(*way[0])
        page.mouse.down()
        for point in way[1:]:
            page.mouse.move(*point)
        page.mouse.up()
