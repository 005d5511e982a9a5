"""Geometric corruptions of MNIST-C; see `trainer.evaluation.robustness.corruptions` for their arguments."""

from __future__ import annotations

import math

import numpy as np

from trainer.evaluation.robustness.seeding import Generators

SHEAR, ANGLE, SIZE, SHIFT = 0.4, 0.4, 0.7, 3


def warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return an image `[H, W, C]` transformed by a matrix, with bilinear interpolation and 0 beyond the border.

    Args:
        image: The image.
        matrix: `[2, 2]`, maps row and column of the new image, relative to the centre, to those of the old one.
    """
    from scipy.ndimage import affine_transform

    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre
    planes = np.moveaxis(image, -1, 0)
    warped = [affine_transform(plane, matrix, offset, order=1, mode="grid-constant") for plane in planes]
    return np.stack(warped, axis=-1)


def rotation(angle: float) -> np.ndarray:
    """Return the matrix for `warp` that rotates an image by `angle` radians."""
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _sign(random: np.random.Generator) -> int:
    return 1 if random.random() < 0.5 else -1


def shear(images: np.ndarray, random: Generators) -> np.ndarray:
    """Slant by 0.4 radians to the left or right, which also makes the image 9 % taller."""
    slants = [_sign(g) * SHEAR for g in random]
    matrices = [np.array([[math.cos(slant), 0.0], [-math.sin(slant), 1.0]]) for slant in slants]
    return np.stack([warp(image, matrix) for image, matrix in zip(images, matrices, strict=True)])


def rotate(images: np.ndarray, random: Generators) -> np.ndarray:
    """Rotate by 0.4 radians (23 degrees) in either direction."""
    return np.stack([warp(image, rotation(_sign(g) * ANGLE)) for image, g in zip(images, random, strict=True)])


def scale(images: np.ndarray, random: Generators) -> np.ndarray:
    """Shrink to 0.7 of the size."""
    return np.stack([warp(image, np.eye(2) / SIZE) for image in images])


def translate(images: np.ndarray, random: Generators) -> np.ndarray:
    """Shift by 3 pixels up or down, and by 3 pixels left or right."""
    moved = [moved_by(image, _sign(g) * SHIFT, _sign(g) * SHIFT) for image, g in zip(images, random, strict=True)]
    return np.stack(moved)


def moved_by(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return an image `[H, W, C]` shifted by whole pixels; uncovered pixels are 0."""
    height, width = image.shape[:2]
    moved = np.zeros_like(image)
    rows, columns = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
    seen = image[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    moved[rows, columns] = seen
    return moved
