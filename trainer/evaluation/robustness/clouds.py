"""The fog of MNIST-C; see `trainer.evaluation.robustness.corruptions` for its arguments."""

from __future__ import annotations

import numpy as np

from trainer.evaluation.robustness.seeding import Generators

DENSITY, ROUGHNESS = 3.0, 1.4
MAP_SIDE = 256
AT_ONCE = 10
"""Number of cloud maps generated at a time, few enough to stay in the processor's cache."""


def fog(images: np.ndarray, random: Generators) -> np.ndarray:
    """Add a corner of a cloud map, three times as bright as ink, and restore the maximum brightness."""
    height, width = images.shape[1:3]
    parts = [clouds(random[k : k + AT_ONCE])[:, :height, :width, None] for k in range(0, len(random), AT_ONCE)]
    brightest = images.max(axis=(1, 2, 3), keepdims=True)
    return (images + DENSITY * np.concatenate(parts)) * brightest / (brightest + DENSITY)


def clouds(random: Generators) -> np.ndarray:
    """Return cloud maps, float32 `[N, 256, 256]` in [0, 1], by the diamond-square method (Fournier et al. 1982).

    The map wraps around. The noise added to the mean of four neighbours is uniform; each time the grid is halved, its
    amplitude is divided by the square of the roughness.
    """
    draws = 2 * np.stack([g.random(MAP_SIDE**2 - 1, np.float32) for g in random]) - 1
    heights = np.zeros((len(random), MAP_SIDE, MAP_SIDE), np.float32)
    step, wobble, used = MAP_SIDE, 1.0, 0
    while step >= 2:
        half, count = step // 2, (MAP_SIDE // step) ** 2
        corners = heights[:, ::step, ::step]
        squares, across, along = (
            wobble * draws[:, used + k * count : used + (k + 1) * count].reshape(corners.shape) for k in range(3)
        )
        rows = corners + np.roll(corners, -1, axis=1)
        columns = corners + np.roll(corners, -1, axis=2)
        middles = (rows + np.roll(rows, -1, axis=2)) / 4 + squares
        heights[:, half::step, half::step] = middles
        heights[:, ::step, half::step] = (middles + np.roll(middles, 1, axis=1) + columns) / 4 + across
        heights[:, half::step, ::step] = (middles + np.roll(middles, 1, axis=2) + rows) / 4 + along
        step, wobble, used = half, wobble / ROUGHNESS**2, used + 3 * count
    heights -= heights.min(axis=(1, 2), keepdims=True)
    return heights / heights.max(axis=(1, 2), keepdims=True)
