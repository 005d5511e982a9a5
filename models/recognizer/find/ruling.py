"""Removes the lines of ruled and squared paper from a picture.

A line is thin, straight, and runs from border to border. It is found by counting thin dark pixels along every straight
path across the picture, and painted over with its surroundings; ink darker than the line remains.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

COARSE = 45_000
"""Maximum pixels of the picture in which lines are searched."""

STEEPEST = 0.14
"""Maximum slope of a line, as a tangent: 8 degrees."""

COVERED = 0.8
"""Fraction of a line that must be visible."""


def without_lines(values: np.ndarray) -> np.ndarray:
    """Return a picture without ruled lines.

    Args:
        values: float32 `[h, w, C]` in [0, 1], dark ink on light paper.
    """
    clean = _without_rows(values)
    return _without_rows(clean.swapaxes(0, 1)).swapaxes(0, 1)


def _without_rows(values: np.ndarray) -> np.ndarray:
    """Return a picture without lines from left to right."""
    height, width = values.shape[:2]
    scale = max(1.0, float(np.sqrt(height * width / COARSE)))
    thin = _thin(values, max(5, round(0.02 * np.sqrt(height * width))))
    coarse = _reduced(thin, scale)
    level = float(np.median(coarse)) + max(0.015, 3 * 1.4826 * float(np.median(np.abs(coarse - np.median(coarse)))))
    lines = np.zeros(thin.shape, bool)
    for row, slope in _found(coarse, level):
        _mark(lines, thin, (row + 0.5) * scale - 0.5, slope, scale)
    return _painted_over(values, lines) if lines.any() else values


def _thin(values: np.ndarray, window: int) -> np.ndarray:
    """Return how much darker each pixel is than its surroundings, counting thin dark structures only."""
    closed = ndimage.grey_closing(values, size=(window, window, 1))
    return np.sqrt(((closed - values) ** 2).mean(axis=2))


def _reduced(thin: np.ndarray, scale: float) -> np.ndarray:
    size = (max(1, round(thin.shape[1] / scale)), max(1, round(thin.shape[0] / scale)))
    return np.asarray(Image.fromarray(thin).resize(size, Image.Resampling.BOX))


def _found(thin: np.ndarray, level: float) -> list[tuple[int, float]]:
    """Return each line's slope and the row where it starts, which may lie outside the picture."""
    height, width = thin.shape
    most = round(STEEPEST * width)
    padded = np.pad(ndimage.maximum_filter(thin, (3, 1)), ((most, most), (0, 0)))
    columns, starts = np.arange(width), np.arange(-most, height + most)
    end = max(2, width // 12)
    candidates = []
    for drop in range(-most, most + 1, 2):
        rows = starts[:, np.newaxis] + np.round(columns * drop / max(1, width - 1)).astype(int)
        inside = (rows >= 0) & (rows < height)
        strength = padded[np.clip(rows, -most, height + most - 1) + most, columns]
        seen = (strength > level) & inside
        share = seen.sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        ends = np.minimum(seen[:, :end].mean(axis=1), seen[:, -end:].mean(axis=1))
        for k in np.flatnonzero((share > COVERED) & (ends > 0.5)):
            candidates.append((float(np.minimum(strength[k], 2 * level).mean()), int(starts[k]), drop))
    lines: list[tuple[int, int]] = []
    for _, row, drop in sorted(candidates, reverse=True):  # the clearest first, skipping its neighbours
        if all(max(abs(row - a), abs(row + drop - a - b)) > 3 for a, b in lines):
            lines.append((row, drop))
    return [(row, drop / max(1, width - 1)) for row, drop in lines]


def _mark(lines: np.ndarray, thin: np.ndarray, row: float, slope: float, scale: float) -> None:
    """Mark the pixels of a line at its usual thickness, except those that are darker than it."""
    height, width = thin.shape
    reach = int(np.ceil(2 * scale)) + 1
    columns = np.arange(width)
    rows = np.round(row + slope * columns).astype(int) + np.arange(-reach, reach + 1)[:, np.newaxis]
    inside = (rows >= 0) & (rows < height)
    at = (np.clip(rows, 0, height - 1), np.broadcast_to(columns, rows.shape))
    strength = np.where(inside, thin[at], 0)
    own = float(np.median(strength.max(axis=0)))
    thick = np.flatnonzero((strength > own / 3).mean(axis=1) > 0.3)
    if not len(thick):
        return
    marked = inside & (strength < 1.5 * own + 0.03)
    marked[: thick[0]] = marked[thick[-1] + 1 :] = False
    lines[at] |= marked


def _painted_over(values: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Return a picture with marked pixels interpolated between those above and below."""
    rows = np.arange(len(values))[:, np.newaxis]
    above = np.maximum.accumulate(np.where(lines, -1, rows), axis=0)
    below = np.minimum.accumulate(np.where(lines, len(values), rows)[::-1], axis=0)[::-1]
    columns = np.arange(values.shape[1])
    low, high = np.maximum(above, 0), np.minimum(below, len(values) - 1)
    part = np.where(above < 0, 1.0, np.where(below == len(values), 0.0, (rows - above) / np.maximum(below - above, 1)))
    mixed = values[low, columns] * (1 - part[..., np.newaxis]) + values[high, columns] * part[..., np.newaxis]
    return np.where(lines[..., np.newaxis], np.maximum(mixed, values), values).astype(np.float32)
