"""Random geometric changes of images.

A warp samples the image once, at positions given by a matrix and a smooth random field. XLA compiles its gathers and
arithmetic into a single loop, which is faster than TensorFlow's projective transformation.
"""

from __future__ import annotations

from functools import cache
from math import pi

import numpy as np
import tensorflow as tf

from trainer.data.augmentation.strength import Strength

KNOTS = 5
"""Number of rows and columns of the coarse grid of elastic displacements."""


def warp(images: tf.Tensor, matrix_seed: tf.Tensor, bend_seed: tf.Tensor, strength: Strength) -> tf.Tensor:
    """Rotate, scale, shear and shift about the centre, and apply elastic distortion; uncovered pixels are 0.

    Args:
        images: float32 `[B, H, W, C]`, all sizes known.
        matrix_seed: int64 `[2]`, for the matrix of each image.
        bend_seed: int64 `[2]`, for the elastic displacements.
        strength: Ranges of the changes.

    Returns:
        float32 `[B, H, W, C]`.
    """
    coarse = None
    if strength.elastic:  # drawn outside XLA, which takes six times as long for so few numbers
        shape = [2, images.shape[0], KNOTS, KNOTS]
        coarse = tf.random.stateless_normal(shape, bend_seed, 0.0, strength.elastic / 28)
    return _warp(images, matrix_seed, coarse, strength)


@tf.function(jit_compile=True, autograph=False)
def _warp(images: tf.Tensor, seed: tf.Tensor, coarse: tf.Tensor | None, strength: Strength) -> tf.Tensor:
    batch, height, width, _ = images.shape
    rows = tf.broadcast_to(tf.range(height, dtype=tf.float32)[:, None], [batch, height, width])
    columns = tf.broadcast_to(tf.range(width, dtype=tf.float32), [batch, height, width])
    if coarse is not None:
        down, right = _bend(coarse, height, width)
        rows, columns = rows + down, columns + right
    return _sample(images, *_transform(rows, columns, seed, strength))


def _transform(rows: tf.Tensor, columns: tf.Tensor, seed: tf.Tensor, strength: Strength) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the source row and column of each output pixel, using one random matrix per image."""
    batch, height, width = rows.shape
    limits = [strength.rotation * pi / 180, strength.zoom, strength.shear, strength.shift, strength.shift]
    draws = tf.random.stateless_uniform([batch, 5], seed, -1.0, 1.0) * tf.constant(limits, tf.float32)
    angle, zoom, shear, right, down = (draw[:, None, None] for draw in tf.unstack(draws, axis=1))
    middle, centre = (height - 1) / 2, (width - 1) / 2
    y, x = rows - middle - down * height, columns - centre - right * width
    cos, sin, scale = tf.cos(angle), tf.sin(angle), 1.0 / (1.0 + zoom)
    return (
        scale * (sin * x + (shear * sin + cos) * y) + middle,
        scale * (cos * x + (shear * cos - sin) * y) + centre,
    )


def _bend(coarse: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return smooth displacements in pixels, down and right (after Simard et al. 2003, section 3).

    They are interpolated from a coarse grid, whereas the paper smooths a fine one.
    """
    fine = interpolate(coarse, height, width)
    return fine[0] * height, fine[1] * width


def interpolate(coarse: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Return float32 `[..., height, width]`, interpolated smoothly from a coarse grid, float32 `[..., n, m]`."""
    rows, columns = coarse.shape[-2:]
    return tf.constant(_between(height, rows)) @ coarse @ tf.constant(_between(width, columns).T)


@cache
def _between(side: int, knots: int) -> np.ndarray:
    """Return the matrix `[side, knots]` of TensorFlow's bicubic resizing, an operation that XLA lacks."""
    with tf.init_scope():
        return tf.image.resize(tf.eye(knots)[:, :, None], [side, knots], method="bicubic")[..., 0].numpy()


def _sample(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Return bilinear samples of `images` at float32 `[B, H, W]` coordinates; pixels outside are 0."""
    batch, height, width, channels = images.shape
    rows, columns = tf.clip_by_value(rows, -1.0, float(height)), tf.clip_by_value(columns, -1.0, float(width))
    top, left = tf.floor(rows), tf.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    padded = tf.reshape(tf.pad(images, [[0, 0], [1, 2], [1, 2], [0, 0]]), [-1, channels])
    line = width + 3
    first = tf.range(batch)[:, None, None] * (height + 3) * line
    place = first + (tf.cast(top, tf.int32) + 1) * line + tf.cast(left, tf.int32) + 1
    near, beside, below, across = (tf.gather(padded, place + step) for step in (0, 1, line, line + 1))
    upper, lower = near + (beside - near) * right, below + (across - below) * right
    return upper + (lower - upper) * down


@tf.function(jit_compile=True, autograph=False)
def thicken(images: tf.Tensor, seed: tf.Tensor, limit: float) -> tf.Tensor:
    """Blend each image with its 3 x 3 dilation or erosion, for thicker or thinner strokes."""
    amount = tf.random.stateless_uniform([images.shape[0], 1, 1, 1], seed, -limit, limit)
    return images + tf.where(amount > 0, amount * (dilate(images) - images), amount * (images - erode(images)))


def dilate(images: tf.Tensor) -> tf.Tensor:
    """Return the maximum of each pixel and its eight neighbours; images are float32 `[B, H, W, C]` in [0, 1]."""
    _, height, width, _ = images.shape
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    tall = tf.maximum(tf.maximum(padded[:, :height], padded[:, 1 : height + 1]), padded[:, 2:])
    return tf.maximum(tf.maximum(tall[:, :, :width], tall[:, :, 1 : width + 1]), tall[:, :, 2:])


def erode(images: tf.Tensor) -> tf.Tensor:
    """Return the minimum of each pixel and its eight neighbours; images are float32 `[B, H, W, C]` in [0, 1]."""
    return 1.0 - dilate(1.0 - images)
