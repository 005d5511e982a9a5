"""Random changes of a batch of images, each a pure function of the images and a seed.

| strength | shift | rotation | zoom | shear | elastic | erasing | brightness, contrast |
|---|---|---|---|---|---|---|---|
| `none` | - | - | - | - | - | - | - |
| `light` | ±7 % | ±10° | 0.9 to 1.1 | ±0.1 | - | - | - |
| `strong` | ±10 % | ±15° | 0.85 to 1.15 | ±0.2 | about 1 px | p 0.25, 15 to 35 % a side | ±0.1, 0.7 to 1.3 |

All but the elastic are uniform, one draw an image. Shifts are shares of the side. Elastic displacements are normal,
drawn on a grid of 5 x 5 with a standard deviation of 1.1 pixels of 28 and interpolated, which leaves 0.8 to 1.15. The
ground shown by a shift is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import tensorflow as tf


@dataclass(frozen=True)
class Strength:
    """How far each change may go; 0 (or p = 0) leaves it out."""

    shift: float  # share of the side
    rotation: float  # degrees
    zoom: float  # 0.1: from 0.9 to 1.1
    shear: float  # tangent of the angle
    elastic: float = 0.0  # pixels, for a side of 28
    erasing: float = 0.0  # probability
    brightness: float = 0.0  # added, of a range of 1
    contrast: float = 0.0  # 0.3: from 0.7 to 1.3, about the ground


STRENGTHS: dict[str, Strength | None] = {
    "none": None,
    "light": Strength(shift=0.07, rotation=10, zoom=0.1, shear=0.1),
    "strong": Strength(
        shift=0.1, rotation=15, zoom=0.15, shear=0.2, elastic=1.1, erasing=0.25, brightness=0.1, contrast=0.3
    ),
}


def augment(images: tf.Tensor, seed: tf.Tensor, strength: Strength | None) -> tf.Tensor:
    """Return changed images, the same for the same seed.

    Args:
        images: uint8 `[B, H, W, C]`.
        seed: int64 `[2]`.
        strength: Ranges of the changes; None changes nothing.

    Returns:
        float32 `[B, H, W, C]` in [0, 1].
    """
    scaled = tf.cast(images, tf.float32) / 255.0
    if strength is None:
        return scaled
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    scaled = _affine(scaled, seeds[0], strength)
    if strength.elastic:
        scaled = _elastic(scaled, seeds[1], strength.elastic)
    if strength.erasing:
        scaled = _erase(scaled, seeds[2], strength.erasing)
    if strength.brightness or strength.contrast:
        scaled = _tone(scaled, seeds[3], strength)
    return scaled


def _affine(images: tf.Tensor, seed: tf.Tensor, strength: Strength) -> tf.Tensor:
    """Rotate, scale, shear and shift about the centre with one matrix and one bilinear sampling an image."""
    batch, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    limits = tf.constant(
        [strength.rotation * pi / 180, strength.zoom, strength.shear, strength.shift, strength.shift],
        tf.float32,
    )
    draws = tf.random.stateless_uniform([batch, 5], seed, -1.0, 1.0) * limits
    angle, zoom, shear, right, down = tf.unstack(draws, axis=1)
    cos, sin, scale = tf.cos(angle), tf.sin(angle), 1.0 / (1.0 + zoom)
    a, b = scale * cos, scale * (shear * cos - sin)
    c, d = scale * sin, scale * (shear * sin + cos)
    x0, y0 = tf.cast(width - 1, tf.float32) / 2, tf.cast(height - 1, tf.float32) / 2
    dx, dy = right * tf.cast(width, tf.float32), down * tf.cast(height, tf.float32)
    zero = tf.zeros_like(a)
    transforms = tf.stack(
        [a, b, x0 - a * (x0 + dx) - b * (y0 + dy), c, d, y0 - c * (x0 + dx) - d * (y0 + dy), zero, zero],
        axis=1,
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _elastic(images: tf.Tensor, seed: tf.Tensor, sigma: float) -> tf.Tensor:
    """Move every pixel by a smooth random field (after Simard et al. 2003, section 3; coarse grid, not a blur)."""
    batch, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    coarse = tf.random.stateless_normal([batch, 5, 5, 2], seed, 0.0, sigma / 28)
    field = tf.image.resize(coarse, [height, width], method="bicubic")
    rows = tf.range(height, dtype=tf.float32)[None, :, None] + field[..., 0] * tf.cast(height, tf.float32)
    columns = tf.range(width, dtype=tf.float32)[None, None, :] + field[..., 1] * tf.cast(width, tf.float32)
    return _sample(images, rows, columns)


def _sample(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Return bilinear samples of `images` at float32 `[B, H, W]` coordinates; outside, the border is repeated."""
    batch, height, width, channels = tf.unstack(tf.shape(images))
    rows = tf.clip_by_value(rows, 0.0, tf.cast(height - 1, tf.float32))
    columns = tf.clip_by_value(columns, 0.0, tf.cast(width - 1, tf.float32))
    top, left = tf.floor(rows), tf.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    i, j = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    below, beside = tf.minimum(i + 1, height - 1), tf.minimum(j + 1, width - 1)
    flat = tf.reshape(images, [batch, height * width, channels])

    def pick(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        index = tf.reshape(row * width + column, [batch, height * width])
        return tf.reshape(tf.gather(flat, index, batch_dims=1), [batch, height, width, channels])

    upper = pick(i, j) * (1 - right) + pick(i, beside) * right
    lower = pick(below, j) * (1 - right) + pick(below, beside) * right
    return upper * (1 - down) + lower * down


def _erase(images: tf.Tensor, seed: tf.Tensor, probability: float) -> tf.Tensor:
    """Set a rectangle to 0 in a share of the images (after Zhong et al. 2017, arXiv 1708.04896)."""
    batch, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    chance, tall, wide, top, left = tf.unstack(tf.random.stateless_uniform([batch, 5], seed), axis=1)
    tall, wide = 0.15 + 0.2 * tall, 0.15 + 0.2 * wide

    def inside(extent: tf.Tensor, start: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        position = (tf.range(extent, dtype=tf.float32) + 0.5) / tf.cast(extent, tf.float32)
        begin = (start * (1 - size))[:, None]
        return (position >= begin) & (position < begin + size[:, None])

    rectangle = inside(height, top, tall)[:, :, None] & inside(width, left, wide)[:, None, :]
    erased = rectangle & (chance < probability)[:, None, None]
    return tf.where(erased[..., None], 0.0, images)


def _tone(images: tf.Tensor, seed: tf.Tensor, strength: Strength) -> tf.Tensor:
    draws = tf.random.stateless_uniform([tf.shape(images)[0], 2], seed, -1.0, 1.0)[:, :, None, None, None]
    return tf.clip_by_value(
        images * (1 + strength.contrast * draws[:, 0]) + strength.brightness * draws[:, 1], 0.0, 1.0
    )
