"""Pixel-wise corruptions of MNIST-C; see `trainer.evaluation.robustness.corruptions` for their arguments."""

from __future__ import annotations

import numpy as np

from trainer.evaluation.robustness.seeding import Generators

PHOTONS = 3
FLIPPED = 0.17
MUD = 63 / 255


def shot_noise(images: np.ndarray, random: Generators) -> np.ndarray:
    """Apply shot noise: a Poisson-distributed number of photons, 3 on average for white."""
    return np.stack([g.poisson(PHOTONS * image) for image, g in zip(images, random, strict=True)]) / PHOTONS


def impulse_noise(images: np.ndarray, random: Generators) -> np.ndarray:
    """Set 17 % of the pixels to black or white, with equal probability."""
    flipped, white = np.stack([g.random((2, *images.shape[1:])) for g in random], axis=1)
    return np.where(flipped < FLIPPED, (white < 0.5).astype(float), images)


def brightness(images: np.ndarray, random: Generators) -> np.ndarray:
    """Add half of the value range."""
    return images + 0.5


def spatter(images: np.ndarray, random: Generators) -> np.ndarray:
    """Cover the image with spots of mud where smoothed Gaussian noise is high."""
    from scipy.ndimage import gaussian_filter

    drops = np.stack([g.normal(0.65, 0.3, images.shape[1:]) for g in random])
    wet = gaussian_filter(drops, (0, 1.0, 1.0, 0), mode="nearest") > 0.65
    mud = gaussian_filter(wet.astype(float), (0, 1.5, 1.5, 0), mode="nearest")
    mud[mud < 0.8] = 0.0
    return images * (1 - mud) + MUD * mud
