"""Blurs of MNIST-C; see `trainer.evaluation.robustness.corruptions` for their arguments."""

from __future__ import annotations

import numpy as np

from trainer.evaluation.robustness.seeding import Generators

GLASS_SIGMA, GLASS_ROUNDS = 0.7, 2
MOTION_RADIUS, MOTION_SIGMA, MOTION_ANGLE = 10, 3.0, 45.0


def glass_blur(images: np.ndarray, random: Generators) -> np.ndarray:
    """Blur, swap half of the pixels with a neighbour above or to the left, twice, and blur again.

    Blurring affects columns only, because the published code makes scikit-image treat the last axis of a gray image as
    channels.
    """
    from scipy.ndimage import gaussian_filter1d

    height, width = images.shape[1:3]
    rounds = (GLASS_ROUNDS, height - 2, width - 2)
    chosen = np.stack([g.random(rounds) < 0.5 for g in random], axis=-1)
    moves = np.stack([g.integers(-1, 1, (2, *rounds)) for g in random], axis=-1) * chosen
    blurred = gaussian_filter1d(images[..., 0], GLASS_SIGMA, axis=1, mode="nearest")
    shuffled = np.floor(255 * np.moveaxis(blurred, 0, -1))  # the same pixel of all images is contiguous
    every = np.arange(len(images))
    for turn in range(GLASS_ROUNDS):
        for row in range(height - 1, 1, -1):
            for column in range(width - 1, 1, -1):
                down, right = moves[:, turn, row - 2, column - 2]
                there = (row + down, column + right, every)
                here = shuffled[row, column].copy()
                shuffled[row, column] = shuffled[there]
                shuffled[there] = here
    return gaussian_filter1d(np.moveaxis(shuffled, -1, 0) / 255, GLASS_SIGMA, axis=1, mode="nearest")[..., None]


def motion_blur(images: np.ndarray, random: Generators) -> np.ndarray:
    """Average along a line to one side, at -45 to 45 degrees, weighted by half a Gaussian.

    Equals ImageMagick's motion blur, which the published code calls: 2 x radius + 1 whole pixels, the border repeated.
    """
    height, width = images.shape[1:3]
    steps = np.arange(2 * MOTION_RADIUS + 1)
    weights = np.exp(-(steps**2) / (2 * MOTION_SIGMA**2))
    weights /= weights.sum()
    angles = np.radians([g.uniform(-MOTION_ANGLE, MOTION_ANGLE) for g in random])[:, None]
    down, right = (np.ceil(steps * part(angles) - 0.5).astype(int) for part in (np.sin, np.cos))
    every = np.arange(len(images))[:, None, None]
    blurred = np.zeros_like(images)
    for k, weight in enumerate(weights):
        rows = np.clip(np.arange(height) + down[:, k, None], 0, height - 1)[:, :, None]
        columns = np.clip(np.arange(width) + right[:, k, None], 0, width - 1)[:, None, :]
        blurred += weight * images[every, rows, columns]
    return blurred
